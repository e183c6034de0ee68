"""SOCKS5 with names (RFC 1928), as far as a sandbox needs it: CONNECT without a password, and nothing else.

Bytes in, a step out. BIND and UDP ASSOCIATE are refused, and so is SOCKS4, whose clients resolve names themselves.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import msgspec

from ringfence.model.host import Destination, parse_host

CHOSEN = b"\x05\x00"
"""No password is needed: who can reach the listener is inside the sandbox."""
NONE_ACCEPTABLE = b"\x05\xff"
SOCKS4_REFUSED = b"\x00\x5b\x00\x00\x00\x00\x00\x00"

SUCCEEDED = 0
FAILED = 1
NOT_ALLOWED = 2
UNREACHABLE = 4
REFUSED = 5
_COMMAND_UNSUPPORTED = 7
_ADDRESS_UNSUPPORTED = 8


class SocksInvalid(ValueError):
    """The client does not speak SOCKS5 as we do; `reply` is what it is told before we close."""

    def __init__(self, message: str, reply: bytes) -> None:
        super().__init__(message)
        self.reply = reply


class Request(msgspec.Struct, frozen=True):
    """Where the client wants to go, and what it sent behind the request."""

    destination: Destination
    rest: bytes


def reply(code: int) -> bytes:
    """The answer to a request. The bound address is not told: it is none of the sandbox's business."""
    return bytes((5, code, 0, 1)) + bytes(6)


def read_greeting(data: bytes) -> bytes | None:
    """What follows the greeting, where we agree; None while it is incomplete; `SocksInvalid` otherwise."""
    if data[:1] == b"\x04":
        raise SocksInvalid("SOCKS4 is not supported; use SOCKS5 with names (`socks5h`)", SOCKS4_REFUSED)
    if data[:1] not in (b"", b"\x05"):
        raise SocksInvalid("this is not SOCKS5", b"")
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    if 0 not in data[2 : 2 + data[1]]:
        raise SocksInvalid("the client insists on a password, and none is used here", NONE_ACCEPTABLE)
    return data[2 + data[1] :]


def read_request(data: bytes) -> Request | None:
    """The request, or None while it is incomplete; `SocksInvalid` otherwise."""
    if len(data) < 5:
        return None
    version, command, reserved, kind, length = data[:5]
    if version != 5 or reserved != 0:
        raise SocksInvalid("this is not a SOCKS5 request", reply(FAILED))
    if command != 1:
        raise SocksInvalid("only the SOCKS5 command CONNECT is supported", reply(_COMMAND_UNSUPPORTED))
    start, end = {1: (4, 8), 3: (5, 5 + length), 4: (4, 20)}.get(kind, (0, 0))
    if end == 0:
        raise SocksInvalid("the SOCKS5 address has an unknown type", reply(_ADDRESS_UNSUPPORTED))
    if len(data) < end + 2:
        return None
    return _request(kind, data[start:end], int.from_bytes(data[end : end + 2], "big"), data[end + 2 :])


def _request(kind: int, address: bytes, port: int, rest: bytes) -> Request:
    text: str | bytes = address
    if kind == 1:
        text = str(IPv4Address(address))
    elif kind == 4:
        text = str(IPv6Address(address))
    try:
        host = parse_host(text)
    except ValueError as error:
        # SECURITY: a NUL or control byte in the name is refused here, before any rule could match its beginning or end.
        raise SocksInvalid(str(error), reply(NOT_ALLOWED)) from None
    if port == 0:
        raise SocksInvalid("port 0 cannot be connected to", reply(NOT_ALLOWED))
    return Request(Destination(host=host, port=port), rest)
