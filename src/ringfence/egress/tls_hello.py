"""Reads the server name out of a TLS ClientHello. It looks at nothing else and decides nothing."""

from __future__ import annotations

import msgspec

_HANDSHAKE = 0x16
_CLIENT_HELLO = 1
_SERVER_NAME = b"\0\0"
_LONGEST_RECORD = 16_384 + 256
_LONGEST_HELLO = 65_536


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
    return ClientHello(_server_name(message))


def _message(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from the records that carry it."""
    message = b""
    at = 0
    while len(data) >= at + 5:
        length = data[at + 3] << 8 | data[at + 4]
        if data[at] != _HANDSHAKE or data[at + 1] != 3 or not 0 < length <= _LONGEST_RECORD:
            raise HelloInvalid("the connection starts like TLS, but not with a ClientHello")
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if message and message[0] != _CLIENT_HELLO:
            raise HelloInvalid("the connection starts with another TLS message than a ClientHello")
        if len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4], "big")
            if wanted > _LONGEST_HELLO:
                raise HelloInvalid(f"the TLS ClientHello is longer than {_LONGEST_HELLO} bytes")
            if len(message) >= wanted:
                return message[4:wanted]
    return None


def _vector(data: bytes, at: int, size: int) -> int:
    """Where the vector ends whose length of `size` bytes stands at `at`."""
    end = at + size + int.from_bytes(data[at : at + size], "big")
    if len(data) < end:
        raise HelloInvalid("the TLS ClientHello ends too early")
    return end


def _server_name(hello: bytes) -> bytes | None:
    at = _vector(hello, 2 + 32, 1)  # version and random number; the session id
    at = _vector(hello, at, 2)  # cipher suites
    at = _vector(hello, at, 1)  # compression methods
    if at == len(hello):
        return None
    end = _vector(hello, at, 2)
    at += 2
    names: list[bytes] = []
    while at < end:
        extension = _vector(hello, at + 2, 2)
        if extension > end:
            raise HelloInvalid("the TLS ClientHello has an extension that ends behind the others")
        if hello[at : at + 2] == _SERVER_NAME:
            names.append(_only_name(hello[at + 4 : extension]))
        at = extension
    # SECURITY: with two names, a server could take the one that we did not check.
    if len(names) > 1:
        raise HelloInvalid("the TLS ClientHello has the server name twice")
    return names[0] if names else None


def _only_name(content: bytes) -> bytes:
    """The name in a list that holds one name and nothing else: list length, type 0, name length, name."""
    length = len(content)
    if length < 5 or content[2] != 0:
        raise HelloInvalid("the TLS ClientHello has a server name list that is not one host name")
    if int.from_bytes(content[:2], "big") != length - 2 or int.from_bytes(content[3:5], "big") != length - 5:
        raise HelloInvalid("the TLS ClientHello has a server name list that is not one host name")
    return content[5:]
