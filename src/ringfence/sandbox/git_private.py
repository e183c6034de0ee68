"""Lays private copies out for what Git writes and nobody inside may change for real: its settings, and the folders of
submodules and working trees. The session brings back what may pass.

Git replaces its settings by renaming, which no mount in their place allows; but it follows a link that stands there. So
the link is what is mounted, and it leads to the copy.
"""

from __future__ import annotations

import os
import re
import shutil
import stat

import msgspec

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.plan import covers
from ringfence.sandbox.protection import Protection
from ringfence.sandbox.syscalls import open_plain

INSIDE = "/run/ringfence-git"
"""Where the copies lie in the sandbox."""
_SIZE = 1 << 20
IGNORES = f"{INSIDE}/ignore"
"""Where what Git is to ignore lies in the sandbox."""
IGNORING = f"\n[core]\n\texcludesFile = {IGNORES}\n"
"""The setting that says so."""
_EXCLUDES = re.compile(r"^[ \t]*(?:\[core\][ \t]*)?excludesfile\b", re.IGNORECASE | re.MULTILINE)


class PrivateSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A settings file and the copy that the session writes."""

    path: str
    copy: str
    start: bytes
    """What it held when the session began."""


class PrivateFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder of repositories, of which the session makes new ones in a folder of its own."""

    path: str
    copy: str
    kept: tuple[str, ...]
    """What is there already, relative; shown in its place."""
    writable: frozenset[str] = frozenset()
    """Of those, what the session may work in, because what runs in it is protected."""


class PrivateGit(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of Git's that a session has a private copy of."""

    folder: str
    settings: tuple[PrivateSettings, ...]
    folders: tuple[PrivateFolder, ...]

    def binds(self) -> list[tuple[str, str, bool, bool]]:
        """What to bind: (source, target, writable, required), outermost first."""
        found = [(self.folder, INSIDE, True, True)] if self.settings else []
        for each in self.folders:
            found.append((each.copy, each.path, True, True))
            found += [(f"{each.path}/{name}", f"{each.path}/{name}", name in each.writable, True) for name in each.kept]
        return found

    def links(self) -> list[tuple[str, str]]:
        """What stands in the place of a settings file: (path, where the link leads)."""
        return [(each.path, f"{INSIDE}/{os.path.relpath(each.copy, self.folder)}") for each in self.settings]

    def remove(self) -> None:
        """Remove the copies."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(f"{self.folder}.folders", ignore_errors=True)


def prepare(
    folder: str, found: Protection, protected: tuple[str, ...], *, own: str = "", ignores: str = ""
) -> PrivateGit:
    """Make the copies in a folder of ours. `protected`: repositories of submodules that are protected one by one.
    `own`: the settings of the workspace's repository, whose working tree Git is to ignore `ignores` in."""
    settings, folders = list[PrivateSettings](), list[PrivateFolder]()
    try:
        os.makedirs(folder, mode=0o700)
        for number, path in enumerate(found.settings):
            start = _content(path)
            if path == own and ignores and not _EXCLUDES.search(start.decode("latin-1")):
                # In the start as well, so that it is no change of the session's.
                start += _ignoring(folder, ignores)
            copy = f"{folder}/{number}/{os.path.basename(path)}"
            os.mkdir(os.path.dirname(copy), 0o700)
            with open(copy, "wb") as stream:
                stream.write(start)
            settings.append(PrivateSettings(path=path, copy=copy, start=start))
        # Beside the other, which is visible inside.
        for number, path in enumerate(found.repositories):
            copy = f"{folder}.folders/{number}"
            os.makedirs(copy, mode=0o700)
            kept = _kept(path)
            held = frozenset(name for name in kept if f"{path}/{name}" in protected)
            for name in kept:
                os.makedirs(f"{copy}/{name}", mode=0o700, exist_ok=True)
            folders.append(PrivateFolder(path=path, copy=copy, kept=kept, writable=held))
    except OSError as error:
        raise SandboxUnavailable(
            f"Git's settings cannot be copied to `{folder}`: {(error.strerror or str(error)).lower()}",
            remedy="free space on the disk of your state folder",
        ) from error
    return PrivateGit(folder=folder, settings=tuple(settings), folders=tuple(folders))


def _ignoring(folder: str, ignores: str) -> bytes:
    with open(f"{folder}/{os.path.basename(IGNORES)}", "wb") as stream:
        stream.write(os.fsencode(ignores))
    return IGNORING.encode()


def modules(git: str, limit: int) -> tuple[str, ...]:
    """The repositories of submodules below a repository's own folder, absolute; outermost first."""
    found, pending = list[str](), [f"{git}/modules"]
    while pending and len(found) < limit:
        folder = pending.pop(0)
        if os.path.islink(folder) or not os.path.isdir(folder):
            continue
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            if os.path.islink(path) or not os.path.isdir(path):
                continue
            if os.path.lexists(f"{path}/HEAD") and os.path.isdir(f"{path}/objects"):
                found.append(path)
                pending.append(f"{path}/modules")
            elif path.count("/") - git.count("/") < _NAME_PARTS:
                # A part of a submodule's name.
                pending.append(path)
    return tuple(found)


_NAME_PARTS = 8
_MOST = 10_000


def _kept(path: str) -> tuple[str, ...]:
    if path.endswith("/modules"):
        inside = modules(os.path.dirname(path), _MOST)
        # What lies in another one is shown with it.
        outer = [each for each in inside if not any(o != each and covers(o, each) for o in inside)]
        return tuple(os.path.relpath(each, path) for each in outer)
    return tuple(name for name in sorted(os.listdir(path)) if _is_folder(f"{path}/{name}"))


def _is_folder(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _content(path: str) -> bytes:
    file = open_plain(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(file, "rb") as stream:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(0, f"`{path}` is no file")
        content = stream.read(_SIZE + 1)
    if len(content) > _SIZE:
        raise OSError(0, f"`{path}` is larger than settings are")
    return content
