"""What was learnt about registries, kept in the user's state folder: defaults of programs, and hosts of files."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

import msgspec

MAX_ENTRIES = 200


class _Kept(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    schema: int = 1
    defaults: dict[str, tuple[str, ...]] = {}
    files: dict[str, tuple[str, ...]] = {}
    private: tuple[str, ...] = ()


class Remembered:
    """The file, read once and written when something new was learnt. It only saves time: without it, one asks again."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            with open(path, "rb") as stream:
                self._kept = msgspec.json.decode(stream.read(), type=_Kept)
        except (OSError, msgspec.DecodeError):
            self._kept = _Kept()

    @property
    def defaults(self) -> dict[str, tuple[str, ...]]:
        """The addresses that a program names when nobody told it anything, by program and time of its change."""
        return self._kept.defaults

    @property
    def files(self) -> dict[str, tuple[str, ...]]:
        """The addresses that an index links to, by the index."""
        return self._kept.files

    @property
    def private(self) -> frozenset[str]:
        """The indexes that lay in one's own network when they were asked."""
        return frozenset(self._kept.private)

    def add_default(self, key: str, urls: tuple[str, ...]) -> None:
        """Remember what a program said."""
        self._kept.defaults[key] = urls
        self._write()

    def add_files(self, index: str, urls: tuple[str, ...], *, private: bool) -> None:
        """Remember what an index links to, and whether it lies in one's own network."""
        self._kept.files[index] = urls
        others = [url for url in self._kept.private if url != index][-MAX_ENTRIES + 1 :]
        self._kept.private = (*others, index) if private else tuple(others)
        self._write()

    def _write(self) -> None:
        for entries in (self._kept.defaults, self._kept.files):
            while len(entries) > MAX_ENTRIES:
                entries.pop(next(iter(entries)))
        # Not being able to remember costs time at the next start, and nothing else.
        with suppress(OSError):
            folder = os.path.dirname(self._path)
            os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".registries-")
            with open(descriptor, "wb") as stream:
                stream.write(msgspec.json.format(msgspec.json.encode(self._kept), indent=2) + b"\n")
            os.replace(temporary, self._path)
