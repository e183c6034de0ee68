"""Takes a snapshot: only what changed since the last one is read.

It keeps regular files, links and folders, with their permission bits. It leaves out what Git ignores (`.env` files it
keeps), what Ringfence protects anyway, sockets and devices, and says what it could not keep.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from ringfence.workspace.entries import PIECE, Entry, Found, Kind, open_file, open_folder, stamp, walk
from ringfence.workspace.store import STAGED, Snapshot, Store, pack

MAX_ENTRIES = 400_000
MAX_FILE = 512 * 1024 * 1024
MAX_READ = 4 * 1024 * 1024 * 1024
"""Bytes that one snapshot reads."""
_SHOWN = 100
_TICK_NS = 50_000_000
"""A file that was written as late as this before a snapshot may have been written once more with the same time."""


class Naming(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is called."""

    id: str
    session: str
    moment: str
    taken_ns: int


class _Full(Exception):
    pass


class Taking:
    """Keeps what it finds below a folder, reading only what is not known already."""

    def __init__(self, store: Store, known: dict[bytes, Entry], settled_ns: int, skip: Callable[[bytes], bool]) -> None:
        self._store = store
        self._known = known
        self._settled_ns = settled_ns
        self._skip = skip
        self._read = 0
        self.entries: list[Entry] = []
        self.left_out: list[tuple[bytes, str]] = []

    def run(self, top: int) -> None:
        """Keep everything below an open folder."""
        try:
            for found in walk(top, self._skip, self._leave_out):
                self._keep(found)
        except _Full:
            self._leave_out(b"", f"the workspace has more than {MAX_ENTRIES:,} entries; the rest is not kept")

    def _keep(self, found: Found) -> None:
        if len(self.entries) >= MAX_ENTRIES:
            raise _Full
        status = found.status
        mode, mark = status.st_mode & 0o7777, stamp(status)
        match found.kind:
            case Kind.FOLDER:
                self.entries.append(Entry(found.path, Kind.FOLDER, mode, msgspec.structs.replace(mark, size=0)))
            case Kind.LINK:
                try:
                    target = os.readlink(found.name, dir_fd=found.folder)
                except OSError as error:
                    self._leave_out(found.path, (error.strerror or str(error)).lower())
                    return
                self.entries.append(Entry(found.path, Kind.LINK, mode, mark, target=os.fsencode(target)))
            case Kind.FILE:
                known = self._known.get(found.path)
                if known is not None and known.stamp == mark and mark.changed_ns < self._settled_ns:
                    self.entries.append(known)
                else:
                    self._file(found, mode)

    def _file(self, found: Found, mode: int) -> None:
        size = found.status.st_size
        if size > MAX_FILE or self._read + size > MAX_READ:
            self._leave_out(found.path, "it is too large to be kept")
            return
        try:
            descriptor = open_file(found.name, found.folder)
        except OSError as error:
            self._leave_out(found.path, (error.strerror or str(error)).lower())
            return
        with open(descriptor, "rb", buffering=0) as stream:
            status = os.fstat(descriptor)
            pieces: list[bytes] = []
            while body := stream.read(PIECE):
                self._read += len(body)
                if len(pieces) * PIECE > MAX_FILE:
                    self._leave_out(found.path, "it grows while it is read")
                    return
                pieces.append(self._store.add_piece(body))
        self.entries.append(Entry(found.path, Kind.FILE, mode, stamp(status), chunks=tuple(pieces)))

    def _leave_out(self, path: bytes, why: str) -> None:
        if len(self.left_out) < _SHOWN:
            self.left_out.append((path, why))


def take(
    workspace: str,
    store: Store,
    naming: Naming,
    *,
    skip: Callable[[bytes], bool],
    needed: frozenset[str] = frozenset(),
) -> Snapshot:
    """Keep the workspace as it is now. `skip`: relative paths that are not looked at. `needed`: sessions whose
    snapshots stay, however old."""
    with store.transaction():
        last = [one for one in store.snapshots() if one.moment not in STAGED][:1]
        known = {entry.path: entry for one in last for entry in store.entries(one)}
        taking = Taking(store, known, last[0].taken_ns - _TICK_NS if last else 0, skip)
        top = open_folder(workspace)
        try:
            taking.run(top)
        finally:
            os.close(top)
        entries = tuple(taking.entries)
        listing, packed = pack(entries)
        snapshot = Snapshot(
            id=naming.id,
            session=naming.session,
            moment=naming.moment,
            taken_ns=naming.taken_ns,
            listing=listing,
            left_out=tuple(taking.left_out),
        )
        store.add(snapshot, entries, packed)
        store.forget_old(needed=needed)
    return snapshot
