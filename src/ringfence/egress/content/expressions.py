"""Expressions of RE2, in which no text takes longer than its length says: the texts here are written by whoever wants
something to pass. What has to be installed for it is said where it is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeAlias

from ringfence.model.situations import SandboxUnavailable

try:
    import re2
except ImportError as error:
    raise SandboxUnavailable(
        "the policy wants requests to be looked into for secrets, and what looks for them is not installed",
        remedy="install it with `pip install 'ringfence[inspect]'`, or leave `content.on_secret` and"
        " `content.canaries` out of the policy",
    ) from error

_MEMORY = 64 << 20

_Tree: TypeAlias = dict[bytes, "_Tree"]


class Found(Protocol):
    """One match."""

    def start(self, group: int = 0) -> int:
        """Where a group begins."""
        ...

    def end(self, group: int = 0) -> int:
        """Where a group ends."""
        ...


class Expression(Protocol):
    """A compiled expression over bytes."""

    def finditer(self, text: bytes) -> Iterator[Found]:
        """Every match that does not overlap one before it."""
        ...

    def search(self, text: bytes) -> Found | None:
        """The first match."""
        ...


class AnyOf:
    """Which of many expressions match somewhere in a text: one pass, whatever their number."""

    def __init__(self, patterns: Sequence[bytes]) -> None:
        self._set = re2.Set.SearchSet(_options())
        for pattern in patterns:
            self._set.Add(pattern)
        self._set.Compile()

    def within(self, text: bytes) -> list[int]:
        """The positions of those that do."""
        found: list[int] = self._set.Match(text) or []
        return found


def expression(pattern: bytes) -> Expression:
    """A compiled expression; `ValueError` where it is none."""
    try:
        compiled: Expression = re2.compile(pattern, options=_options())
    except re2.error as error:
        raise ValueError(f"{pattern!r}: {error}") from None
    return compiled


def words(texts: Iterable[bytes], between: bytes = b"") -> bytes:
    """An expression for any of these texts, of two that begin at one place the longer one; `between` may stand between
    their letters.

    They are written as a tree of what they begin with: with thousands of them side by side, the first megabyte of a
    session would take a second.
    """
    root: _Tree = {}
    for text in texts:
        node = root
        for at in range(len(text)):
            node = node.setdefault(text[at : at + 1], {})
        node[b""] = {}
    return b"(?:" + b"|".join(_branches(root, between)) + b")"


def _branches(node: _Tree, between: bytes) -> Iterator[bytes]:
    for letter in sorted(one for one in node if one):
        word, inner = literal(letter), node[letter]
        while len(inner) == 1 and b"" not in inner:
            ((letter, inner),) = inner.items()
            word += between + literal(letter)
        rest = list(_branches(inner, between))
        if rest:
            word += b"(?:" + between + b"(?:" + b"|".join(rest) + (b"))?" if b"" in inner else b"))")
        yield word


def literal(text: bytes) -> bytes:
    """An expression for exactly this text."""
    quoted: bytes = re2.escape(text)
    return quoted


def _options() -> object:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = _MEMORY
    options.log_errors = False
    return options
