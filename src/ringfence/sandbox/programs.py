"""Finds what has to be visible so that the programs on PATH work wherever they are installed, without opening the
rest of HOME. Reads folders, links, `pyvenv.cfg` and the first line of scripts; within limits, and never through the
workspace."""

from __future__ import annotations

import os
from collections.abc import Callable

from ringfence.sandbox.plan import SYSTEM_ROOTS, Below, covers

MANAGERS = (
    ".pyenv", ".nvm/versions", ".fnm", ".volta", ".asdf", ".rbenv", ".nodenv", ".goenv", ".jenv", ".sdkman", ".bun",
    ".deno", ".proto", ".ghcup", ".opam", ".elan", ".juliaup", ".dotnet", ".foundry", "go", "miniconda3", "anaconda3",
    "miniforge3", "mambaforge", ".local/share/mise", ".local/share/fnm", ".local/share/pnpm", ".local/share/rtx",
    ".local/share/uv/python", ".linuxbrew", "n", ".npm-global", ".yarn", ".config/yarn/global/node_modules",
)  # fmt: skip
"""Folders below HOME that hold installed programs and nothing else: visible as a whole when PATH leads into them."""

COMPANIONS = ((".cargo/bin", ".rustup"), (".rbenv/shims", ".rbenv"), (".volta/bin", ".volta"))
"""A folder on PATH whose programs need another folder: (the one on PATH, the other), below HOME."""

PARTS = ("bin", "sbin", "lib", "lib64", "lib32", "libexec", "share", "include", "conf", "jmods", "jre", "node_modules")
"""The parts of an installation. Only these are shown of one that is not in the table: what else lies beside them may be
anybody's."""

_PARENTS_OF_PROGRAMS = ("bin", "sbin", "shims", "Scripts")
_ENTRIES_LIMIT = 2000
_FIRST_LINE = 256
_NEVER = (".ssh", ".gnupg", ".aws", ".azure", ".kube", ".docker", ".config/gcloud", ".mozilla", ".password-store")


