"""Looks at the disk for a plan that has to do without mounts: which folders Landlock opens for reading, which the
supervisor changes, and what cannot be kept here, so that the session is refused."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterable

import msgspec

from ringfence.model.shown import Bind, PlacedFile
from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox import etc, git_settings, protection
from ringfence.sandbox.links import Links
from ringfence.sandbox.listeners import HOOK_PATH
from ringfence.sandbox.opened import opened
from ringfence.sandbox.own_places import OwnPlaces, own_places
from ringfence.sandbox.plan import Plan, covers
from ringfence.sandbox.stores import Store
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
from ringfence.sandbox.way_places import KNOWN_HOSTS, PROGRAMS, check_no_ways

_PREFIX = "ringfence-"
_SETTINGS = re.compile("/etc/[^/]+(?=/)")
"""Folders that the sandbox has to itself where a file of one is placed: the settings that bind an agent."""
_SPLIT_LIMIT = 10_000
"""How many single names are opened where a folder holds something that stays hidden."""
_BACKLOG = 128
NEWEST = 1_000
"""The newest generation of Landlock to be used; tests do with what older kernels have."""


def survey_unshared(plan: Plan, name: str) -> Surveyed:
    """Look at the disk and lay out a sandbox without namespaces. `name` tells this sandbox from others."""
    check_no_ways(plan.ways)
    if plan.staging is not None:
        raise SandboxUnavailable(
            "the workspace cannot be staged in tier B: that takes mounts",
            remedy="run with `--direct`, or where tier A is possible; `ringfence doctor` says what is missing",
        )
    _without_image(plan, "B")
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
    opened_up = _readable(binds, hidden)
    base = _private_place(name)
    stores: dict[str, Store] = {}
    try:
        for root, levels in opened_up.levels.items():
            stores[root] = _store(root, levels, hidden)
        # Without mounts nothing of ours can stand at a place of the system: a shell there starts the program itself.
        files = [file for file in private_files(plan, workspace) if not _stands_in(file)]
        places = _furnish(base, plan, home, shown, files, "B")
        listener = _hook(base)
    except BaseException:
        _release(base, stores)
        raise
    temporary = f"{base}/tmp"  # noqa: S108 - in a folder of our own
    layout: dict[str, object] = {
        "tier": "B",
        "generation": NEWEST,
        "host_ports": list(plan.host_ports),
        "read": [*opened_up.read, "/proc", *_names(), f"{base}/hook", f"{base}/shown"],
        "listed": opened_up.listed,
        "levels": [level for levels in opened_up.levels.values() for level in levels],
        "stores": {root: store.path for root, store in stores.items()},
        "private": [f"{base}/home", temporary],
        "hook": f"{base}/hook/hook.sock",
        "shown": places,
        **_changes(binds, found, ours, [*_within(stores, hidden), *(store.path for store in stores.values())]),
    }
    notices = (*plan.notices, *about_own, *about_asked, *about_hidden, *found.notices, *ours.notices, _SAID)
    notices += tuple(_about_levels(root, levels) for root, levels in opened_up.levels.items())
    variables = {"HOME": f"{base}/home", "RINGFENCE_HOOKS": f"{base}/hook"}
    variables |= dict.fromkeys(("TMPDIR", "TMP", "TEMP"), temporary)
    variables |= {name: f"{base}/hook/{os.path.basename(path)}" for name, path in plan.variables}
    return Surveyed(
        layout=layout,
        notices=notices,
        release=lambda: _release(base, stores),
        variables=variables,
        listeners={"hook": listener},
    )


def survey_declared(plan: Plan, name: str) -> Surveyed:
    """Lay out a session that something around it holds: folders of its own, the hooks' socket, and the gateway on the
    loopback. Nothing of the policy's files is kept here, and a notice says so."""
    _without_image(plan, "C")
    check_no_ways(plan.ways)
    links = Links()
    workspace, home = real_workspace(plan, links), real_home(plan, links)
    asked, about_own = opened(plan.binds, links)
    asked, about_asked = reached(plan, workspace, asked)
    base = _private_place(name)
    try:
        shown = [canonical(bind, links) for bind in asked]
        files = [file for file in private_files(plan, workspace) if not _stands_in(file)]
        _furnish(base, plan, home, shown, files, "C")
        listeners = {"hook": _hook(base), "proxy": _proxy()}
    except BaseException:
        _remove(base)
        raise
    temporary = f"{base}/tmp"  # noqa: S108 - in a folder of our own
    port = listeners["proxy"].getsockname()[1]
    variables = {"HOME": f"{base}/home", "RINGFENCE_HOOKS": f"{base}/hook"}
    variables |= dict.fromkeys(("TMPDIR", "TMP", "TEMP"), temporary)
    variables |= dict.fromkeys(PROXIED, f"http://127.0.0.1:{port}")
    variables |= {name: f"{base}/hook/{os.path.basename(path)}" for name, path in plan.variables}
    said = (
        f"THIS SESSION HAS NO SANDBOX (tier C): the policy declares that it is held by {plan.boundary}. Files, control "
        "files and secrets are not protected, and only programs that obey proxy variables go through the "
        "gateway; commands, approvals, limits and the record work"
    )
    return Surveyed(
        layout={"tier": "C", "boundary": plan.boundary},
        notices=(said, *plan.notices, *about_own, *about_asked),
        release=lambda: _remove(base),
        variables=variables,
        listeners=listeners,
    )


