"""How many names may be asked for, and what they may look like, before they are taken for data on its way out.

Names that nobody chose, because a rule spells them out, carry nothing and are not counted. Of the others each costs
once: asking again says nothing new. Limits are for domains as they are registered, because whoever owns one reads the
names below it. No measure tells a clever name from an odd one; together they bound what can leave.
"""

from __future__ import annotations

import re

import msgspec

_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "go", "gob", "gov", "mil", "ne", "net", "nom", "or", "org"})
"""What stands below a country's code where names are registered at the third level."""
_READABLE = re.compile(r"[a-z]*|[0-9]{1,12}|[a-z]+[0-9]{1,4}|v?[0-9]{1,4}[a-z]{1,3}")
_VOWELS = frozenset("aeiouy")
_LONGEST_PIECE = 20
"""Of letters alone; the longest words are hardly longer."""
_LEAST_VOWELS = 0.2
_FEW = 24
"""So many characters that are no words make a name encoded."""


class NameLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one session."""

    names: int
    """Different names."""
    names_of_domain: int
    """Different names below one registered domain."""
    encoded_of_domain: int
    """Those among them that look like data and not like words."""
    chosen: int
    """Characters before the registered domain."""
    labels: int
    """Labels before the registered domain."""


class NameBudget:
    """What has been asked for in one session."""

    def __init__(self, limits: NameLimits) -> None:
        self._limits = limits
        self._seen: set[str] = set()
        self._of_domain: dict[str, int] = {}
        self._encoded: dict[str, int] = {}

    def spend(self, name: str) -> str:
        """Why a normalised name must not be asked for; empty where it may be, and then it is counted."""
        if name in self._seen:
            return ""
        domain = registered_domain(name)
        problem = self._shape(name, domain) or self._count(domain, encoded=encoded_characters(name) >= _FEW)
        if problem:
            return problem
        self._seen.add(name)
        return ""

    def _shape(self, name: str, domain: str) -> str:
        chosen = name[: -len(domain)].rstrip(".")
        if len(chosen) > self._limits.chosen:
            return f"it has {len(chosen)} characters before `{domain}`; the limit is {self._limits.chosen}"
        labels = chosen.count(".") + 1
        if labels > self._limits.labels:
            return f"it has {labels} labels before `{domain}`; the limit is {self._limits.labels}"
        return ""

    def _count(self, domain: str, *, encoded: bool) -> str:
        limits = self._limits
        if len(self._seen) >= limits.names:
            return f"this session has asked for {limits.names} names, which is the limit"
        if self._of_domain.get(domain, 0) >= limits.names_of_domain:
            return f"this session has asked for {limits.names_of_domain} names below `{domain}`, which is the limit"
        if encoded and self._encoded.get(domain, 0) >= limits.encoded_of_domain:
            count = limits.encoded_of_domain
            return f"it looks like data, and {count} such names below `{domain}` were asked for, which is the limit"
        self._of_domain[domain] = self._of_domain.get(domain, 0) + 1
        if encoded:
            self._encoded[domain] = self._encoded.get(domain, 0) + 1
        return ""


def registered_domain(name: str) -> str:
    """The domain that somebody registered: two labels, or three below a country's `co`, `com` and their like."""
    labels = name.split(".")
    count = 3 if len(labels[-1]) == 2 and len(labels) > 1 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-count:])


def encoded_characters(name: str) -> int:
    """How many characters of the chosen part are in pieces that are neither words nor numbers."""
    chosen = name[: -len(registered_domain(name))]
    return sum(len(piece) for piece in re.split(r"[._-]", chosen) if not _is_readable(piece))


def _is_readable(piece: str) -> bool:
    if not _READABLE.fullmatch(piece):
        return False
    letters = piece.rstrip("0123456789").lstrip("0123456789")
    if len(letters) < 6:
        return True
    return len(letters) <= _LONGEST_PIECE and sum(one in _VOWELS for one in letters) / len(letters) >= _LEAST_VOWELS
