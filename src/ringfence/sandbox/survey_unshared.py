"""Looks at the disk for a plan that has to do without mounts: which folders Landlock opens for reading, which the
supervisor changes, and what cannot be kept here, so that the session is refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile

from ringfence.model.shown import Bind, PlacedFile
from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox import etc, git_settings, protection
from ringfence.sandbox.links import Links
from ringfence.sandbox.listeners import HOOK_PATH
from ringfence.sandbox.opened import opened
from ringfence.sandbox.own_places import OwnPlaces, own_places
from ringfence.sandbox.plan import Plan, covers
from ringfence.sandbox.survey import (
    Surveyed,
    canonical,
    hidden_paths,
    looked_for,
    own_repository,
    private_files,
    program_folders,
    reached,
    real_home,
    real_workspace,
    shared_repository,
    system_roots,
    unique,
    visible_etc,
)
from ringfence.sandbox.way_places import PROGRAMS, check_no_ways

_PREFIX = "ringfence-"
_SPLIT_LIMIT = 10_000
"""How many single names are opened where a folder holds something that stays hidden."""
_BACKLOG = 128


def survey_unshared(plan: Plan, name: str) -> Surveyed:
    """Look at the disk and lay out a sandbox without namespaces. `name` tells this sandbox from others."""
    check_no_ways(plan.ways)
    links = Links()
    workspace, home = real_workspace(plan, links), real_home(plan, links)
    asked, about_own = opened(plan.binds, links)
    asked, about_asked = reached(plan, workspace, asked)
    shown = [canonical(bind, links) for bind in asked]
    own = Bind(source=workspace, target=workspace, writable=plan.workspace_writable, required=True)
    repository = own_repository(plan, workspace)
    binds = [*system_roots(links), *visible_etc(links), *(b for b in shown if b.source == b.target)]
    binds += [*program_folders(plan, workspace, home, links), own, *shared_repository(plan, repository)]
    binds = unique(binds)
    looked, about_hidden = looked_for(plan, workspace)
    ours = own_places(plan.facts.own, plan.facts.program, tuple(binds))
    hidden = [*hidden_paths(plan, workspace, binds, links, looked), *ours.masked]
    nested = tuple(each for each in looked.found if each.endswith("/.git"))
    found = protection.Protection()
    if plan.workspace_writable:
        personal = plan.facts.git_settings or git_settings.personal(plan.facts.home)
        repositories = protection.Repositories(
            shared=repository, nested=nested, personal=personal, home=plan.facts.home
        )
        found = protection.protection(workspace, frozenset(), repositories)
    read, listed = _readable(binds, hidden)
    base = _private_place(name)
    try:
        # Without mounts nothing of ours can stand at a place of the system: a shell there starts the program itself.
        files = [file for file in private_files(plan, workspace) if not _stands_in(file)]
        _furnish(base, plan, home, shown, files)
        listener = _hook(base)
    except BaseException:
        _remove(base)
        raise
    temporary = f"{base}/tmp"  # noqa: S108 - in a folder of our own
    layout: dict[str, object] = {
        "tier": "B",
        "host_ports": list(plan.host_ports),
        "read": [*read, "/proc", *_names(), f"{base}/hook"],
        "listed": listed,
        "private": [f"{base}/home", temporary],
        "hook": f"{base}/hook/hook.sock",
        **_changes(binds, found, ours),
    }
    notices = (*plan.notices, *about_own, *about_asked, *about_hidden, *found.notices, *ours.notices, _SAID)
    variables = {"HOME": f"{base}/home", "RINGFENCE_HOOKS": f"{base}/hook"}
    variables |= dict.fromkeys(("TMPDIR", "TMP", "TEMP"), temporary)
    return Surveyed(
        layout=layout,
        notices=notices,
        release=lambda: _remove(base),
        variables=variables,
        listeners={"hook": listener},
    )


_SAID = (
    "this session runs in a sandbox of tier B, without namespaces: names and sizes of files elsewhere and the command "
    "lines of other processes can be seen inside; HOME and TMPDIR are private folders at paths of their own, and the "
    "shared `/tmp` is closed"
)


def _readable(binds: list[Bind], hidden: list[str]) -> tuple[list[str], list[str]]:
    """What may be read as a whole, and the folders of which only the names may be."""
    read, listed = list[str](), list[str]()
    for bind in binds:
        inside = [path for path in hidden if covers(bind.source, path) and os.path.lexists(path)]
        if not inside:
            read.append(bind.source)
        elif bind.writable:
            # SECURITY: Landlock opens folders with all that is in them, now and later; where something stays hidden,
            # what is made beside it could not be opened, so nothing could be made there.
            shown = ", ".join(f"`{path}`" for path in inside[:3])
            raise SandboxUnavailable(
                f"tier B cannot hide {shown} in `{bind.source}`, which can be written",
                remedy=f"move it out of the folder, open it with `--read {inside[0]}`, give only reading "
                "(`--policy read-only`), or run where tier A is possible",
            )
        else:
            _split(bind.source, frozenset(inside), read, listed)
    return list(dict.fromkeys(read)), list(dict.fromkeys(listed))


def _split(folder: str, hidden: frozenset[str], read: list[str], listed: list[str]) -> None:
    """Open a folder name by name, but for what is hidden."""
    if folder in hidden:
        return
    if not any(covers(folder, path) for path in hidden):
        read.append(folder)
        return
    if len(read) > _SPLIT_LIMIT:
        raise SandboxUnavailable(
            f"tier B would have to open more than {_SPLIT_LIMIT} names one by one, for what is hidden beside them",
            remedy="hide fewer paths, or run where tier A is possible",
        )
    if not any(os.path.isdir(path) for path in hidden if covers(folder, path)):
        listed.append(folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            _split(entry.path, hidden, read, listed)


def _names() -> list[str]:
    """The machine's own accounts and names: they cannot be others here."""
    return [os.path.realpath(path) for path in etc.SYNTHESISED if os.path.exists(path)]


