"""The narrowest rules that cover some needs: hosts with their port, exact paths or their nearest folder, exact words.

Pure. Which needs there are is found in `learn`; here they only become rules. Where many of one kind were seen, they are
drawn together as far as the evidence goes and no further.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias
from urllib.parse import unquote

import msgspec

from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.commands import OPEN_END, hits_rule
from ringfence.policy.effective import Access, CommandRule, HostRule, Origin, PathRule
from ringfence.policy.host_keys import ANY_KEY, published
from ringfence.policy.paths import check_pattern
from ringfence.policy.protocols import Protocol, usual
from ringfence.policy.shell.analysis import analyse_shell

EXACT = 4
"""So many paths in one folder, or spellings of one command, are listed one by one; more are drawn together."""

_ORIGIN = Origin(layer="user", source="learned")
_MIN_DEPTH = 2
"""A folder nearer to the root than this is never opened as a whole."""
_SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/opt", "/proc", "/root", "/sbin", "/sys", "/usr", "/var/spool")

Addition: TypeAlias = HostRule | PathRule | CommandRule


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that would have to be open: a request to a host, a path, or a command that a rule asks about."""

    kind: str
    """`host`, `path` or `command`."""
    host: str = ""
    port: int = 0
    method: str | None = None
    path: str | None = None
    access: Access = Access.READ
    rule: str = ""
    words: tuple[str, ...] = ()
    decide: str = ""
    """Why a person has to decide about it."""


Covering: TypeAlias = tuple[Addition, tuple[Need, ...]]
"""A rule, and the needs that it is for."""


def host_rules(needs: Iterable[Need], *, taken: set[str], why: str) -> list[Covering]:
    """One rule for each destination, with the methods and paths that were seen where all of them were seen."""
    groups: dict[tuple[str, int], list[Need]] = defaultdict(list)
    for need in needs:
        groups[need.host, need.port].append(need)
    found: list[Covering] = []
    for (host, port), group in sorted(groups.items()):
        seen = all(need.method is not None for need in group)
        protocol = "" if seen else usual(port)
        rule = HostRule(
            id=_free(f"learned-{host}-{port}", taken),
            hosts=(str(HostPattern.parse(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")),),
            methods=tuple(sorted({need.method for need in group if need.method})) if seen else (),
            paths=_url_paths([need.path for need in group]) if seen else (),
            protocol=protocol,
            # Which key was shown is not on record: whoever accepts the rule sees that any will do.
            host_keys=(ANY_KEY,) if protocol == Protocol.SSH and not published(host) else (),
            verdict=Verdict.ALLOW,
            reason=why,
            origin=_ORIGIN,
        )
        found.append((rule, tuple(group)))
    return found


def _url_paths(paths: Sequence[str | None]) -> tuple[str, ...]:
    plain = sorted({_escaped(unquote(path.partition("?")[0])) for path in paths if path is not None})
    if not plain or any(path is None for path in paths):
        return ()
    if len(plain) <= EXACT:
        return tuple(plain)
    folder = posixpath.commonpath(plain)
    return (f"{folder.rstrip('/')}/**",)


def path_rules(needs: Sequence[Need], *, home: str) -> list[Covering]:
    """Exact paths; the folder of many that lie side by side."""
    found: list[Covering] = []
    written = [need for need in needs if need.access is Access.WRITE]
    opened = _drawn_together([need.path or "" for need in written], home)
    for access, group in ((Access.WRITE, written), (Access.READ, [need for need in needs if need not in written])):
        places = opened if access is Access.WRITE else _drawn_together([need.path or "" for need in group], home)
        for place in places:
            covered = tuple(need for need in group if _inside(need.path or "", place))
            if access is Access.READ and all(any(_inside(need.path or "", one) for one in opened) for need in covered):
                continue
            shown = f"~/{place.removeprefix(home).lstrip('/')}" if _inside(place, home) and place != home else place
            rule = PathRule(pattern=_escaped(shown), access=access, origin=_ORIGIN)
            found.append((rule, covered))
    return found


def _drawn_together(paths: Iterable[str], home: str) -> list[str]:
    """The paths, where a folder with more than a few ways down to them stands for all of them, again and again."""
    places = set(paths)
    while True:
        folders: dict[str, set[str]] = defaultdict(set)
        for place in places:
            while (folder := posixpath.dirname(place)) != place:
                folders[folder].add(place)
                place = folder
        crowded = [folder for folder, inside in folders.items() if len(inside) > EXACT and _may_open(folder, home)]
        if not crowded:
            return sorted(places)
        deepest = max(crowded, key=lambda folder: folder.count("/"))
        places = {place for place in places if not _inside(place, deepest)} | {deepest}


def _may_open(folder: str, home: str) -> bool:
    depth = len([name for name in folder.split("/") if name])
    return depth >= _MIN_DEPTH and not _inside(home, folder)


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def is_run_later(path: str, home: str) -> bool:
    """Whether a file there may be read or run by the person's own programs, outside of any session."""
    if any(_inside(path, folder) for folder in _SYSTEM):
        return True
    if not _inside(path, home):
        return False
    first = path.removeprefix(home).lstrip("/").partition("/")[0]
    return first.startswith(".") and first != ".cache"


def exception_rule(rule: CommandRule, needs: Sequence[Need]) -> Covering:
    """A rule of the same id and meaning, with exceptions for exactly the commands that were seen."""
    added = tuple(tuple((word,) for word in words) for words in _prefixes([need.words for need in needs]))
    kept = msgspec.structs.replace(
        rule, unless=(*rule.unless, *(one for one in added if one not in rule.unless)), origin=_ORIGIN
    )
    # Examples of the original may be what is excepted now.
    match = tuple(text for text in rule.match if hits_rule(kept, analyse_shell(text, home=None).invocations))
    return msgspec.structs.replace(kept, match=match), tuple(needs)


def _prefixes(spellings: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for words in dict.fromkeys(spellings):
        groups[_subcommand(words)].append(words)
    found: list[tuple[str, ...]] = []
    for head, group in groups.items():
        rest = [word for words in group for word in words[len(head) :]]
        if len(group) > EXACT and len(head) > 1 and not any(word.startswith(("-", "+")) for word in rest):
            found.append((*head, OPEN_END))
        else:
            found += group
    return found


def _subcommand(words: tuple[str, ...]) -> tuple[str, ...]:
    """The program and its sub-command, where it has one."""
    return words[:2] if len(words) > 1 and re.fullmatch(r"[a-z][a-z0-9:-]*", words[1]) else words[:1]


def fault_of(path: str) -> str | None:
    """Why a path cannot stand in a policy, or nothing."""
    return check_pattern(_escaped(path))


def _escaped(path: str) -> str:
    """A path in which nothing stands for other characters."""
    return re.sub(r"[*?\[]", lambda found: f"[{found[0]}]", path)


def _free(name: str, taken: set[str]) -> str:
    """An id that is not taken, and is from now on."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:72]
    numbered = (plain if number == 1 else f"{plain}-{number}" for number in range(1, 10_000))
    free = next(each for each in numbered if each not in taken)
    taken.add(free)
    return free
