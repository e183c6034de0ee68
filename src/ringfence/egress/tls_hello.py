"""Reads the server name out of a TLS ClientHello. It looks at nothing else and decides nothing."""

from __future__ import annotations

import struct

import msgspec

_HANDSHAKE = 0x16
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_RECORD = struct.Struct(">BBBH")
_BEGINNING = struct.Struct(">BBBHBBH")
"""Of a record that holds a whole message: its own head, then that of the message."""
_EXTENSION = struct.Struct(">HH")
_NAMES = struct.Struct(">HBH")
_LONGEST_RECORD = 16_384 + 256
_LONGEST_HELLO = 65_536
_MOST_RECORDS = 64


class HelloInvalid(ValueError):
    """What starts like TLS is not a ClientHello that we can read."""


class ClientHello(msgspec.Struct, frozen=True):
    """What a client says before anything is encrypted."""

    server_name: bytes | None
    """The host it means, as it wrote it; None where it says none."""


def read_hello(data: bytes) -> ClientHello | None:
    """The ClientHello at the start of `data`; None while it is incomplete; `HelloInvalid` otherwise."""
    message = _message(data)
    if message is None:
        return None
    try:
        return ClientHello(_server_name(message))
    except (IndexError, struct.error):
        raise HelloInvalid("the TLS ClientHello ends too early") from None


def _message(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from the records that carry it."""
    if len(data) > 9:
        kind, major, _, length, what, high, low = _BEGINNING.unpack_from(data)
        alone = length == low + 4 and not high and len(data) >= length + 5
        if alone and kind == _HANDSHAKE and major == 3 and what == _CLIENT_HELLO and length <= _LONGEST_RECORD:
            return data[9 : length + 5]
    message = b""
    at = records = 0
    while len(data) >= at + 5:
        kind, major, _, length = _RECORD.unpack_from(data, at)
        if kind != _HANDSHAKE or major != 3 or not 0 < length <= _LONGEST_RECORD:
            raise HelloInvalid("the connection starts like TLS, but not with a ClientHello")
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        records += 1
        # SECURITY: all is read again whenever more arrives; with a record per byte, that would be slow every time.
        if records > _MOST_RECORDS:
            raise HelloInvalid(f"the TLS ClientHello is cut into more than {_MOST_RECORDS} records")
        if message and message[0] != _CLIENT_HELLO:
            raise HelloInvalid("the connection starts with another TLS message than a ClientHello")
        if len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4], "big")
            if wanted > _LONGEST_HELLO:
                raise HelloInvalid(f"the TLS ClientHello is longer than {_LONGEST_HELLO} bytes")
            if len(message) >= wanted:
                return message[4:wanted]
    return None


def _server_name(hello: bytes) -> bytes | None:
    at = 2 + 32  # version and random number
    at += 1 + hello[at]  # session id
    at += 2 + (hello[at] << 8 | hello[at + 1])  # cipher suites
    at += 1 + hello[at]  # compression methods
    if at == len(hello):
        return None
    end = at + 2 + (hello[at] << 8 | hello[at + 1])
    at += 2
    names: list[bytes] = []
    unpack = _EXTENSION.unpack_from
    while at < end:
        kind, length = unpack(hello, at)
        at += 4 + length
        if kind == _SERVER_NAME:
            names.append(_only_name(hello[at - length : at]))
    if at != end or end > len(hello):
        raise HelloInvalid("the TLS ClientHello has extensions that do not fit into it")
    # SECURITY: with two names, a server could take the one that we did not check.
    if len(names) > 1:
        raise HelloInvalid("the TLS ClientHello has the server name twice")
    return names[0] if names else None


def _only_name(content: bytes) -> bytes:
    """The name in a list that holds one name and nothing else: list length, type 0, name length, name."""
    length = len(content)
    if length < 5 or _NAMES.unpack_from(content) != (length - 2, 0, length - 5):
        raise HelloInvalid("the TLS ClientHello has a server name list that is not one host name")
    return content[5:]
