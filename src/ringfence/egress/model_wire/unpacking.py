"""Looks into a body that is packed (`content-encoding`), piece by piece and within a limit. It changes nothing."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Protocol

PLAIN = ("", "identity")
_STEP = 1 << 20


class Unreadable(ValueError):
    """What cannot be looked into, and why."""


class Unpack(Protocol):
    """Takes a piece, gives what is in it."""

    def __call__(self, data: bytes, most: int, /) -> bytes:
        """At most about `most` bytes; `Unreadable` where it is more, or damaged."""
        ...


def unpacking(coding: str) -> Unpack:
    """What unpacks a coding; `Unreadable` for one that is not known or not installed."""
    made = _KNOWN.get(coding.strip().lower())
    if made is None:
        raise Unreadable(f"it is packed as `{_plain(coding)}`, which is not known")
    return made()


def readable(codings: str) -> str:
    """The codings of an `accept-encoding` that can be unpacked again; `identity` where that is none."""
    kept = []
    for part in codings.split(","):
        name = part.partition(";")[0].strip().lower()
        if name in _KNOWN and (name not in _INSTALLED or _installed(name)):
            kept.append(part.strip())
    return ", ".join(kept) or "identity"


def _plain_pieces() -> Unpack:
    def unpack(data: bytes, most: int) -> bytes:
        if len(data) > most:
            raise Unreadable(_too_long())
        return data

    return unpack


def _zlib(bits: int) -> Callable[[], Unpack]:
    def made() -> Unpack:
        stream = zlib.decompressobj(bits)

        def unpack(data: bytes, most: int) -> bytes:
            nonlocal stream
            found = bytearray()
            try:
                while data:
                    if stream.eof:
                        # SECURITY: clients read on in the next member; what stands there must not be hidden.
                        data = data.lstrip(b"\0")
                        if not data:
                            break
                        stream = zlib.decompressobj(bits)
                    found += stream.decompress(data, _STEP)
                    _check(found, most)
                    data = stream.unused_data if stream.eof else stream.unconsumed_tail
            except zlib.error as error:
                raise Unreadable(f"it cannot be unpacked: {error}") from None
            return bytes(found)

        return unpack

    return made


def _brotli() -> Unpack:
    try:
        import brotli  # type: ignore[import-untyped]
    except ImportError:
        raise Unreadable(_missing("brotli")) from None
    stream = brotli.Decompressor()

    def unpack(data: bytes, most: int) -> bytes:
        found = bytearray()
        try:
            while True:
                found += stream.process(data, output_buffer_limit=_STEP)
                _check(found, most)
                data = b""
                if stream.can_accept_more_data():
                    return bytes(found)
        except brotli.error as error:
            raise Unreadable(f"it cannot be unpacked: {error}") from None

    return unpack


def _zstd() -> Unpack:
    try:
        import zstandard
    except ImportError:
        raise Unreadable(_missing("zstandard")) from None
    stream = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(read_across_frames=True)

    def unpack(data: bytes, most: int) -> bytes:
        found = bytearray()
        # Small pieces: of one piece this gives everything at once, however much that is.
        try:
            for at in range(0, len(data), 1024):
                found += stream.decompress(data[at : at + 1024])
                _check(found, most)
        except zstandard.ZstdError as error:
            raise Unreadable(f"it cannot be unpacked: {error}") from None
        return bytes(found)

    return unpack


_KNOWN: dict[str, Callable[[], Unpack]] = {
    **dict.fromkeys(PLAIN, _plain_pieces),
    **dict.fromkeys(("gzip", "x-gzip"), _zlib(31)),
    "deflate": _zlib(15),
    "br": _brotli,
    "zstd": _zstd,
}
_INSTALLED = frozenset(("br", "zstd"))


def _installed(name: str) -> bool:
    try:
        _KNOWN[name]()
    except Unreadable:
        return False
    return True


def _check(found: bytearray, most: int) -> None:
    if len(found) > most:
        raise Unreadable(_too_long())


def _too_long() -> str:
    return "it is longer than what is read"


def _missing(name: str) -> str:
    return f"`{name}` is not installed: `pip install 'ringfence[inspect]'`"


def _plain(text: str) -> str:
    return "".join(one for one in text[:40] if one.isalnum() or one in "-, ")
