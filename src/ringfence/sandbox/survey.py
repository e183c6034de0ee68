"""Looks at the disk for a plan: what exists, where links lead, what has to be covered. The result is the layout that
the process inside follows; it is plain data, because that process has no decoder but the interpreter's own."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ringfence.model.display import shortened
from ringfence.model.display import visible as visible_text
from ringfence.model.shown import Bind, PlacedFile
from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import Access
from ringfence.policy.paths import PathTable, path_table
from ringfence.sandbox import etc, git_private, git_settings, overlay, protection, scan, stubs
from ringfence.sandbox.git_private import PrivateGit
from ringfence.sandbox.hard_links import LIMIT as HARD_LINKS
from ringfence.sandbox.hard_links import files_behind
from ringfence.sandbox.links import Links, strays
from ringfence.sandbox.live_sockets import hidden_sockets
from ringfence.sandbox.opened import Covered, opened
from ringfence.sandbox.own_places import OwnPlaces, own_places
from ringfence.sandbox.plan import (
    HOME_SIZE,
    PRIVATE,
    SHARED_MEMORY,
    SYSTEM_ROOTS,
    Below,
    Image,
    Plan,
    check_workspace,
    covers,
)
from ringfence.sandbox.programs import Programs
from ringfence.sandbox.way_places import KNOWN_HOSTS, PROGRAMS, way_places
from ringfence.sandbox.worktree import GIT_FOLDER, Linked, linked

INSIDE_ROOT = 1000
"""Who the host's root is inside: nobody is user 0 there."""

_PLAIN = re.compile(r"[\w./-]+")
"""Names that Git takes for no pattern."""


class Surveyed(msgspec.Struct, frozen=True, kw_only=True):
    """What the survey found."""

    layout: dict[str, object]
    notices: tuple[str, ...]
    release: Callable[[], None]
    """Removes what was made on the host for this sandbox; to be called when it has ended."""
    variables: Mapping[str, str] = {}
    """What commands have to find in their environment."""
    listeners: Mapping[str, socket.socket] = {}
    """What was made outside to be listened at."""
    private_git: PrivateGit | None = None
    """What Git writes in copies, for the session to bring back before the release."""


def survey(plan: Plan, name: str) -> Surveyed:
    """Look at the disk and lay the sandbox out. `name` tells this sandbox from others of the same process."""
    links = Links()
    workspace = real_workspace(plan, links)
    home = real_home(plan, links)
    asked, about_own = opened(plan.binds, links)
    asked, about_asked = reached(plan, workspace, asked)
    binds = _of_the_host(plan, workspace, home, asked, links)
    own = Bind(source=workspace, target=workspace, writable=plan.workspace_writable, required=True)
    repository = own_repository(plan, workspace)
    shared = shared_repository(plan, repository)
    made = {file.path for file in plan.files if file.made}
    # What was made for this sandbox takes the place of the host's file of that name.
    ordered = [bind for bind in unique([*binds, own, *shared]) if bind.target not in made]
    staged = _staged(plan, workspace, shared)
    private = [*PRIVATE, (home, 0o700, HOME_SIZE)]
    layout = _arranged(plan, workspace, home, private, ordered, staged)
    followed = [(path, to) for path, to in sorted(links.found.items()) if not _shown(path, ordered)]
    bound = [bind for bind in ordered if bind not in (own, *shared)] if staged else ordered
    ours = own_places(plan.facts.own, plan.facts.program, tuple(ordered))
    looked, about_hidden = looked_for(plan, workspace)
    hidden = hidden_paths(plan, workspace, ordered, links, looked)
    nested = tuple(each for each in looked.found if each.endswith("/.git"))
    inner = git_private.modules(f"{workspace}/.git", protection.NESTED_LIMIT)
    nested = (*nested, *(os.path.relpath(each, workspace) for each in inner))
    found, mounted, release = _protected(plan, workspace, repository, nested, name, staged)
    ignores, named = _ignores(plan, workspace, mounted)
    copies = _private_git(plan, found, inner, name, release, own=f"{workspace}/.git/config", ignores=ignores)
    ignoring = _ignoring(ignores, home, named, bound) if staged and plan.image is None else []
    # What is made for this sandbox takes the place of the host's here too.
    placed = {path for path, *_ in ignoring}
    bound = [bind for bind in bound if bind.target not in placed]
    sockets, about_sockets = hidden_sockets(workspace, looked.special, [*asked, *shared], links)
    masked = sorted({*hidden, *ours.masked, *sockets})
    layout |= {
        "links": [each for each in followed if each[0] not in placed],
        "files": [*_files(plan, workspace, _accounts(plan, *_ids(plan), home), ordered), *ignoring],
        "binds": [
            *((bind.source, bind.target, bind.writable, bind.required) for bind in bound),
            *(copies.binds() if copies else ()),
        ],
        "settings": copies.links() if copies else [],
        "repositories": [each.path for each in copies.folders] if copies else [],
        "masked": masked,
        "covered": [
            *((path, "hidden") for path in masked if os.path.lexists(path)),
            *((path, "read") for path in _read_below(ordered) if os.path.lexists(path)),
        ],
        **_held(found, mounted, ours, Covered(ordered, [place[0] for place in private])),
    }
    notices = (*plan.notices, *about_own, *about_asked, *about_hidden, *about_sockets, *found.notices, *ours.notices)
    if plan.runtime is not None:
        layout["runtime"] = (plan.runtime.name, plan.runtime.program)
    variables = {**dict(plan.image.variables if plan.image else ()), **dict(plan.variables)}

    def release_all() -> None:
        if copies is not None:
            copies.remove()
        release()

    return Surveyed(layout=layout, notices=notices, release=release_all, private_git=copies, variables=variables)


