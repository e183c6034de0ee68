"""What was found in a request, in a form that can be shown: never the secret itself."""

from __future__ import annotations

import msgspec

from ringfence.egress.content.matching import Kind, Match

_SHOWN = 4
_LONG = 20
"""A secret of this length and more may show its first and last letters."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One secret in a request."""

    kind: Kind
    name: str
    """The pattern's id, or the name of the credential or the canary."""
    about: str
    place: str
    """`the path`, `header x-note`, `the body (base64, gzip)`."""
    length: int
    shown: str
    """Its first and last letters, where it is long enough."""
    digest: str
    """By which the same secret is recognised again; nobody can try secrets against it without the session's key."""

    @property
    def rule(self) -> str:
        """What decisions call it. The digest is a part of it, so that a yes is for this secret and for no other."""
        return f"content.{self.kind.value}:{self.name}#{self.digest}"

    def __str__(self) -> str:
        shown = f" `{self.shown}`" if self.shown else ""
        return f"{self.place} carries {self.about}{shown} ({self.length} characters)"


def finding(match: Match, value: bytes, place: str, digest: str) -> Finding:
    """A match as it is shown."""
    shown = ""
    if match.kind is Kind.SECRET and len(value) >= _LONG and value.isascii():
        text = value.decode("ascii")
        ends = (text[:_SHOWN], text[-2:])
        shown = "…".join("".join(one if one.isprintable() else "?" for one in end) for end in ends)
    return Finding(
        kind=match.kind,
        name=match.name,
        about=match.about,
        place=place,
        length=len(value) if match.known is None else len(match.known.value),
        shown=shown,
        digest=digest,
    )
