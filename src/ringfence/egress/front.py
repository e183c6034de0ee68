"""What a client says to the explicit proxy before there is a connection: SOCKS5, CONNECT, or a plain HTTP request.

One port for all, told apart by the first byte. Bytes in, steps out; it neither decides nor connects.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import msgspec

from ringfence.egress import refusal, socks
from ringfence.egress.http_head import END, HeadInvalid, RequestHead, Target, parse_head
from ringfence.egress.limits import Limits
from ringfence.egress.refusal import Refusal
from ringfence.model.host import Destination

_SHORT = 512
CONNECTED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A client of which we know where it wants to go."""

    origin: str
    """`http`, `connect`, `socks5`, `capture4`, `capture6` or `host_port:N`."""
    destination: Destination
    opened: bytes = b""
    """What it is told when the connection stands; a plain request gets its server's answer instead."""
    rest: bytes = b""
    """What it sent behind its request."""
    head: RequestHead | None = None
    """The request itself, where it is a plain one to be re-issued."""
    direct: bool = False
    """Whether the client believes that it speaks to its server, so that a refusal has to come in the server's words."""


class Say(msgspec.Struct, frozen=True):
    """Bytes for the client, after which more is expected."""

    data: bytes


class Reject(msgspec.Struct, frozen=True):
    """Bytes for the client, after which the connection is closed."""

    data: bytes


Step: TypeAlias = Wanted | Say | Reject


class Front:
    """One client of the explicit proxy."""

    __slots__ = ("_data", "_greeted", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = b""
        self._greeted = False

    def feed(self, data: bytes) -> Step | None:
        """The next step, or None while more bytes are needed. After `Say`, feed what comes next, or nothing."""
        data = self._data = self._data + data if self._data else data
        if not data:
            return None
        if self._greeted or data[0] in (4, 5):
            return self._socks(data)
        return self._http(data)

    def reject(self, reason: Refusal) -> Reject:
        """The refusal in the client's own protocol, as far as it is known yet."""
        if self._greeted:
            return Reject(reason.as_socks())
        return Reject(b"" if self._data[:1] == b"\x05" else reason.as_http())

    def _socks(self, data: bytes) -> Step | None:
        try:
            if not self._greeted:
                rest = socks.read_greeting(data)
                if rest is None:
                    return None
                self._greeted, self._data = True, rest
                return Say(socks.CHOSEN)
            request = socks.read_request(data)
        except socks.SocksInvalid as invalid:
            return Reject(invalid.reply)
        if request is None:
            return None
        opened = socks.reply(socks.SUCCEEDED)
        return Wanted(origin="socks5", destination=request.destination, opened=opened, rest=request.rest)

    def _http(self, data: bytes) -> Step | None:
        if not data[:1].isalpha():
            return Reject(
                refusal.malformed("it is neither SOCKS5 nor HTTP; this proxy is not spoken to in TLS").as_http()
            )
        end = data.find(END)
        if end < 0 and len(data) <= self._limits.head and b"\n\n" not in data:
            return None
        if (end < 0 and b"\n\n" not in data) or end > self._limits.head:
            return Reject(refusal.too_large(self._limits.head).as_http())
        said, rest = (data[: end + len(END)], data[end + len(END) :]) if end >= 0 else (data, b"")
        return (None if rest else tunnel_asked(said)) or _asked(said, rest)


def tunnel_asked(data: bytes) -> Step | None:
    """What a client wants whose first bytes are the whole of a request for a tunnel; None for any other beginning.

    Clients ask for tunnels to the same host in the same words again and again."""
    if len(data) < _SHORT and data.startswith(b"CONNECT ") and data.find(END) == len(data) - 4:
        return _asked_again(data)
    return None


def _asked(said: bytes, rest: bytes = b"") -> Step:
    """What a client wants whose request has this head."""
    try:
        head = parse_head(said)
    except HeadInvalid as invalid:
        return Reject(refusal.malformed(str(invalid)).as_http())
    if head.destination is None or head.target is Target.ORIGIN:
        reason = "this is a proxy; name the whole URL, or use CONNECT"
        return Reject(refusal.malformed(reason).as_http())
    if head.target is Target.AUTHORITY:
        if head.length or head.chunked:
            return Reject(refusal.malformed("a CONNECT request has no body").as_http())
        return Wanted(origin="connect", destination=head.destination, opened=CONNECTED, rest=rest)
    return Wanted(origin="http", destination=head.destination, opened=b"", rest=rest, head=head)


_asked_again = lru_cache(maxsize=1024)(_asked)