def _of_the_host(plan: Plan, workspace: str, home: str, asked: Sequence[Bind], links: Links) -> list[Bind]:
    """What appears of the host, or of an image in its place, beside the workspace."""
    if plan.image is not None:
        roots = image_roots(plan.image, (workspace, home, *(bind.target for bind in asked)), links)
        return [*roots, *(canonical(bind, links) for bind in asked)]
    binds = [*system_roots(links), *visible_etc(links), *(canonical(bind, links) for bind in asked)]
    return [*binds, *program_folders(plan, workspace, home, links)]


def _arranged(
    plan: Plan,
    workspace: str,
    home: str,
    private: Sequence[tuple[str, int, str]],
    ordered: list[Bind],
    staged: Sequence[overlay.Overlay],
) -> dict[str, object]:
    """The sandbox without what is held in it and the files in it: who one is there, its own folders, and its ways
    out."""
    facts = plan.facts
    uid, gid = _ids(plan)
    layout: dict[str, object] = {
        "uid": uid,
        "gid": gid,
        # SECURITY: by the user of the host, never by the one inside: root's /proc/sys is the machine's.
        "whole_proc": plan.ways.nested_namespaces and facts.uid != 0,
        "hostname": facts.hostname,
        "host_ports": list(plan.host_ports),
        "shared_memory": SHARED_MEMORY,
        "private": [place for place in private if place[0] not in {bind.target for bind in ordered}],
        "overlays": [(each.covered, (each.covered, each.holders, each.upper, each.work)) for each in staged],
        "writable": [place[0] for place in private]
        + ["/dev/shm", "/dev/pts"]  # noqa: S108
        + [bind.target for bind in ordered if bind.writable],
    }
    return layout | way_places(plan.ways, ordered, commands=any(covers(PROGRAMS, file.path) for file in plan.files))


def _ids(plan: Plan) -> tuple[int, int]:
    """User and group inside."""
    return (INSIDE_ROOT, INSIDE_ROOT) if plan.facts.uid == 0 else (plan.facts.uid, plan.facts.gid)


def _files(
    plan: Plan, workspace: str, accounts: Iterable[tuple[str, bytes]], ordered: list[Bind]
) -> list[tuple[str, bytes, int]]:
    """The files that exist inside only."""
    shown = [bind.target for bind in ordered]
    own = [
        file
        for file in private_files(plan, workspace)
        if not (file.path == KNOWN_HOSTS and any(covers(target, file.path) for target in shown))
    ]
    over = [file for file in plan.overlays if any(covers(target, file.path) for target in shown)]
    return [
        *((path, content, 0o644) for path, content in accounts),
        *((file.path, file.content, file.mode) for file in (*own, *over)),
    ]


def _held(
    found: protection.Protection, mounted: Iterable[tuple[str, str]], ours: OwnPlaces, covered: Covered
) -> dict[str, object]:
    """What nothing inside changes, although it lies where commands may write."""
    mounted = tuple(mounted)
    read_only = [
        *found.read_only,
        *covered.without(ours.read_only),
        *(each for each, what in mounted if what == "itself"),
    ]
    return {
        "pinned": [*covered.without(ours.pinned), *found.pinned],
        "read_only": read_only,
        "folders": [path for path in read_only if os.path.isdir(path)],
        "stubs": [(each, what) for each, what in mounted if what != "itself"],
    }