PROXIED = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""The variables that tell programs of a proxy."""


def _proxy() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.bind(("127.0.0.1", 0))
    made.listen(_BACKLOG)
    return made


_SAID = (
    "this session runs in a sandbox of tier B, without namespaces: names and sizes of files elsewhere and the command "
    "lines of other processes can be seen inside; HOME and TMPDIR are private folders at paths of their own, and the "
    "shared `/tmp` is closed"
)


def _without_image(plan: Plan, tier: str) -> None:
    if plan.image is not None:
        raise SandboxUnavailable(
            f"tier {tier} cannot take programs from the image `{plan.image.name}`: that takes mounts",
            remedy="run where tier A is possible, or inside a container of that image",
        )


class _Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What Landlock is to open for reading."""

    read: list[str]
    """With all that is below."""
    listed: list[str]
    """The names alone, here and below."""
    levels: dict[str, list[str]]
    """For folders that can be written and hold something hidden: the folders in them that are opened name by name."""


def _readable(binds: list[Bind], hidden: list[str]) -> _Opened:
    """What may be read as a whole, and the folders of which only the names may be."""
    read, listed, levels = list[str](), list[str](), dict[str, list[str]]()
    for bind in binds:
        inside = [path for path in hidden if covers(bind.source, path) and os.path.lexists(path)]
        if not inside:
            read.append(bind.source)
            continue
        named = _split(bind.source, frozenset(inside), read, listed)
        if bind.writable:
            # Names can be seen as a whole only, those in hidden folders among them; else nothing could be listed.
            listed.append(bind.source)
            levels[bind.source] = named
    return _Opened(read=list(dict.fromkeys(read)), listed=list(dict.fromkeys(listed)), levels=levels)


def _store(root: str, levels: list[str], hidden: list[str]) -> Store:
    try:
        return Store(root, levels)
    except OSError as error:
        # SECURITY: Landlock opens folders with all that is in them, now and later; where something stays hidden, what
        # is made beside it could not be opened.
        shown = ", ".join(f"`{path}`" for path in _within((root,), hidden)[:3])
        raise SandboxUnavailable(
            f"tier B cannot hide {shown} in `{root}`, which can be written: no files can be kept in store there "
            f"({error.strerror})",
            remedy="move it out of the folder, open it with `--read FILE`, give only reading (`--policy read-only`), "
            "or run where tier A is possible",
        ) from error


def _within(folders: Iterable[str], paths: list[str]) -> list[str]:
    return [path for path in paths if any(covers(folder, path) for folder in folders)]


def _about_levels(root: str, levels: list[str]) -> str:
    return (
        f"something is hidden in `{root}`: in {len(levels)} of its folders, what somebody outside makes during the "
        "session cannot be read inside, and the names in hidden folders can be seen"
    )


