"""The ledger's writer: a process of its own whose only link to the world is one socket, held by the session.

It outlives its session: when the socket ends before the session did, it records that the supervisor was lost, cleans up
what the session can no longer clean up, seals the ledger and leaves. It starts in the time that an
interpreter takes: every import here is paid for by the first event of a session.
"""

from __future__ import annotations

import os
import select
import sqlite3
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from ringfence.model.ids import new_id
from ringfence.telemetry import frames
from ringfence.telemetry.database import Draft, Files, FilesGone, append, open_for_writing, unended
from ringfence.telemetry.entries import MAX_CONTENT, is_name
from ringfence.telemetry.presence import Presence, folder_beside, lost

BATCH = 256
LINGER_SECONDS = 0.02
"""How long events that nobody waits for may wait for others, so that one write to the disk serves them all."""
SEAL_EVENTS = 1000
SEAL_SECONDS = 60.0
SOCKET = 3
"""The descriptor of the link."""

_READ = 64 * 1024
"""Bytes that are read at once; beyond this the memory for each read would be mapped and given back."""


class Writer:
    """Records what comes over a socket until it ends."""

    def __init__(
        self, link: int, path: str, session: str, lock_seconds: float, *, linger_seconds: float = LINGER_SECONDS
    ) -> None:
        self._link = link
        self._lock_seconds = lock_seconds
        self._linger_seconds = linger_seconds
        self._path = path
        self._session = session
        self._frames = frames.Frames()
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        self._waiting: list[Draft] = []
        """What came and is not recorded yet."""
        self._write_at = 0.0
        """When it is recorded, even if nobody waits for it."""
        self._ended = False
        """The stream of the session has ended."""
        self._started = self._over = False
        """Whether the session's first and last event were recorded."""
        self._unsealed = 0
        self._seal_at = 0.0
        self._folder = folder_beside(path)
        self._presence: Presence | None = None

    def run(self) -> sqlite3.Connection:
        """Record until the session is gone, and return the open database."""
        connection = open_for_writing(self._path, self._lock_seconds)
        self._presence = Presence(self._folder, self._session)
        files = Files(self._path)
        settled = False
        while self._waiting or not self._ended:
            drafts = self.take()
            if drafts:
                receipts = append(connection, drafts, time.time_ns())
                self._note(drafts)
                files.check()
                self._answer(frames.receipts_frame(receipts))
            if not settled:
                # After the first answer: nobody should wait for what another session left undone.
                settled = True
                self._settle_lost(connection)
            self._seal_when_due(connection)
        return connection

    def finish(self, connection: sqlite3.Connection, cleanup: str) -> None:
        """Put on record that the supervisor was lost, clean up, and seal."""
        if self._started and not self._over:
            self._append_own(connection, self._session, _ended("supervisor_lost"))
        if cleanup:
            failure = clean_up(cleanup)
            if failure:
                notice = {"event": "notice", "topic": "cleanup", "text": failure}
                self._append_own(connection, self._session, notice)
        self._seal(connection)
        if self._presence is not None:
            self._presence.end()

    def _settle_lost(self, connection: sqlite3.Connection) -> None:
        """Put the end of sessions on record whose writer was killed."""
        for gone in lost(self._folder):
            if unended(connection, gone.session):
                self._append_own(connection, gone.session, _ended("ledger_lost"))
            gone.settle()

    def _append_own(self, connection: sqlite3.Connection, session: str, body: Mapping[str, object]) -> None:
        from json import dumps

        event = {"id": new_id(), "session": session, "body": body, "schema": 1}
        content = dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        append(connection, [(session, str(body["event"]), str(event["id"]), content)], time.time_ns())
        self._unsealed += 1

    def take(self) -> list[Draft]:
        """A batch of what waits; nothing where it is time for a seal instead."""
        while not self._ended and not (self._waiting and time.monotonic() >= self._write_at):
            if not self._read(self._write_at if self._waiting else self._seal_at if self._unsealed else None):
                break
        drafts, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
        return drafts

    def _read(self, until: float | None) -> bool:
        """Read once; false where nothing came in time."""
        patience = None if until is None else max(0.0, until - time.monotonic()) * 1000
        if not self._poll.poll(patience):
            return False
        try:
            data = os.read(self._link, _READ)
        except ConnectionResetError:
            data = b""
        self._ended = not data
        for kind, payload in self._frames.feed(data):
            if kind not in (frames.EVENT, frames.NOTE):
                raise ValueError(f"a frame of kind {kind} has no place here")
            if kind == frames.EVENT:
                self._write_at = 0.0
            elif not self._waiting:
                self._write_at = time.monotonic() + self._linger_seconds
            self._waiting.append(self._draft(payload))
        return True

    def _draft(self, payload: bytes) -> Draft:
        event_id, event, content = payload.split(b"\0", 2)
        names = event_id.decode("ascii"), event.decode("ascii")
        if not all(map(is_name, names)) or len(content) > MAX_CONTENT:
            raise ValueError("an event came that no session of ours would send")
        return self._session, names[1], names[0], content

    def _note(self, drafts: list[Draft]) -> None:
        if not self._unsealed:
            self._seal_at = time.monotonic() + SEAL_SECONDS
        self._unsealed += len(drafts)
        for draft in drafts:
            self._started |= draft[1] == "session.started"
            self._over |= draft[1] == "session.ended"

    def _answer(self, data: bytes) -> None:
        # Whoever asked may be gone: what it asked for is recorded, and what it still sent will be read to the end.
        with suppress(BrokenPipeError, ConnectionResetError):
            send(self._link, data)

    def _seal_when_due(self, connection: sqlite3.Connection) -> None:
        due = self._unsealed >= SEAL_EVENTS or (self._unsealed and time.monotonic() >= self._seal_at)
        if due and not self._ended:
            self._seal(connection)

    def _seal(self, connection: sqlite3.Connection) -> None:
        from ringfence.telemetry.seal import seal

        seal(connection, self._path, time.time_ns())
        self._unsealed = 0