def _read_below(bound: list[Bind]) -> list[str]:
    """What a rule shows read-only in a folder that may be written."""
    writable = [bind.target for bind in bound if bind.writable]
    return [
        bind.target
        for bind in bound
        if not bind.writable and any(bind.target != each and covers(each, bind.target) for each in writable)
    ]


def _ignores(plan: Plan, workspace: str, mounted: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """What Git is to ignore: place holders, which it would look into for files and try to clean away, and whatever it
    ignores for the person, because one file stands for both; and where the person's settings say that it lies."""
    paths = [path for path, _ in mounted if path.startswith(f"{workspace}/")]
    names = [path[len(workspace) :] for path in paths if _PLAIN.fullmatch(path[len(workspace) :])]
    if not names:
        return "", ""
    personal = plan.facts.git_settings or git_settings.personal(plan.facts.home)
    table = _table(plan)

    def may_show(path: str) -> bool:
        # SECURITY: nothing that an agent wrote chooses what is shown, and no rule is gone round (T2).
        real = os.path.realpath(path)
        return not (covers(workspace, real) or _is_denied(table, real) or strays(path, (workspace,)))

    kept, named = git_settings.personal_ignores(personal, plan.facts.home, may_show)
    return "\n".join((*names, kept)), named


def _ignoring(ignores: str, home: str, named: str, bound: list[Bind]) -> list[tuple[str, bytes, int]]:
    """Files by which Git ignores that too where a repository's settings are the session's own: the settings of the
    machine, and what a setting of the person names in their place."""
    if not ignores:
        return []
    content = git_settings.read(git_settings.MACHINE) + git_private.IGNORING
    found = [(git_settings.MACHINE, content), (git_private.IGNORES, ignores)]
    # SECURITY: through a link, or in a folder of the host, the host's file would be written, which a person's setting
    # or whoever made the link has chosen.
    folder = os.path.dirname(named)
    if named and covers(home, named) and os.path.realpath(folder) == folder:
        found.append((named, ignores))
    return [
        (path, os.fsencode(text), 0o644)
        for path, text in found
        if not any(bind.target != path and (covers(bind.target, path) or covers(path, bind.target)) for bind in bound)
    ]


def _private_git(
    plan: Plan,
    found: protection.Protection,
    inner: tuple[str, ...],
    name: str,
    release: Callable[[], None],
    *,
    own: str,
    ignores: str,
) -> PrivateGit | None:
    if not found.settings and not found.repositories:
        return None
    folder = os.path.join(plan.facts.state or stubs.usual_state(plan.facts.home), "git", f"{os.getpid()}-{name}")
    try:
        return git_private.prepare(folder, found, inner, own=own, ignores=ignores)
    except BaseException:
        release()
        raise


def _staged(plan: Plan, workspace: str, shared: list[Bind]) -> tuple[overlay.Overlay, ...]:
    """The overlays over a staged workspace and the repository that it shares."""
    if plan.staging is None:
        return ()
    made = overlay.prepare(plan.staging, workspace)
    if not shared:
        return (made,)
    path = shared[0].source
    if plan.staging_shared is None:
        raise SandboxUnavailable(
            f"the workspace cannot be staged: its repository lies in `{path}`, which is not the `.git` of a folder",
            remedy="run with `--direct`, or in a working tree of an ordinary repository",
        )
    return made, overlay.prepare(plan.staging_shared, path, below=GIT_FOLDER)


def _protected(
    plan: Plan,
    workspace: str,
    repository: Linked | None,
    nested: tuple[str, ...],
    name: str,
    staged: tuple[overlay.Overlay, ...],
) -> tuple[protection.Protection, list[tuple[str, str]], Callable[[], None]]:
    if not plan.workspace_writable:
        return protection.Protection(), [], lambda: None
    state = plan.facts.state or stubs.usual_state(plan.facts.home)
    looked: list[protection.Protection] = []
    home = plan.facts.home
    personal = plan.facts.git_settings or git_settings.personal(home)
    repositories = protection.Repositories(shared=repository, nested=nested, personal=personal, home=home)

    def look(place_holders: frozenset[tuple[str, str]]) -> tuple[stubs.Stub, ...]:
        looked.append(
            protection.protection(workspace, place_holders, repositories, plan.control_files, staged=bool(staged))
        )
        return looked[0].wanted

    if staged:
        made, release = overlay.place_holders(staged, look(stubs.standing(state))), lambda: None
    else:
        made, release = stubs.claim(state, look, name)
    # What has a private copy is covered by that.
    copied = {*looked[0].settings, *looked[0].repositories}
    mounted = [protection.stub_mount(stub) for stub in made]
    return looked[0], [each for each in mounted if each[0] not in copied], release


def own_repository(plan: Plan, workspace: str) -> Linked | None:
    found = linked(workspace)
    if found is None or _is_denied(_table(plan), found.repository):
        return None
    try:
        check_workspace(found.repository, os.path.realpath(plan.facts.home))
    except SandboxUnavailable:
        return None
    return found


def shared_repository(plan: Plan, repository: Linked | None) -> list[Bind]:
    if repository is None or covers(plan.workspace, repository.repository):
        return []
    path = repository.repository
    return [Bind(source=path, target=path, writable=plan.workspace_writable, required=True)]


def reached(plan: Plan, workspace: str, asked: list[Bind]) -> tuple[list[Bind], list[str]]:
    """The binds that are there and may be shown where they really are, and what to say of the others."""
    table, kept, notices = _table(plan), list[Bind](), list[str]()
    for bind in asked:
        real = os.path.realpath(bind.source)
        # SECURITY: a rule names a path, a link makes it another one: `~/.gitconfig` that leads to a key shows the key,
        # and whoever could write where the link lies has chosen it (T2).
        if real != bind.source and _is_denied(table, real):
            notices.append(f"`{bind.source}` is not visible: it leads to `{real}`, which a rule denies")
        elif strays(bind.source, (workspace,)):
            notices.append(f"`{bind.source}` is not visible: a link in the workspace leads it to `{real}`")
        elif os.path.lexists(bind.source) or bind.required:
            kept.append(bind)
    return kept, notices


def private_files(plan: Plan, workspace: str) -> list[PlacedFile]:
    """The private files, without copies of what may not be seen: the original may be a link that leads there."""
    table = _table(plan)
    return [
        file
        for file in plan.files
        if (file.made or not _is_denied(table, os.path.realpath(file.path))) and not strays(file.path, (workspace,))
    ]


def _table(plan: Plan) -> PathTable:
    return path_table(plan.rules, plan.facts.home, plan.workspace)


def looked_for(plan: Plan, workspace: str) -> tuple[scan.Looked, tuple[str, ...]]:
    """What deny patterns name in the workspace, and the repositories in it."""
    patterns = [each for each in plan.denied_globs if not each.startswith("/")]
    table = _table(plan)
    state = plan.facts.state or stubs.usual_state(plan.facts.home)
    secrets, whole = files_behind((each for each in plan.denied if _is_denied(table, each)), state)
    looked = scan.matches(workspace, (*patterns, "**/.git"), files=secrets)
    closed = [each for each in looked.closed if patterns and each]
    text = "hidden, because what is denied may lie in folders that cannot be looked into: "
    notice = (text + ", ".join(f"`{each[:200]}`" for each in closed[:3]),) if closed else ()
    if looked.linked:
        names = ", ".join(f"`{shortened(visible_text(each), 80)}`" for each in looked.linked[:3])
        more = f" and {len(looked.linked) - 3} more" if len(looked.linked) > 3 else ""
        notice = (*notice, f"hidden, because they are other names (hard links) of files that are denied: {names}{more}")
    if not whole:
        notice = (
            *notice,
            f"hard links of what is denied were looked for of the first {HARD_LINKS:,} denied files only",
        )
    return msgspec.structs.replace(looked, closed=closed), (*looked.notices, *notice)


def hidden_paths(plan: Plan, workspace: str, binds: list[Bind], links: Links, looked: scan.Looked) -> list[str]:
    visible = [bind.target for bind in binds]
    table = _table(plan)
    named = [path for each in plan.denied if _is_denied(table, each) for path in {each, links.real(each)}]
    shown = Below(visible)
    hidden = [path for path in named if path in shown]
    hidden += [f"{workspace}/{each}" for each in looked.found if _is_denied(table, f"{plan.workspace}/{each}")]
    hidden += [f"{workspace}/{each}" for each in (*looked.closed, *looked.linked)]
    for pattern in plan.denied_globs:
        if pattern.startswith("/"):
            hidden += [each for each in _elsewhere(pattern, visible) if _is_denied(table, each)]
    return sorted(set(hidden))


def _is_denied(table: PathTable, path: str) -> bool:
    found = table.match(path)
    return found is not None and found.rule.access is Access.DENY


def _elsewhere(pattern: str, visible: list[str]) -> list[str]:
    base = os.path.dirname(pattern[: min(pattern.index(each) for each in "*?[" if each in pattern)])
    roots = [each for each in visible if covers(base, each)]
    roots += [base] if any(covers(each, base) for each in visible) and os.path.isdir(base) else []
    return [f"{root}/{name}" for root in roots for name in scan.matches(root, (pattern,), f"{root}/").found]


def real_home(plan: Plan, links: Links) -> str:
    home = links.real(plan.facts.home)
    if home in ("/", *SYSTEM_ROOTS, *(place[0] for place in PRIVATE)):
        raise SandboxUnavailable(
            f"your home folder is `{home}`, which cannot be made private", remedy="set HOME to a folder of your own"
        )
    return home


def real_workspace(plan: Plan, links: Links) -> str:
    path = plan.workspace
    if not os.path.isdir(path):
        what = "is not a folder" if os.path.exists(path) else "does not exist"
        raise SandboxUnavailable(
            f"the workspace `{path}` {what}", remedy="give an existing folder with `--workspace DIR`"
        )
    real = links.real(path)
    # SECURITY: once more for where it really is, because a link may have led to HOME.
    check_workspace(real, os.path.realpath(plan.facts.home))
    return real


def system_roots(links: Links) -> list[Bind]:
    found = []
    for path in SYSTEM_ROOTS:
        real = links.real(path)
        if os.path.isdir(real):
            found.append(Bind(source=real, target=real))
    # A link into another root needs no mount of its own.
    return [bind for bind in found if not any(covers(o.target, bind.target) and o != bind for o in found)]


def image_roots(image: Image, places: tuple[str, ...], links: Links) -> list[Bind]:
    """What an image holds, in the places it has there, but for what a sandbox has to itself and what lies above
    `places`, which come from the host."""
    # SECURITY: an image's links are followed by the programs inside, and never by us on the host (T1).
    found: list[Bind] = []
    waiting = [f"/{name}" for name in _entries(image.root) if name not in _NOT_OF_AN_IMAGE]
    while waiting:
        path = waiting.pop(0)
        source = image.root + path
        if path in _NOT_BELOW or any(covers(path, place) for place in places):
            continue
        if os.path.islink(source):
            links.found[path] = os.readlink(source)
        elif path in _NAME_BY_NAME and os.path.isdir(source):
            waiting += [f"{path}/{name}" for name in _entries(source)]
        else:
            found.append(Bind(source=source, target=path))
    return found


_NOT_OF_AN_IMAGE = frozenset({"dev", "proc", "sys", "run", "tmp", "home", "root", "mnt", "media"})
_NAME_BY_NAME = ("/etc", "/var")
_NOT_BELOW = frozenset({*etc.SYNTHESISED, "/etc/mtab", "/var/tmp", "/var/run", "/var/lock"})  # noqa: S108


def _entries(folder: str) -> list[str]:
    return sorted(os.listdir(folder))


def visible_etc(links: Links) -> list[Bind]:
    found = []
    for name in etc.VISIBLE:
        path = f"/etc/{name}"
        if os.path.islink(path):
            links.real(path)
        elif os.path.lexists(path):
            found.append(Bind(source=path, target=path))
    return found


def program_folders(plan: Plan, workspace: str, home: str, links: Links) -> list[Bind]:
    def real(path: str) -> str:
        # SECURITY: PATH often names a folder of the workspace, and the agent may have put a link in its place: what it
        # leads to is not where programs are installed.
        return workspace if strays(path, (workspace,), links) else links.real(path)

    programs = Programs(home, workspace, real)
    programs.add_path(plan.facts.path)
    for program in plan.programs:
        programs.add_program(program, plan.facts.path)
    if plan.facts.package is not None:
        programs.add_package(plan.facts.package)
    denied = [links.real(path) for path in plan.denied]
    return [
        Bind(source=path, target=path)
        for path in programs.found()
        if not any(covers(each, path) for each in denied) and not any(covers(bind.target, path) for bind in plan.binds)
    ]


def canonical(bind: Bind, links: Links) -> Bind:
    source = links.real(bind.source)
    target = source if bind.target == bind.source else bind.target
    return Bind(source=source, target=target, writable=bind.writable, required=bind.required)


def _shown(link: str, binds: list[Bind]) -> bool:
    return any(covers(bind.target, link) for bind in binds)


def unique(binds: list[Bind]) -> list[Bind]:
    chosen: dict[str, Bind] = {}
    for bind in binds:
        before = chosen.get(bind.target)
        if before is None or not before.writable:
            chosen[bind.target] = bind
    return list(chosen.values())


def _accounts(plan: Plan, uid: int, gid: int, home: str) -> tuple[tuple[str, bytes], ...]:
    facts = plan.facts
    user = "user" if facts.uid == 0 else facts.user
    return etc.synthesised(user=user, uid=uid, gid=gid, home=home, hostname=facts.hostname)
