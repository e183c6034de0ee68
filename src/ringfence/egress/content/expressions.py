"""Expressions of RE2, in which no text takes longer than its length says: the texts here are written by whoever wants
something to pass. What has to be installed for it is said where it is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

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
