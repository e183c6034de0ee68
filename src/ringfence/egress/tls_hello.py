"""Reads the server name out of a TLS ClientHello. It looks at nothing else and decides nothing."""

from __future__ import annotations

import msgspec

_HANDSHAKE = 0x16
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_LONGEST_RECORD = 16_384 + 256


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
    return ClientHello(_server_name(_Fields(message)))


def _message(data: bytes) -> bytes | None:
    """The first handshake message, put together from the records that carry it."""
    message = b""
    at = 0
    while len(data) >= at + 5:
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if data[at] != _HANDSHAKE or data[at + 1] != 3 or not 0 < length <= _LONGEST_RECORD:
            raise HelloInvalid("the connection starts like TLS, but not with a ClientHello")
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if message and message[0] != _CLIENT_HELLO:
            raise HelloInvalid("the connection starts with another TLS message than a ClientHello")
        if len(message) >= 4:
            wanted = 4 + int.from_bytes(message[1:4], "big")
            if wanted > 65_536:
                raise HelloInvalid("the TLS ClientHello is longer than 65536 bytes")
            if len(message) >= wanted:
                return message[4:wanted]
    return None


class _Fields:
    """The length-prefixed fields of a message, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bool__(self) -> bool:
        return bool(self._data)

    def take(self, length: int) -> bytes:
        if len(self._data) < length:
            raise HelloInvalid("the TLS ClientHello ends too early")
        taken, self._data = self._data[:length], self._data[length:]
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> bytes:
        return self.take(self.number(size))


def _server_name(hello: _Fields) -> bytes | None:
    hello.take(2 + 32)
    for size in (1, 2, 1):  # session id, cipher suites, compression methods
        hello.vector(size)
    if not hello:
        return None
    extensions = _Fields(hello.vector(2))
    names: list[bytes] = []
    while extensions:
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind == _SERVER_NAME:
            names.append(_only_name(content))
    # SECURITY: with two names, a server could take the one that we did not check.
    if len(names) > 1:
        raise HelloInvalid("the TLS ClientHello has the server name twice")
    return names[0] if names else None


def _only_name(content: bytes) -> bytes:
    entries = _Fields(_Fields(content).vector(2))
    kind = entries.number(1)
    name = entries.vector(2)
    if kind != 0 or entries or len(content) != len(name) + 5:
        raise HelloInvalid("the TLS ClientHello has a server name list that is not one host name")
    return name