def _changes(binds: list[Bind], found: protection.Protection, ours: OwnPlaces) -> dict[str, object]:
    wanted = [f"{stub.workspace}/{stub.name}" for stub in found.wanted]
    return {
        "roots": [bind.source for bind in binds if bind.writable],
        "closed": [*found.read_only, *wanted, *ours.read_only, *ours.masked],
        "pinned": [*found.pinned, *ours.pinned],
    }


def _private_place(name: str) -> str:
    """A folder for what the sandbox has to itself. What a killed session left is removed."""
    folder = tempfile.gettempdir()
    for each in os.listdir(folder):
        path = f"{folder}/{each}"
        owner = each.removeprefix(_PREFIX).partition("-")[0]
        if each.startswith(_PREFIX) and owner.isdecimal() and not os.path.exists(f"/proc/{owner}"):
            with contextlib.suppress(OSError):
                if os.lstat(path).st_uid == os.getuid():
                    _remove(path)
    return tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{name}-", dir=folder)


def _furnish(base: str, plan: Plan, home: str, shown: list[Bind], files: list[PlacedFile]) -> None:
    """The private folders, with a link in HOME for everything there that is opened."""
    for name in ("home", "tmp", "hook"):
        os.mkdir(f"{base}/{name}", 0o700)
    for bind in shown:
        place = _in_home(bind.target, home, plan.facts.home)
        if place is None and bind.target != bind.source:
            raise SandboxUnavailable(
                f"tier B cannot show `{bind.source}` at `{bind.target}`: that takes mounts",
                remedy="run where tier A is possible; `ringfence doctor` says what is missing",
            )
        if place and not covers(plan.workspace, bind.target):
            _link(f"{base}/home/{place}", bind.source)
    for file in files:
        if os.path.dirname(file.path) == os.path.dirname(HOOK_PATH):
            _write(f"{base}/hook/{os.path.basename(file.path)}", file.content, file.mode)
            continue
        place = _in_home(file.path, home, plan.facts.home)
        if not place:
            raise SandboxUnavailable(
                f"tier B cannot put a private file at `{file.path}`: that takes mounts",
                remedy="run where tier A is possible; `ringfence doctor` says what is missing",
            )
        _write(f"{base}/home/{place}", file.content, file.mode)


def _in_home(path: str, *homes: str) -> str | None:
    """A path relative to HOME; None where it lies elsewhere."""
    found = next((home for home in homes if covers(home, path)), None)
    return None if found is None else os.path.relpath(path, found)


def _link(path: str, target: str) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink(target, path)


def _write(path: str, content: bytes, mode: int) -> None:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(file, "wb") as writer:
        writer.write(content)


def _stands_in(file: PlacedFile) -> bool:
    return covers(PROGRAMS, file.path) or (file.made and file.path == "/etc/profile")


def _hook(base: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.bind(f"{base}/hook/hook.sock")
    made.listen(_BACKLOG)
    return made


def _remove(path: str) -> None:
    """Remove a folder of the sandbox's own, whatever was made of it."""

    def open_up(function: object, name: str, _: object) -> None:
        # A program may have closed its folders to everybody, its user included.
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(name), 0o700)
            if not os.path.islink(name):
                os.chmod(name, 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)

    shutil.rmtree(path, onerror=open_up)
