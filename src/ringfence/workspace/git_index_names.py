"""Finds names in Git's index that lead out of the working tree, or into the repository itself. Bytes in, an answer out.

Git never writes such a name, and refuses it in most places; `git checkout .` and `git checkout-index` write where it
says.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_SUSPICIOUS = re.compile(rb"\.\.?[/\0]|//|/\0|\.git[/\0 .:]|git~[0-9]", re.IGNORECASE | re.DOTALL)
"""What a name that leads astray has, wherever it stands, but for `/` at its beginning, which `_ABSOLUTE` finds. Other
bytes may have it by chance."""
_ABSOLUTE = re.compile(rb"[\x00-\x0f].[/]", re.DOTALL)
"""The length of a name, then a slash."""
_PARTS = re.compile(rb"\.\.?|\.git[ .]*|\.git:.*|git~[0-9]+", re.IGNORECASE | re.DOTALL)
_HASHES = (20, 32)


def misleads(data: bytes) -> bool:
    """Whether an index, or one shared among several, names what it must not; also where only Git can read it."""
    if len(data) < 12 or data[:4] != b"DIRC":
        return False  # Git takes it for no index
    version, count = struct.unpack(">2I", data[4:12])
    if version in (2, 3) and not _SUSPICIOUS.search(data) and not _ABSOLUTE.search(data):
        return False
    for size in _HASHES:
        try:
            return any(_leads_astray(name) for name in _names(data, version, count, size))
        except (IndexError, struct.error, ValueError):
            continue
    return True


def _names(data: bytes, version: int, count: int, hash_size: int) -> Iterator[bytes]:
    if version not in (2, 3, 4):
        raise ValueError(f"version {version}")
    at, before = 12, b""
    for _ in range(count):
        start, at = at, at + 40 + hash_size
        (flags,) = struct.unpack_from(">H", data, at)
        at += 4 if flags & 0x4000 else 2
        if version == 4:
            dropped, at = _number(data, at)
            before = before[: len(before) - dropped]
        end = data.index(b"\0", at)
        name = data[at:end]
        before = before + name if version == 4 else name
        # The length stands in the flags as well: what does not agree is another format, or a trick.
        if flags & 0xFFF != min(len(before), 0xFFF):
            raise ValueError("length")
        at = end + 1 if version == 4 else start + (end - start + 8) // 8 * 8
        yield before


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number as Git packs an offset, and what is behind it."""
    value = data[at] & 0x7F
    while data[at] & 0x80:
        at += 1
        value = (value + 1) << 7 | data[at] & 0x7F
    return value, at + 1


def _leads_astray(name: bytes) -> bool:
    return any(not part or _PARTS.fullmatch(part) for part in name.split(b"/"))
