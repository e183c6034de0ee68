"""Finds what has to be protected in a workspace: control files that exist, place holders for those that do not, and
what Git's settings name. Looks only, by descriptor and without following links; the mounts are made inside."""

from __future__ import annotations

import os
import stat

import msgspec

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.control_files import CONTROL_FILES, ControlFile, Direct
from ringfence.policy.effective import ControlFilePolicy
from ringfence.sandbox import git_settings
from ringfence.sandbox.git_settings import Named
from ringfence.sandbox.links import Links
from ringfence.sandbox.plan import covers
from ringfence.sandbox.stubs import Stub
from ringfence.sandbox.syscalls import open_beneath, open_plain
from ringfence.sandbox.worktree import Linked, enclosing, first_line

SETTINGS = frozenset({".git/config", ".git/config.worktree"})
REPOSITORIES = frozenset({".git/modules", ".git/worktrees"})
STAGED = SETTINGS | REPOSITORIES
"""What a session may write in a staged workspace, because it reaches the real repository key by key at the gate."""
NESTED_LIMIT = 50
"""How many nested repositories are protected one by one."""


class Protection(msgspec.Struct, frozen=True, kw_only=True):
    """What the workspace's mounts have to do."""

    pinned: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """Git's settings files: read-only, or a private copy in their place."""
    repositories: tuple[str, ...] = ()
    """Folders in which Git keeps repositories of others, submodules and working trees: likewise."""
    wanted: tuple[Stub, ...] = ()
    notices: tuple[str, ...] = ()


class Repositories(msgspec.Struct, frozen=True, kw_only=True):
    """The repositories whose settings count in a workspace, beside its own."""

    shared: Linked | None = None
    """The one that a linked working tree belongs to."""
    nested: tuple[str, ...] = ()
    """The `.git` of those that lie in the workspace, relative to it."""
    personal: tuple[str, ...] = ()
    """The settings files of the person and the machine, which count in each."""
    home: str = ""


def protection(
    workspace: str,
    place_holders: frozenset[tuple[str, str]],
    repositories: Repositories,
    named: ControlFilePolicy | None = None,
    *,
    staged: bool = False,
) -> Protection:
    """What to protect in a workspace and its repositories, by the table of control files, by what the policy adds to it
    and by what Git's settings name."""
    added = named or ControlFilePolicy()
    repository = repositories.shared
    nested = repositories.nested[:NESTED_LIMIT]
    search = _Search(place_holders)
    exempt = {*added.exempt, *(STAGED if staged else ())}
    rows = [row for row in CONTROL_FILES if row.direct is not Direct.REPORT and row.pattern not in exempt]
    inside = _inside_repository(workspace)
    led = repository is not None or inside is not None
    search.look(workspace, [(row.pattern, row) for row in rows], linked=led)
    search.protect(workspace, [row for row in added.rows if row.direct is Direct.PROTECT])
    within = [(row.pattern[5:], row) for row in rows if row.pattern.startswith(".git/")]
    if inside is not None:
        search.pinned += [f"{workspace}/{each}" for each in _folders_above(inside)]
        search.look_into(f"{workspace}/{inside}", within)
    for name in nested:
        search.look_into(f"{workspace}/{name}", within)
    if len(repositories.nested) > NESTED_LIMIT:
        text = f"only {NESTED_LIMIT} of {len(repositories.nested)} nested repositories have their settings protected"
        search.notices.append(text)
    if repository is None and inside is None:
        search.look_for_bare(workspace, within)
    if repository is not None:
        # This working tree's own part of the shared repository stays writable, so not the folder but what lies in it is
        # protected.
        search.look(repository.repository, [each for each in within if each[0] != "worktrees"], linked=True)
        search.close(repository)
    bases = (workspace, *((repository.repository,) if repository is not None else ()))
    for files, trees in _settings(workspace, inside, repositories):
        found = git_settings.named(files, trees, repositories.home)
        search.notices += found.notices
        for each in found.named:
            search.hold(each, bases)
    for path in repositories.personal:
        search.hold(Named(path=path, is_folder=False), bases)
    return Protection(
        pinned=tuple(dict.fromkeys(search.pinned)),
        read_only=tuple(dict.fromkeys(search.read_only)),
        settings=tuple(dict.fromkeys(search.settings)),
        repositories=tuple(dict.fromkeys(search.repositories)),
        wanted=tuple(dict.fromkeys(search.wanted)),
        notices=tuple(dict.fromkeys(search.notices)),
    )