def _ended(outcome: str) -> dict[str, object]:
    return {"event": "session.ended", "exit_code": None, "outcome": outcome, "duration_ms": None}


def clean_up(name: str) -> str:
    """Call `module:function:argument`; the text of what went wrong, or nothing."""
    from importlib import import_module

    module, function, argument = name.split(":", 2)
    try:
        getattr(import_module(module), function)(argument)
    except Exception as failure:  # noqa: BLE001 - the session is over: whatever it was, it goes on record
        return f"cleaning up after the session failed: {type(failure).__name__}: {failure}"
    return ""


def kind_of(failure: BaseException) -> str:
    """The situation behind a failure, by the name that the session turns into advice."""
    if isinstance(failure, FilesGone):
        return "removed"
    code = getattr(failure, "sqlite_errorcode", None)
    if isinstance(code, int):
        kinds = {
            5: "busy",
            6: "busy",
            8: "readonly",
            10: "io",
            11: "corrupt",
            13: "full",
            14: "unopenable",
            26: "corrupt",
        }
        return kinds.get(code & 0xFF, "other")
    if isinstance(failure, OSError):
        import errno

        full = failure.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        return "full" if full else "unopenable" if failure.filename else "io"
    return "corrupt" if isinstance(failure, sqlite3.DatabaseError) else "other"


def start() -> None:
    """Run as a process: the arguments are the words of the command line, the link is descriptor 3."""
    packages, path, session, lock_seconds, cleanup = sys.argv[1:]
    # A pipe that the session inherited must not stay open because we outlive it: its reader waits for the end.
    os.closerange(SOCKET + 1, os.sysconf("SC_OPEN_MAX"))
    os.umask(0o077)
    os.chdir("/")
    # At the end, so that nothing installed can stand in for the standard library.
    sys.path += [folder for folder in packages.split(os.pathsep) if folder and folder not in sys.path]
    try:
        _record(Writer(SOCKET, path, session, float(lock_seconds)), cleanup)
    except Exception as failure:  # noqa: BLE001 - the last place: whoever waits must be told, and gets a deny
        _tell(SOCKET, failure)
        # What the session left behind is cleaned up even where nothing can be recorded any more.
        _wait_for_end(SOCKET)
        if cleanup:
            clean_up(cleanup)
        os._exit(1)
    os._exit(0)


def _record(writer: Writer, cleanup: str) -> None:
    connection = writer.run()
    try:
        writer.finish(connection, cleanup)
    finally:
        connection.close()


def send(link: int, data: bytes) -> None:
    """Send all of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(link, rest) :]


def _tell(link: int, failure: Exception) -> None:
    text = str(failure) if isinstance(failure, FilesGone) else f"{type(failure).__name__}: {failure}"
    with suppress(OSError):
        send(link, frames.frame(frames.BROKEN, f"{kind_of(failure)}\0{text}".encode("utf-8", "replace")))


def _wait_for_end(link: int) -> None:
    with suppress(OSError):
        while os.read(link, _READ):
            pass
