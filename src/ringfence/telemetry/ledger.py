"""The session's end of the ledger: starts the writer, sends events, and hands out receipts once they are durable.

Fail closed: when the writer is lost or says that it cannot record, every pending and every later record fails.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from typing import TypeAlias

import msgspec

from ringfence.model import ids
from ringfence.model.action import ConnectAction
from ringfence.model.event import SCHEMA, Body, DecisionMade, Receipt, event_name
from ringfence.model.situations import LedgerBroken
from ringfence.telemetry import frames
from ringfence.telemetry.database import LOCK_SECONDS
from ringfence.telemetry.entries import MAX_CONTENT, is_name
from ringfence.telemetry.redaction import Redaction, load_key

Done: TypeAlias = Callable[[Receipt | LedgerBroken], None]

PENDING_EVENTS = 8192
"""Events that may wait for the disk; beyond, the ledger cannot keep up and says so."""
PENDING_BYTES = 64 * 1024 * 1024
SESSION_BYTES = 2 << 30
"""What one session puts on record at most: millions of decisions. Whatever runs inside would fill the disk else."""

_RECEIVED = 16 * 1024
"""Bytes of receipts that are read at once."""
_REMEMBERED = 256
"""Decisions whose text is kept: programs ask for the same again and again, and it is written down the same way."""

SEAL_SECONDS = 15.0
"""How long the end of a session waits for the seal."""

_TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)

_REMEDIES = {
    "full": "free some space on the disk that holds `{folder}`, then start a new session",
    "io": "check the disk that holds `{folder}`: it is full, over its quota, or failing",
    "readonly": "make `{folder}` writable for you, then start a new session",
    "unopenable": "make `{folder}` a folder that you own and can write to",
    "removed": "find out what cleared `{folder}` while the session ran, then start a new one",
    "busy": "another session has held the ledger for too long; look for a stopped one with `ringfence sessions`",
    "corrupt": "check it with `ringfence log verify`, move `{folder}` aside and start a new session",
}


class Cleanup(msgspec.Struct, frozen=True, kw_only=True):
    """What the writer calls when the session is gone, however it went."""

    module: str
    function: str
    argument: str
    """A folder or file, handed over as it is."""

    def __str__(self) -> str:
        return f"{self.module}:{self.function}:{self.argument}"


class Ledger(asyncio.BufferedProtocol):
    """Puts the events of one session on record (`ringfence.model.ports.Recorder`)."""

    def __init__(self, path: str, session: str, new_id: ids.NewId) -> None:
        self.path = os.path.abspath(path)
        self.session = session
        self._new_id = new_id
        self._redaction = Redaction(lambda: load_key(os.path.join(self._folder, "redaction-key")))
        self._frames = frames.Frames()
        self._buffer = bytearray(_RECEIVED)
        self._again = lru_cache(maxsize=_REMEMBERED)(self._written)
        self._pending: deque[tuple[Done | None, int]] = deque()
        self._pending_bytes = 0
        self._left = SESSION_BYTES
        self._unsent: list[bytes] = []
        """What is handed to the writer at the end of this turn of the event loop, all at once."""
        self._broken: LedgerBroken | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[LedgerBroken | None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self.pid = 0
        """The writer's process."""

    @classmethod
    async def start(
        cls,
        path: str,
        *,
        session: str,
        cleanup: Cleanup | None = None,
        new_id: ids.NewId = ids.new_id,
        lock_seconds: float = LOCK_SECONDS,
    ) -> Ledger:
        """Start the writer. It opens the database while the session goes on; the first record waits for it.

        `lock_seconds` is how long it waits for the writer of another session before it gives up.
        """
        if not is_name(session):
            raise LedgerBroken(
                f"`{session}` cannot be the id of a session", remedy="use letters, digits, `.`, `_`, `-`"
            )
        ledger = cls(path, session, new_id)
        ledger._make_folder()
        ours, theirs = socket.socketpair()
        try:
            ledger.pid = _spawn(theirs, ledger.path, session, str(lock_seconds), str(cleanup or ""))
        except OSError as failure:
            ours.close()
            raise LedgerBroken(f"the ledger's writer could not be started: {failure}") from failure
        finally:
            theirs.close()
        ours.setblocking(False)
        await ledger._loop.create_unix_connection(lambda: ledger, sock=ours)
        return ledger

    async def record(self, body: Body) -> Receipt:
        """Record an event and return once it is durable; `LedgerBroken` where that cannot be had."""
        outcome: asyncio.Future[Receipt] = self._loop.create_future()

        def settle(result: Receipt | LedgerBroken) -> None:
            if outcome.done():
                return
            if isinstance(result, LedgerBroken):
                outcome.set_exception(result)
            else:
                outcome.set_result(result)

        self.record_soon(body, settle)
        return await outcome

    def record_soon(self, body: Body, done: Done | None = None) -> None:
        """Record without waiting; `done` is called once, from the event loop, in the order of the calls."""
        broken = self._broken or self._send(body, done)
        if broken is None:
            return
        if done is not None:
            self._loop.call_soon(done, broken)
        else:
            # INVARIANT: an event that nobody waits for is never lost in silence; what follows fails instead.
            self._break(broken)

    async def lost(self) -> LedgerBroken:
        """Wait until the ledger breaks; a session that sees this return has to stop."""
        result = await asyncio.shield(self._gone)
        if result is None:
            await self._loop.create_future()
            raise AssertionError("a future that nobody completes was completed")
        return result

    @property
    def broken(self) -> LedgerBroken | None:
        """Why nothing can be recorded any more, if so."""
        return self._broken

    async def close(self, *, sealed: bool = True) -> None:
        """End the session's record: wait for every receipt and, if `sealed`, for the checkpoint and the clean-up.

        Without `sealed`, the writer finishes both in its own time. A broken ledger raises nothing here: each event
        that it did not take has already failed.
        """
        if self._closing or self._transport is None:
            return
        self._closing = True
        if self._broken is None:
            await self._drained()
        self._hand_over()
        if not self._transport.is_closing():
            self._transport.write_eof()
        if not sealed:
            self._transport.close()
            return
        # A disk that hangs keeps the writer, not us: what was acknowledged is durable, and it seals when it can.
        with suppress(TimeoutError):
            async with asyncio.timeout(SEAL_SECONDS):
                await asyncio.shield(self._gone)
                await asyncio.to_thread(_reap, self.pid)
        self._transport.close()

    async def _drained(self) -> None:
        if not self._pending:
            return
        drained: asyncio.Future[None] = self._loop.create_future()
        last, size = self._pending[-1]

        def settle(result: Receipt | LedgerBroken) -> None:
            if last is not None:
                last(result)
            if not drained.done():
                drained.set_result(None)

        self._pending[-1] = (settle, size)
        await drained

    def _send(self, body: Body, done: Done | None) -> LedgerBroken | None:
        if self._closing or self._transport is None:
            return LedgerBroken("the session is over: its record is closed")
        event_id = self._new_id()
        try:
            written = self._again(body) if _comes_again(body) else self._written(body)
        except (UnicodeEncodeError, msgspec.MsgspecError, OSError) as failure:
            return LedgerBroken(f"an event could not be written down: {failure}")
        # As an `Event` is encoded. INVARIANT: the writer refuses ids and names that would need escaping.
        content = b'{"id":"%b","session":"%b","body":%b,"schema":%d}' % (
            event_id.encode(),
            self.session.encode(),
            written,
            SCHEMA,
        )
        if len(content) > MAX_CONTENT:
            return LedgerBroken(f"an event of {len(content)} bytes is over the ledger's limit of {MAX_CONTENT}")
        if len(self._pending) >= PENDING_EVENTS or self._pending_bytes + len(content) > PENDING_BYTES:
            return LedgerBroken(
                "the ledger cannot keep up: too many events wait for the disk", remedy="use a faster disk"
            )
        self._left -= len(content)
        if self._left < 0:
            # Nothing more could be decided: the session ends, and says why.
            full = f"this session has put {SESSION_BYTES >> 20} MiB on record, which is the most that one may"
            self._break(LedgerBroken(full, remedy="see in `ringfence log` what it did so often, and start a new one"))
            return self._broken
        self._pending.append((done, len(content)))
        self._pending_bytes += len(content)
        if not self._unsent:
            self._loop.call_soon(self._hand_over)
        kind = frames.NOTE if done is None else frames.EVENT
        self._unsent.append(frames.event_frame(kind, event_id, event_name(body), content))
        return None

    def _written(self, body: Body) -> bytes:
        """What happened as text, without secrets."""
        return self._redaction.clean(msgspec.json.encode(body))

    def _hand_over(self) -> None:
        """Events of one turn reach the writer together, and wait for one write to the disk together."""
        unsent, self._unsent = self._unsent, []
        if unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(unsent))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The link to the writer stands."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where to put what comes from the writer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Receipts, or the word that it is over."""
        for kind, payload in self._frames.feed(bytes(memoryview(self._buffer)[:nbytes])):
            if kind == frames.RECEIPTS:
                self._acknowledge(payload)
            else:
                self._break(self._situation(payload))

    def eof_received(self) -> bool:
        """The writer is gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The writer is gone; without a farewell of ours that breaks the ledger."""
        if self._pending or not self._closing:
            self._break(LedgerBroken("the ledger's writer ended unexpectedly", remedy="start a new session"))
        if not self._gone.done():
            self._gone.set_result(None)

    def _acknowledge(self, payload: bytes) -> None:
        for sequence, time_ns in frames.receipts_in(payload):
            done, size = self._pending.popleft()
            self._pending_bytes -= size
            if done is not None:
                done(Receipt(sequence=sequence, time_ns=time_ns))

    def _break(self, broken: LedgerBroken) -> None:
        if self._broken is None:
            self._broken = broken
            if not self._gone.done():
                self._gone.set_result(broken)
        while self._pending:
            done, size = self._pending.popleft()
            self._pending_bytes -= size
            if done is not None:
                done(self._broken)

    def _make_folder(self) -> None:
        # INVARIANT: the session makes it and its writer never does. A home that was removed behind a session that has
        # ended does not come back.
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
        except OSError as failure:
            kind = "full" if failure.errno in {errno.ENOSPC, errno.EDQUOT} else "unopenable"
            self._break(self._situation(f"{kind}\0{type(failure).__name__}: {failure}".encode(errors="replace")))

    @property
    def _folder(self) -> str:
        return os.path.dirname(self.path)

    def _situation(self, payload: bytes) -> LedgerBroken:
        kind, _, text = payload.decode("utf-8", "replace").partition("\0")
        remedy = _REMEDIES.get(kind, "look at `{folder}`, then start a new session").format(folder=self._folder)
        return LedgerBroken(f"the ledger `{self.path}` cannot record: {text}", remedy=remedy)