class _Search:
    """Collects what is to be protected, by absolute paths."""

    def __init__(self, place_holders: frozenset[tuple[str, str]]) -> None:
        self._place_holders = frozenset(f"{workspace}/{name}" for workspace, name in place_holders)
        self.pinned: list[str] = []
        self.read_only: list[str] = []
        self.settings: list[str] = []
        self.repositories: list[str] = []
        self.wanted: list[Stub] = []
        self.notices: list[str] = []

    def look(self, base: str, rows: list[tuple[str, ControlFile]], *, linked: bool) -> None:
        root = open_plain(base, os.O_PATH | os.O_DIRECTORY)
        try:
            for name, row in rows:
                kind = None if f"{base}/{name}" in self._place_holders else _kind(root, name)
                if kind is None:
                    above = os.path.dirname(name)
                    # Nothing is made in a place holder, which is covered.
                    is_held = bool(above) and f"{base}/{above}" in self._place_holders
                    held = [] if is_held else _place_holder(root, base, name, row)
                    self.wanted += held
                    if held:
                        self._private(row, f"{base}/{name}", stat.S_IFDIR if row.stub is None else stat.S_IFREG)
                elif self._private(row, f"{base}/{name}", kind):
                    continue
                elif row.direct is Direct.PIN and kind == stat.S_IFDIR:
                    self.pinned.append(f"{base}/{name}")
                else:
                    self.read_only.append(f"{base}/{name}")
                    self.notices += _about(row, kind, linked=linked)
        finally:
            os.close(root)

    def _private(self, row: ControlFile, path: str, kind: int) -> bool:
        """Whether a path is one of those that a session may have a private copy of."""
        if row.pattern in SETTINGS and kind == stat.S_IFREG:
            self.settings.append(path)
            return True
        if row.pattern in REPOSITORIES and kind == stat.S_IFDIR:
            self.repositories.append(path)
            return True
        return False

    def protect(self, base: str, rows: list[ControlFile]) -> None:
        """Protect what a policy names: the file or folder, and the folders above it, so that none can be moved away."""
        root = open_plain(base, os.O_PATH | os.O_DIRECTORY)
        try:
            for row in rows:
                self._protect(root, base, row)
        finally:
            os.close(root)

    def _protect(self, root: int, base: str, row: ControlFile) -> None:
        above = _folders_above(row.pattern)
        for name in (*above, row.pattern):
            kind = None if f"{base}/{name}" in self._place_holders else _kind(root, name)
            if kind is None:
                # A folder that is missing on the way is kept from being made: with it, the file could be.
                self.wanted.append(Stub(workspace=base, name=name, content=None))
                return
            if name == row.pattern or kind != stat.S_IFDIR:
                self.read_only.append(f"{base}/{name}")
                self.notices += _about(row, kind, linked=False)
                return
            self.pinned.append(f"{base}/{name}")

    def look_into(self, path: str, rows: list[tuple[str, ControlFile]]) -> None:
        """Protect a nested repository: its settings where it is one, or the file that leads to them."""
        if os.path.isdir(path) and not os.path.islink(path):
            self.pinned.append(path)
            self.look(path, rows, linked=False)
        else:
            self.read_only.append(path)

    def look_for_bare(self, workspace: str, rows: list[tuple[str, ControlFile]]) -> None:
        """Protect a workspace that is a repository itself, without `.git`; keep one without any from becoming one."""
        root = open_plain(workspace, os.O_PATH | os.O_DIRECTORY)
        try:
            if f"{workspace}/.git" not in self._place_holders and _kind(root, ".git") is not None:
                return
            there = [
                name
                for name in ("HEAD", "objects", "refs")
                if f"{workspace}/{name}" not in self._place_holders and _kind(root, name) is not None
            ]
        finally:
            os.close(root)
        if len(there) == 3:
            self.look_into(workspace, rows)
        elif "HEAD" not in there:
            # SECURITY: Git takes any folder with these three for a repository, and obeys the `config` beside them.
            self.wanted.append(Stub(workspace=workspace, name="HEAD", content=None))
        else:
            missing = "refs" if "refs" not in there else "objects"
            # A file, because an empty folder is all that Git asks for in this place.
            self.wanted.append(Stub(workspace=workspace, name=missing, content=""))

    def close(self, repository: Linked) -> None:
        """Protect the parts of a shared repository that lead other working trees, and this one's way back."""
        folder = os.path.dirname(repository.own)
        for name in sorted(os.listdir(folder)):
            path = f"{folder}/{name}"
            if path != repository.own and not os.path.islink(path):
                self.read_only.append(path)
        self.pinned += [folder, repository.own]
        for name in ("commondir", "gitdir"):
            if os.path.lexists(f"{repository.own}/{name}"):
                self.read_only.append(f"{repository.own}/{name}")
        self._keep(repository.own, "config.worktree", "")

    def hold(self, named: Named, bases: tuple[str, ...]) -> None:
        """Protect what settings name, where that lies in something the agent can write: the place itself, each link on
        the way to it, and the folders above."""
        links = Links()
        real = links.real(named.path)
        for path in (*links.found, real):
            base = next((each for each in bases if covers(each, path)), None)
            if base == path:
                self.notices.append(f"Git's settings name `{path}` as a whole, which cannot be protected")
            elif base is not None and not any(covers(each, path) for each in self.read_only):
                self._keep(base, os.path.relpath(path, base), None if named.is_folder else "")

    def _keep(self, base: str, name: str, content: str | None) -> None:
        """Protect a path as it is, or the place of the first part of it that is missing."""
        root = open_plain(base, os.O_PATH | os.O_DIRECTORY)
        try:
            for each in (*_folders_above(name), name):
                kind = None if f"{base}/{each}" in self._place_holders else _kind(root, each)
                if kind is None:
                    self.wanted.append(Stub(workspace=base, name=each, content=content if each == name else None))
                    if each != name:
                        self.notices.append(f"`{each}` cannot be made, because Git's settings name `{name}`")
                    return
                if each == name or kind != stat.S_IFDIR:
                    self.read_only.append(f"{base}/{each}")
                    return
                self.pinned.append(f"{base}/{each}")
        finally:
            os.close(root)


