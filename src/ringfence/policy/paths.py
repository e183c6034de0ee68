"""Which path rule decides for a path: the most specific one, and on the same path deny, then write, then read.

Pure and lexical. It does not resolve symbolic links: whoever acts on a path opens it beneath a descriptor, and the
sandbox holds what no rule opened.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

import msgspec

from ringfence.policy.effective import Access, Origin, PathRule
from ringfence.policy.globs import Glob, components, expression, glob, is_glob

TOKENS = (":workspace", ":tmp", ":home")
"""What a path in a policy may begin with, besides `/` and `~`."""

TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - names of places, nothing is created here

_BUILT_IN = Origin(layer="built-in", source="ringfence")
_READABLE = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/etc", "/proc")
_READABLE_REASON = "programs and what they need of the system"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "fd", "stdin", "stdout", "stderr")

SYSTEM_RULES = (
    *(
        PathRule(pattern=path, access=Access.READ, origin=_BUILT_IN, reason=_READABLE_REASON)
        for path in (*_READABLE, "/home/linuxbrew")
    ),
    *(
        PathRule(pattern=f"/dev/{name}", access=Access.WRITE, origin=_BUILT_IN, reason="a harmless device")
        for name in _DEVICES
    ),
)
"""What every sandbox shows of the system; below every rule of a policy."""

BINDING = frozenset({"managed", "requirements"})
"""The layers whose denials hold whatever anybody else wrote."""

_Specificity = tuple[int, int, int, int]
_STRENGTH = {Access.DENY: 2, Access.WRITE: 1, Access.READ: 0}


class PathMatch(msgspec.Struct, frozen=True, kw_only=True):
    """The rule that decides for a path."""

    rule: PathRule
    depth: int
    """How many components of the path it names."""


def normalise(path: str) -> str:
    """A path with `.`, `..` and doubled slashes resolved by its text alone."""
    plain = posixpath.normpath(path) if path else "/"
    return "/" + plain.lstrip("/") if plain.startswith("/") else plain


def anchored(pattern: str, *, home: str, workspace: str) -> tuple[str, ...]:
    """The absolute path or glob that a pattern stands for; two of them for `:tmp`."""
    head, _, rest = pattern.partition("/")
    match head:
        case ":workspace":
            bases: tuple[str, ...] = (workspace,)
        case ":home" | "~":
            bases = (home,)
        case ":tmp":
            bases = TEMPORARY
        case "":
            return (normalise(pattern) if not is_glob(pattern) else pattern,)
        case _:
            bases, rest = (workspace,), pattern
    return tuple(_join(base, rest) for base in bases)


def check_pattern(pattern: str) -> str | None:
    """What is wrong with a path of a policy, or nothing."""
    if not pattern:
        return "a path is empty"
    if any(ord(character) < 0x20 or character == "\x7f" for character in pattern):
        return f"path `{pattern.encode('unicode_escape').decode()}` has a control character"
    if any("\ud800" <= character <= "\udfff" for character in pattern):
        return f"path `{pattern.encode('unicode_escape').decode()}` is not UTF-8"
    head = pattern.partition("/")[0]
    if head.startswith(":") and head not in TOKENS:
        return f"`{head}` is not a place; the places are {', '.join(f'`{token}`' for token in TOKENS)}"
    if head.startswith("~") and head != "~":
        return f"path `{pattern}`: only `~/` for your own home is understood"
    if ".." in pattern.split("/"):
        return f"path `{pattern}` has a component `..`; write the path that is meant"
    if is_glob(pattern):
        try:
            Glob(pattern)
        except ValueError as error:
            return str(error)
    return None


def covers(deny: str, pattern: str, *, home: str, workspace: str) -> bool:
    """Whether everything a pattern names lies at or below what a denied one names, as far as their texts tell."""
    outer = anchored(deny, home=home, workspace=workspace)
    return all(any(_covers(one, inner) for one in outer) for inner in anchored(pattern, home=home, workspace=workspace))


def _covers(deny: str, pattern: str) -> bool:
    names = components(pattern)
    fixed = next((at for at, name in enumerate(names) if is_glob(name)), len(names))
    if is_glob(deny):
        return deny == pattern or glob(deny).deepest(names[:fixed]) is not None
    return components(deny) == names[: len(components(deny))] and len(components(deny)) <= fixed


class PathTable:
    """The path rules of a policy for one home and one workspace, compiled once."""

    def __init__(self, rules: Iterable[PathRule], *, home: str, workspace: str) -> None:
        self._literal: dict[tuple[str, ...], list[PathRule]] = {}
        self._globs: list[tuple[Glob, PathRule]] = []
        # `BASE/**/NAME`, by far the most frequent globs: by the base, so that one expression tells whether any fits.
        self._names: dict[tuple[str, ...], _Names] = {}
        for rule in rules:
            for pattern in anchored(rule.pattern, home=home, workspace=workspace):
                self._add(pattern, rule)

    def _add(self, pattern: str, rule: PathRule) -> None:
        if is_glob(pattern):
            compiled = glob(pattern)
            name = compiled.any_depth_name
            if name is None:
                self._globs.append((compiled, rule))
            else:
                self._names.setdefault(name[0], _Names(len(name[0]))).add(name[1], compiled, rule)
            return
        self._literal.setdefault(components(pattern), []).append(rule)

    def match(self, path: str) -> PathMatch | None:
        """The rule that decides for an absolute path, or nothing where no rule names it or a folder above it."""
        names = components(normalise(path))
        candidates: list[tuple[_Specificity, PathRule]] = []
        for each, rule in self._globs:
            if (deepest := each.deepest(names)) is not None:
                candidates.append(((deepest, 0, each.literal_characters, _STRENGTH[rule.access]), rule))
        for base, below in self._names.items():
            if names[: len(base)] == base:
                candidates.extend(below.match(names))
        for depth in range(len(names), -1, -1):
            # A path written out is more specific than a glob that happens to end at the same place.
            for rule in self._literal.get(names[:depth], ()):
                candidates.append(((depth, 1, 0, _STRENGTH[rule.access]), rule))
        # INVARIANT: no rule of a person opens what the administrator denies, however specific it is.
        bound = [one for one in candidates if one[1].origin.layer in BINDING]
        if bound and (top := max(bound, key=_key))[1].access is Access.DENY:
            return PathMatch(rule=top[1], depth=top[0][0])
        if not candidates:
            return None
        key, rule = max(candidates, key=_key)
        return PathMatch(rule=rule, depth=key[0])


@lru_cache(maxsize=8)
def path_table(rules: tuple[PathRule, ...], home: str, workspace: str) -> PathTable:
    """The table of these rules; that of a session is asked for again and again, and made once."""
    return PathTable(rules, home=home, workspace=workspace)


class _Names:
    """Globs `BASE/**/NAME` of one base."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._globs: list[tuple[Glob, PathRule]] = []
        self._patterns: list[str] = []
        self._any: re.Pattern[str] | None = None

    def add(self, name: str, compiled: Glob, rule: PathRule) -> None:
        """One more of them."""
        self._globs.append((compiled, rule))
        self._patterns.append(expression(name))
        self._any = None

    def match(self, names: tuple[str, ...]) -> Iterator[tuple[_Specificity, PathRule]]:
        """Those that fit a path below the base."""
        if self._any is None:
            self._any = re.compile("|".join(self._patterns))
        if not any(map(self._any.match, names[self._start :])):
            return
        for each, rule in self._globs:
            if (deepest := each.deepest(names)) is not None:
                yield (deepest, 0, each.literal_characters, _STRENGTH[rule.access]), rule


def _key(candidate: tuple[_Specificity, PathRule]) -> _Specificity:
    return candidate[0]


def _join(base: str, rest: str) -> str:
    return normalise(f"{base}/{rest}") if rest and not is_glob(rest) else f"{base}/{rest}" if rest else normalise(base)