def _split(folder: str, hidden: frozenset[str], read: list[str], listed: list[str]) -> list[str]:
    """Open a folder name by name, but for what is hidden; which folders that was done in."""
    if folder in hidden:
        return []
    if not any(covers(folder, path) for path in hidden):
        read.append(folder)
        return []
    if len(read) > _SPLIT_LIMIT:
        raise SandboxUnavailable(
            f"tier B would have to open more than {_SPLIT_LIMIT} names one by one, for what is hidden beside them",
            remedy="hide fewer paths, or run where tier A is possible",
        )
    if not any(os.path.isdir(path) for path in hidden if covers(folder, path)):
        listed.append(folder)
    split = [folder]
    with os.scandir(folder) as entries:
        for entry in entries:
            split += _split(entry.path, hidden, read, listed)
    return split


def _names() -> list[str]:
    """The machine's own accounts and names: they cannot be others here."""
    return [os.path.realpath(path) for path in etc.SYNTHESISED if os.path.exists(path)]


def _changes(binds: list[Bind], found: protection.Protection, ours: OwnPlaces, hidden: list[str]) -> dict[str, object]:
    wanted = [f"{stub.workspace}/{stub.name}" for stub in found.wanted]
    return {
        "roots": [bind.source for bind in binds if bind.writable],
        "closed": [
            *(*found.read_only, *found.settings, *found.repositories),
            *(*wanted, *ours.read_only, *ours.masked, *hidden),
        ],
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


def _furnish(base: str, plan: Plan, home: str, shown: list[Bind], files: list[PlacedFile], tier: str) -> dict[str, str]:
    """The private folders, with a link in HOME for everything there that is opened; and which of them are to be found
    at other paths."""
    for name in ("home", "tmp", "hook", "shown"):
        os.mkdir(f"{base}/{name}", 0o700)
    for bind in shown:
        place = _in_home(bind.target, home, plan.facts.home)
        if place is None and bind.target != bind.source:
            raise SandboxUnavailable(
                f"tier {tier} cannot show `{bind.source}` at `{bind.target}`: that takes mounts",
                remedy="run where tier A is possible; `ringfence doctor` says what is missing",
            )
        if place and not covers(plan.workspace, bind.target):
            _link(f"{base}/home/{place}", bind.source)
    places: dict[str, str] = {}
    for file in files:
        place = _in_home(file.path, home, plan.facts.home)
        settings = _SETTINGS.match(file.path)
        if place:
            _write(f"{base}/home/{place}", file.content, file.mode)
        elif os.path.dirname(file.path) == os.path.dirname(HOOK_PATH):
            _write(f"{base}/hook/{os.path.basename(file.path)}", file.content, file.mode)
        elif settings is not None and tier == "B":
            _write(f"{base}/shown{file.path}", file.content, file.mode & 0o555 | 0o400)
            places[settings[0]] = f"{base}/shown{settings[0]}"
        else:
            raise SandboxUnavailable(
                f"tier {tier} cannot put a private file at `{file.path}`: that takes mounts",
                remedy="run where tier A is possible; `ringfence doctor` says what is missing",
            )
    # Hooks are part of the settings, and name their program by this path.
    return {os.path.dirname(HOOK_PATH): f"{base}/hook", **places} if places else {}


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
    return covers(PROGRAMS, file.path) or (file.made and file.path in ("/etc/profile", KNOWN_HOSTS))


def _hook(base: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    made.bind(f"{base}/hook/hook.sock")
    made.listen(_BACKLOG)
    return made


def _release(base: str, stores: dict[str, Store]) -> None:
    for store in stores.values():
        store.remove()
    stores.clear()
    _remove(base)


def _remove(path: str) -> None:
    """Remove a folder of the sandbox's own, whatever was made of it."""

    def open_up(function: object, name: str, _: object) -> None:
        # A program may have closed its folders to everybody, its user included. What is around the folder is not ours
        # to open, also where the folder itself is gone already.
        with contextlib.suppress(OSError):
            if name != path:
                os.chmod(os.path.dirname(name), 0o700)
            if not os.path.islink(name):
                os.chmod(name, 0o700)
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)

    shutil.rmtree(path, onerror=open_up)