class Programs:
    """Collects folders and files, all of them canonical."""

    def __init__(self, home: str, workspace: str, real: Callable[[str], str]) -> None:
        self._home = home
        self._workspace = workspace
        self._real = real
        self._there = Below((*SYSTEM_ROOTS, workspace))
        """What everybody sees anyway."""
        self._found: set[str] = set()
        self._seen: set[str] = set()
        self._entries = 0
        self._managers = tuple(os.path.join(home, name) for name in MANAGERS)
        self._keys = tuple(os.path.join(home, name) for name in _NEVER)
        self._installations: dict[str, bool] = {}
        """By folder: whether it belongs to one. A folder of a hundred programs is looked at once."""

    def found(self) -> tuple[str, ...]:
        """What has to be visible, without what another one covers."""
        outermost: list[str] = []
        for path in sorted(self._found):
            if not any(covers(other, path) for other in outermost):
                outermost.append(path)
        return tuple(outermost)

    def add_path(self, path: str) -> None:
        """Everything that the folders of a PATH need."""
        for entry in path.split(":"):
            if entry.strip("/") and entry.startswith("/"):
                self._add_folder(entry)

    def add_program(self, program: str, path: str) -> None:
        """What one program needs, given as a name or an absolute path."""
        candidates = [program] if program.startswith("/") else [os.path.join(each, program) for each in path.split(":")]
        for candidate in candidates:
            if candidate.startswith("/") and os.path.isfile(candidate):
                self._add_file(candidate)
                return

    def add_package(self, folder: str) -> None:
        """A folder that a program is imported from, and nothing beside it."""
        self._show(self._real(folder))

    def _add_folder(self, entry: str) -> None:
        folder = self._real(entry)
        if folder in self._seen or self._is_there(folder) or not os.path.isdir(folder):
            return
        self._seen.add(folder)
        for on_path, other in COMPANIONS:
            if folder == os.path.join(self._home, on_path):
                self._show(self._real(os.path.join(self._home, other)))
        if not self._add_installation(folder):
            self._show(folder)
        for name in self._names(folder):
            self._add_file(os.path.join(folder, name))

    def _add_installation(self, folder: str) -> bool:
        known = self._installations.get(folder)
        if known is None:
            known = self._installations[folder] = self._add_new_installation(folder)
        return known

    def _add_new_installation(self, folder: str) -> bool:
        manager = self._manager(folder)
        if manager is not None:
            self._show(manager)
            return True
        prefix = os.path.dirname(folder)
        if os.path.basename(folder) not in _PARENTS_OF_PROGRAMS or self._is_shared(prefix):
            return False
        for part in PARTS:
            if os.path.isdir(os.path.join(prefix, part)):
                self._show(self._real(os.path.join(prefix, part)))
        self._add_environment(prefix)
        return True

    def _add_environment(self, prefix: str) -> None:
        settings = os.path.join(prefix, "pyvenv.cfg")
        try:
            with open(settings, encoding="utf-8", errors="replace") as file:
                lines = file.read(8192).splitlines()
        except OSError:
            return
        self._show(settings)
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "home" and value.strip().startswith("/"):
                base = self._real(value.strip())
                if base not in self._seen and not self._is_there(base):
                    self._seen.add(base)
                    if not self._add_installation(base):
                        self._show(base)

    def _add_file(self, path: str) -> None:
        target = self._real(path)
        if target in self._seen or self._is_there(target):
            return
        self._seen.add(target)
        if not os.path.isfile(target) or not os.access(target, os.X_OK):
            return
        if not self._shown(target):
            self._add_package_of(target)
        interpreter = _interpreter(target)
        if interpreter.startswith("/"):
            self._add_file(interpreter)
            # The environment of a virtual environment's interpreter, which itself is a link to another place.
            environment = os.path.dirname(self._real(os.path.dirname(interpreter)))
            if os.path.exists(os.path.join(environment, "pyvenv.cfg")) and not self._is_there(environment):
                self._add_installation(os.path.join(environment, "bin"))

    def _add_package_of(self, target: str) -> None:
        parts = target.split("/")
        for marker in ("node_modules", "versions"):
            if marker in parts[:-1]:
                folder = "/".join(parts[: parts.index(marker) + 1])
                if self._allowed(folder):
                    self._show(folder)
                    return
        folder = os.path.dirname(target)
        if not self._add_installation(folder):
            self._show(target if self._is_shared(folder) else folder)

    def _manager(self, folder: str) -> str | None:
        return next((root for root in self._managers if folder != root and covers(root, folder)), None)

    def _show(self, path: str) -> None:
        if self._allowed(path) and not self._is_there(path):
            self._found.add(path)

    def _shown(self, path: str) -> bool:
        return any(covers(each, path) for each in self._found)

    def _allowed(self, path: str) -> bool:
        # SECURITY: never HOME, nothing that contains it or the workspace, and never a folder of keys, wherever PATH
        # leads.
        if covers(path, self._home) or covers(path, self._workspace):
            return False
        return not any(covers(each, path) or covers(path, each) for each in self._keys)

    def _is_shared(self, prefix: str) -> bool:
        inside_home = covers(self._home, prefix)
        if not inside_home:
            return not self._allowed(prefix) or prefix.count("/") < 2
        relative = os.path.relpath(prefix, self._home)
        return relative in (".", ".local", ".cargo", ".config", ".cache", ".local/share", ".local/state") or (
            not self._allowed(prefix)
        )

    def _is_there(self, path: str) -> bool:
        return path in self._there

    def _names(self, folder: str) -> list[str]:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return []
        room = max(0, _ENTRIES_LIMIT - self._entries)
        self._entries += len(names)
        # A script or a link is looked at only where the folder is shared or mixed; a big installation is shown as a
        # whole.
        return names[:room] if not self._manager(folder) else []


def _interpreter(path: str) -> str:
    try:
        with open(path, "rb") as file:
            line = file.read(_FIRST_LINE).partition(b"\n")[0]
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return ""
    words = line[2:].split()
    return os.fsdecode(words[0]) if words else ""
