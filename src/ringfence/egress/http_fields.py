"""What the header fields of a message say: to us, to its server or client, and to nobody behind us.

Read off the fields once, for clients say the same again and again. Nothing here is kept beside a head, so that whoever
changes its fields cannot leave something behind that was true of the old ones.
"""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TypeAlias

import msgspec

from ringfence.egress.posing import other_words
from ringfence.egress.request_body import ONCE

Field: TypeAlias = tuple[bytes, bytes]
"""A name in lower case, and its value."""

NOTHING: frozenset[bytes] = frozenset()
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"http2-settings", b"host", b"content-length")
)
_NOT_FOR_CLIENTS = frozenset((b"transfer-encoding", b"alt-svc"))
"""Other ways to the same server go past the gateway, or nowhere."""
AGREEMENTS = frozenset((b"authorization", b"proxy-authorization", b"www-authenticate"))
SPEAKING = _HOP_BY_HOP | _NOT_FOR_CLIENTS | AGREEMENTS
"""The names of what is about the message or its connection, beside those that begin with `proxy-`."""
_MORE = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade"))
"""What makes a request more than its head, or its answer more than an answer."""
_USUAL = frozenset((b"close", b"keep-alive"))
_FEW, _SHORT = 48, 4096
"""So many fields, and so many bytes of them: what is longer is not kept for the next time."""
_value = itemgetter(1)


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the header of a request says."""

    closes: bool
    """Whether the connection is to end behind the answer."""
    upgrades: frozenset[bytes]
    """The protocols that it asks to switch to, in lower case."""
    words: tuple[Field, ...]
    """The fields by which a server may take it for another request; see `posing`."""
    twice: str
    """What it says more than once about its body, so that its server may read another one than was judged."""
    expects: bool
    """Whether the client waits for `100 Continue` before it sends the body."""
    sized: bool
    """Whether it says a length."""
    binds: bool
    """Whether it is about who the client is for the whole connection, and not for this request."""
    for_server: tuple[Field, ...]
    """The fields without those that its Connection header takes off: a server never gets them."""
    passed: tuple[Field, ...]
    """What goes on, whatever protocol carries it: neither framing nor what was for us."""
    lines: bytes
    """The same as HTTP/1 writes it, each line with its end."""
    plain: bool
    """Whether all of that is as usual: it neither tells of a body nor asks for anything but an answer."""


def said(fields: tuple[Field, ...]) -> Said:
    """What the header of a request says."""
    again = len(fields) < _FEW and len(b"".join(map(_value, fields))) < _SHORT
    return _said_again(fields) if again else said_once(fields)


def said_once(fields: tuple[Field, ...]) -> Said:
    """The same, and nothing of it is kept: what was made of a head may hold a credential."""
    tokens = connection_tokens(fields)
    taken_off = tokens - _HOP_BY_HOP - _NOT_FOR_CLIENTS
    for_server = tuple(field for field in fields if field[0] not in taken_off) if taken_off else fields
    passed = tuple(field for field in for_server if _goes_on(field[0], tokens))
    names = [name for name, _ in fields]
    closes, words = b"close" in tokens, other_words(fields)
    twice = next((name.decode("ascii") for name in sorted(ONCE) if names.count(name) > 1), "")
    bound = any(binds(field) for field in fields)
    return Said(
        closes=closes,
        upgrades=frozenset(
            token.strip().lower().partition(b"/")[0]
            for name, value in fields
            if name == b"upgrade"
            for token in value.split(b",")
            if token.strip()
        ),
        words=words,
        twice=twice,
        expects=any(name == b"expect" and value.lower() == b"100-continue" for name, value in fields),
        sized=b"content-length" in names,
        binds=bound,
        plain=not (closes or words or twice or bound or taken_off or _MORE.intersection(names)),
        for_server=for_server,
        passed=passed,
        lines=b"".join(map(_line, passed)),
    )


_said_again = lru_cache(maxsize=128)(said_once)


def _goes_on(name: bytes, tokens: frozenset[bytes]) -> bool:
    return not (name in _HOP_BY_HOP or name.startswith(b"proxy-") or name == b"transfer-encoding" or name in tokens)


def answer_fields(fields: tuple[Field, ...], *, bodyless: bool) -> list[Field]:
    """What goes on of an answer's header. `bodyless`: its length is the server's word about the resource."""
    tokens = connection_tokens(fields)
    return [
        (name, value)
        for name, value in fields
        if not (_ends_here(name) or name in tokens) or (bodyless and name == b"content-length")
    ]


def answer_lines(fields: tuple[Field, ...], *, bodyless: bool) -> bytes:
    """The same as HTTP/1 writes it, each line with its end."""
    return b"".join(map(_line, answer_fields(fields, bodyless=bodyless)))


def answer_line(field: Field) -> bytes | None:
    """What HTTP/1 writes of one field of an answer that has a body; None where other lines go by what it says."""
    name = field[0]
    if name == b"connection":
        return None if connection_tokens((field,)) - _USUAL else b""
    return b"" if _ends_here(name) else b"%b: %b\r\n" % field


def _ends_here(name: bytes) -> bool:
    return name in _HOP_BY_HOP or name in _NOT_FOR_CLIENTS or name.startswith(b"proxy-connection")


def connection_tokens(fields: tuple[Field, ...]) -> frozenset[bytes]:
    """What the Connection header names, in lower case."""
    tokens = NOTHING
    for name, value in fields:
        if name == b"connection":
            tokens |= {token.strip().lower() for token in value.split(b",")}
    return tokens


def binds(field: Field) -> bool:
    """Whether a field is about who the client is for the whole connection, and not for each request."""
    return field[0] in AGREEMENTS and field[1].lower().startswith((b"ntlm", b"negotiate"))


def _line(field: Field) -> bytes:
    return b"%b: %b\r\n" % field
