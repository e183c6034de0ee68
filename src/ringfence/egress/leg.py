"""One side of an inspected connection: bytes in and out of a non-blocking socket, with TLS around them or without.

Sockets are watched by edges: each is reported once, so a leg has to know when it has followed one to its end. It knows
it without asking: a read that gets less than it asked for has taken all there was, and the end of a connection that
comes later is told by the edge that it makes.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections import deque
from collections.abc import Callable

from ringfence.egress.engine import HANGUP, READABLE

MOST_READ = 65_536


class Leg:
    """A socket of the engine's. What cannot be written at once waits here, and is written first."""

    __slots__ = ("_out", "_quiet", "drained", "ended", "ending", "moved_in", "moved_out", "ready", "sock", "waiting")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.ready = True
        """Whether there may be something to read: an edge was reported and not followed to its end."""
        self.ended = False
        """Whether the other side has finished sending."""
        self.waiting = 0
        """How many bytes wait to be written."""
        self.moved_in = 0
        self.moved_out = 0
        self.ending = True
        """Whether the end of the connection may have come already; otherwise an edge will tell it."""
        self.drained = False
        """Whether nothing is left in the kernel before the next edge."""
        self._out: deque[bytes | memoryview] = deque()
        self._quiet: select.poll | None = None
        """Asks whether there is something to read, without an error where there is nothing: that takes long."""

    def stirred(self, events: int) -> None:
        """An edge was reported. Those who see many of them do the same themselves."""
        if events & READABLE:
            self.drained, self.ready = False, True
            if events & HANGUP:
                self.ending = True

    def handshake(self) -> bool:
        """Whether the connection is ready for bytes; `OSError` where it will never be."""
        return True

    def protocol(self) -> str:
        """What was agreed upon in the handshake to speak; nothing where it was not spoken about."""
        return ""

    def read(self) -> bytes | None:
        """What has arrived; nothing more where the other side has finished; None where there is nothing now."""
        data = self._receive()
        if data is None:
            return None
        self.moved_in += len(data)
        if not data:
            self.ended = True
        return data

    def write(self, data: bytes) -> None:
        """Write, now or as soon as there is room."""
        self.moved_out += len(data)
        self._put(data)

    def flush(self) -> bool:
        """Whether nothing waits any more."""
        out = self._out
        while out:
            data = out[0]
            try:
                written = self.sock.send(data)
            except BlockingIOError:
                return False
            self.waiting -= written
            if written == len(data):
                out.popleft()
            else:
                out[0] = memoryview(data)[written:]
        return True

    def idle(self) -> bool:
        """Whether the other side has said nothing that was not read, and is still there."""
        if self._quiet is None:
            self._quiet = select.poll()
            self._quiet.register(self.sock, select.POLLIN)
        if not self._quiet.poll(0):
            self.ready = self.ending = False
            return True
        try:
            return self.read() is None
        except (OSError, ValueError):
            return False

    def finish(self) -> socket.socket:
        """Say that nothing more will come; the socket, for somebody else to wait on."""
        return self.sock

    def _receive(self) -> bytes | None:
        """Bytes off the socket; none at its end; None where there are none now."""
        try:
            data = self.sock.recv(MOST_READ)
        except BlockingIOError:
            self.drained, self.ready, self.ending = True, False, False
            return None
        # INVARIANT: unless the end may have come, a read that got less than it asked for has followed the edge.
        self.drained = len(data) < MOST_READ and (not data or not self.ending)
        self.ready = not self.drained
        return data

    def _put(self, data: bytes) -> None:
        written = 0
        if not self._out:
            try:
                written = self.sock.send(data) if data else 0
            except BlockingIOError:
                written = 0
        if written != len(data):
            self._wait(data, written)

    def _wait(self, data: bytes, written: int) -> None:
        self._out.append(memoryview(data)[written:] if written else data)
        self.waiting += len(data) - written


class TlsLeg(Leg):
    """TLS, between the socket and two buffers in memory: one system call takes or gives all records that there are."""

    __slots__ = ("_client", "_decrypt", "_encrypt", "_incoming", "_outgoing", "tls")

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, *, server_name: str | None, first: bytes = b""
    ) -> None:
        """The server's side of a handshake where `server_name` is None, else the client's. `first` was read before."""
        super().__init__(sock)
        self._client = server_name is None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        if first:
            self._incoming.write(first)
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_name is None, server_hostname=server_name
        )
        # What its `read` and `write` call, which add a function each and nothing else.
        inner = self.tls._sslobj  # type: ignore[attr-defined]
        self._decrypt: Callable[[int], bytes] = inner.read
        self._encrypt: Callable[[bytes | memoryview], int] = inner.write

    def handshake(self) -> bool:
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                pass
            finally:
                self._give()
            came = self._receive()
            if came is None:
                return False
            if came:
                self._incoming.write(came)
            else:
                self._incoming.write_eof()
        # What came right behind the handshake makes no edge of its own.
        self.ready = self.ready or self._incoming.pending > 0
        return True

    def read(self) -> bytes | None:
        incoming, outgoing = self._incoming, self._outgoing
        while True:
            if not incoming.pending:
                try:
                    came = self.sock.recv(MOST_READ)
                except BlockingIOError:
                    self.drained, self.ready, self.ending = True, False, False
                    return None
                # As `_receive`, which would be a function more for each message.
                self.drained = len(came) < MOST_READ and (not came or not self.ending)
                if came:
                    incoming.write(came)
                else:
                    incoming.write_eof()
            try:
                data = self._decrypt(MOST_READ)
            except ssl.SSLWantReadError:
                self._give()
                if self.drained:
                    self.ready = False
                    return None
                continue
            except ssl.SSLEOFError:
                # SECURITY: a body that ends with its connection must not be cut short by whoever can break connections.
                if not self._client:
                    raise
                data = b""
            except ssl.SSLError:
                self._give()  # what is wrong, in the words of TLS
                raise
            break
        if outgoing.pending:
            self._give()
        if data:
            self.moved_in += len(data)
            self.ready = not self.drained or incoming.pending > 0
        else:
            self.ended = True
            self.ready = False
        return data

    def write(self, data: bytes) -> None:
        size = len(data)
        self.moved_out += size
        written = self._encrypt(data) if data else 0
        while written < size:
            written += self._encrypt(memoryview(data)[written:])
        records = self._outgoing.read()
        if self._out or not records:
            return self._put(records)
        # As `_put`, which would be a function more for each message.
        try:
            given = self.sock.send(records)
        except BlockingIOError:
            given = 0
        if given != len(records):
            self._wait(records, given)
        return None

    def idle(self) -> bool:
        if self._incoming.pending:
            return False
        quiet = self._quiet
        if quiet is None or quiet.poll(0):
            return super().idle()
        self.ready = self.ending = False
        return True

    def protocol(self) -> str:
        return self.tls.selected_alpn_protocol() or ""

    def finish(self) -> socket.socket:
        # Sends our half of the goodbye; the other half is not waited for.
        with contextlib.suppress(OSError, ValueError):
            self.tls.unwrap()
        with contextlib.suppress(OSError):
            self._give()
        return self.sock

    def _give(self) -> None:
        if self._outgoing.pending:
            self._put(self._outgoing.read())