def _comes_again(body: Body) -> bool:
    return isinstance(body, DecisionMade) and isinstance(body.decision.action, ConnectAction)


def _spawn(link: socket.socket, *words: str) -> int:
    package_root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    program = f"import sys; sys.path.append({package_root!r}); from ringfence.telemetry import writer; writer.start()"
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-c", program, os.pathsep.join(_package_folders()), *words],
        # SECURITY: an empty environment, its own session, and no descriptor but the link: nothing that the user's
        # terminal or the agent's variables say reaches the process that keeps the record.
        {},
        file_actions=[(os.POSIX_SPAWN_DUP2, link.fileno(), 3), *silent],
        setsid=True,
        # Blocked before its first instruction: ^C at the terminal must not end the record of what it interrupts.
        setsigmask=_TERMINAL_SIGNALS,
    )


def _package_folders() -> list[str]:
    """Where the packages lie that the writer needs for a seal, and the clean-up for itself."""
    specs = [find_spec(name) for name in ("cryptography", "msgspec")]
    return list(dict.fromkeys(os.path.dirname(os.path.dirname(spec.origin)) for spec in specs if spec and spec.origin))


def _reap(pid: int) -> None:
    # Somebody else may have collected it, as an init process does.
    with suppress(ChildProcessError):
        os.waitpid(pid, 0)
