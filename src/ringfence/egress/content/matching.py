"""Finds secrets in a text by their form, and says what a finding is. Pure; it knows no request.

A form alone says little: what is written in place of a secret (`your-token`, `xxxx`) has it too. So what is found has
to be random enough for its kind, and must not read like a stand-in.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from ringfence.egress.content.expressions import AnyOf, expression, literal
from ringfence.egress.content.patterns import Pattern

_STAND_IN = re.compile(
    rb"(?i)example|x{6}|0{8}|12345678|changeme|your|placeholder|redacted|dummy|sample|\*{4}|\.\.\.|password|process\.env|[sr]k_test_|pk_(?:live|test)_"
)
_NAME = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
"""A name of a program, such as `module.Key2`."""
_LONGEST_STAND_IN = 80
_LOOSE = frozenset({"assigned-secret"})
"""Kinds whose form any word has: those need letters and digits that are mixed."""
_MOST_OF_A_KIND = 64
"""Matches of one kind in one text that are looked at."""


class Kind(StrEnum):
    """Why something is a finding."""

    SECRET = "secret"  # noqa: S105 - a word, and no secret
    """It has the form of one."""
    CREDENTIAL = "credential"
    """It is the value of a credential that the session keeps outside."""
    PROTECTED = "protected"
    """It stands in a file that is hidden from what runs inside."""
    CANARY = "canary"
    """It was put inside to be found, and nobody needs it."""


class Known(msgspec.Struct, frozen=True):
    """A text that is known by itself."""

    kind: Kind
    name: str
    value: str
    """SECURITY: never shown."""

    @property
    def about(self) -> str:
        """What it is, in words that stand behind `it carries`."""
        match self.kind:
            case Kind.CANARY:
                return f"the canary `{self.name}`"
            case Kind.PROTECTED:
                return f"a secret of `{self.name}`, which is hidden inside,"
            case _:
                return f"the value of credential `{self.name}`"

    def __repr__(self) -> str:
        return f"Known({self.name})"


class Match(msgspec.Struct, frozen=True):
    """A secret in a text."""

    kind: Kind
    name: str
    """The pattern's id, or the name of the credential or the canary."""
    about: str
    start: int
    end: int
    known: Known | None = None


class Forms:
    """Looks for what has the form of a secret."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        words = [(_keyword(word, one), number) for number, one in enumerate(patterns) for word in one.keywords]
        self._patterns = [(one, expression(one.pattern.encode("latin-1"))) for one in patterns]
        self._owners = [number for _, number in words]
        self._words = AnyOf([word for word, _ in words])

    def find(self, text: bytes) -> list[Match]:
        """Every one that is there, of two at one place the more particular one."""
        found: list[Match] = []
        for number in sorted({self._owners[word] for word in self._words.within(text)}):
            pattern, compiled = self._patterns[number]
            for count, one in enumerate(compiled.finditer(text)):
                if count == _MOST_OF_A_KIND:
                    break
                start, end = one.start(1), one.end(1)
                if _is_secret(text[start:end], pattern) and not any(
                    start < other.end and other.start < end for other in found
                ):
                    found.append(Match(Kind.SECRET, pattern.id, pattern.about, start, end))
        return found


def _keyword(word: str, pattern: Pattern) -> bytes:
    """Where the letters of a kind count, those of its words do too."""
    return (b"(?i)" if pattern.pattern.startswith("(?i)") else b"") + literal(word.encode())


def entropy(value: bytes) -> float:
    """Bits per character."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values()) if size else 0.0


def _is_secret(value: bytes, pattern: Pattern) -> bool:
    if len(value) <= _LONGEST_STAND_IN and _STAND_IN.search(value):
        return False
    if pattern.id in _LOOSE and (_NAME.fullmatch(value) or not is_mixed(value)):
        return False
    return entropy(value) >= pattern.entropy


def is_mixed(value: bytes) -> bool:
    """Whether letters and digits are mixed as chance would, and not as in words with a number."""
    switches = sum(one.isdigit() != other.isdigit() for one, other in zip(*_neighbours(value), strict=True))
    return switches >= 3 or (switches >= 2 and len(value) <= 20)


def _neighbours(value: bytes) -> tuple[list[bytes], list[bytes]]:
    letters = [value[at : at + 1] for at in range(len(value))]
    return letters[:-1], letters[1:]