def _settings(
    workspace: str, inside: str | None, repositories: Repositories
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Which settings files count in which working trees."""

    def of(git: str) -> tuple[str, ...]:
        return (f"{git}/config", f"{git}/config.worktree")

    nested = [f"{workspace}/{each}" for each in repositories.nested[:NESTED_LIMIT]]
    trees = (workspace, *(os.path.dirname(each) for each in nested))
    around = enclosing(workspace)
    if around is not None:
        trees = (*trees, around)
    found = [(of(f"{workspace}/{inside or '.git'}"), (workspace,)), (repositories.personal, trees)]
    found += [(of(f"{around}/.git"), (around,))] if around is not None else []
    found += [(of(each), (os.path.dirname(each),)) for each in nested]
    if repositories.shared is not None:
        shared = repositories.shared
        found.append(((f"{shared.repository}/config", f"{shared.own}/config.worktree"), (workspace,)))
    return found


def _inside_repository(workspace: str) -> str | None:
    """The folder of the workspace, relative, that a `.git` which is a link or a file leads to."""
    path = f"{workspace}/.git"
    if os.path.isdir(path) and not os.path.islink(path):
        return None
    found = os.path.realpath(path)
    if os.path.isfile(found):
        text = first_line(path)
        found = os.path.realpath(os.path.join(workspace, text[8:])) if text.startswith("gitdir: ") else ""
    inside = found.startswith(f"{workspace}/") and os.path.isdir(found)
    return os.path.relpath(found, workspace) if inside else None


_IGNORED = frozenset([".opencode"])
"""Folders in which an agent writes a `.gitignore` at its start where there is none, and ends where it cannot."""


def stub_mount(stub: Stub) -> tuple[str, str]:
    """How a place holder is covered: (path, with what)."""
    # An empty folder that can be read: in a file's place it reads as an error either way, and Git warns of a closed
    # one.
    empty = "ignored" if os.path.basename(stub.name) in _IGNORED else "empty"
    return f"{stub.workspace}/{stub.name}", "itself" if stub.content is not None else empty


def _kind(root: int, name: str) -> int | None:
    try:
        opened = open_beneath(root, name, os.O_PATH | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        # SECURITY: an agent can close a folder of its user's and open it again in the next session. What cannot be
        # looked at must not pass for what is not there.
        raise SandboxUnavailable(
            f"`{name}` cannot be looked at, so it cannot be protected: {(error.strerror or str(error)).lower()}",
            remedy=f"make `{os.path.dirname(name) or '.'}` accessible for you (`chmod u+rwx`)",
        ) from error
    except OSError:
        # A link among the folders above it: that link is pinned by its own row, or this row has nothing to hold on to.
        return None
    try:
        return stat.S_IFMT(os.fstat(opened).st_mode)
    finally:
        os.close(opened)


def _place_holder(root: int, base: str, name: str, row: ControlFile) -> list[Stub]:
    if row.direct is Direct.KEEP:
        return []
    parent = os.path.dirname(name)
    if parent and _kind(root, parent) != stat.S_IFDIR:
        return []
    return [Stub(workspace=base, name=name, content=row.stub)]


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def _about(row: ControlFile, kind: int, *, linked: bool) -> list[str]:
    if kind == stat.S_IFLNK and not (row.pattern == ".git" and linked):
        return [f"`{row.pattern}` is a symbolic link: it cannot be replaced, but what it leads to is not protected"]
    if row.pattern == ".git" and not linked:
        return ["`.git` leads to a repository elsewhere, which the sandbox does not see: Git does not work inside"]
    return []
