"""One side of an inspected connection: bytes in and out of a non-blocking socket, with TLS around them or without.

OpenSSL works on the descriptor itself; no bytes pass through a second buffer of ours, except where a client began to
speak TLS before it was told to.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import deque

MOST_READ = 65_536
_RECORD = 16_384
"""The most that one record of TLS holds: behind a full one there is probably more."""
_recv = socket.socket.recv
_NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)


class Leg:
    """A socket of the engine's. What cannot be written at once waits here, and is written first."""

    __slots__ = ("_out", "ended", "moved_in", "moved_out", "ready", "sock", "waiting")

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
        self._out: deque[bytes | memoryview] = deque()

    def handshake(self) -> bool:
        """Whether the connection is ready for bytes; `OSError` where it will never be."""
        return True

    def protocol(self) -> str:
        """What was agreed upon in the handshake to speak; nothing where it was not spoken about."""
        return ""

    def read(self) -> bytes | None:
        """What has arrived; nothing more where the other side has finished; None where there is nothing now."""
        try:
            data = self._read(MOST_READ)
        except _NOT_NOW:
            self.ready = False
            return None
        self.moved_in += len(data)
        if not data:
            self.ended = True
            self.ready = False
        return data

    def write(self, data: bytes) -> None:
        """Write, now or as soon as there is room."""
        if not data:
            return
        written = 0
        if not self._out:
            try:
                written = self._write(data)
            except _NOT_NOW:
                written = 0
            self.moved_out += written
        if written != len(data):
            self._out.append(memoryview(data)[written:] if written else data)
            self.waiting += len(data) - written

    def flush(self) -> bool:
        """Whether nothing waits any more."""
        out = self._out
        while out:
            data = out[0]
            try:
                written = self._write(data)
            except _NOT_NOW:
                return False
            self.moved_out += written
            self.waiting -= written
            if written == len(data):
                out.popleft()
            else:
                out[0] = memoryview(data)[written:]
        return True

    def idle(self) -> bool:
        """Whether the other side has said nothing that was not read, and is still there."""
        try:
            return self.read() is None
        except (OSError, ValueError):
            return False

    def finish(self) -> socket.socket:
        """Say that nothing more will come; the plain socket, for somebody else to wait on."""
        return self.sock

    def _read(self, most: int) -> bytes:
        return self.sock.recv(most)

    def _write(self, data: bytes | memoryview) -> int:
        return self.sock.send(data)


class TlsLeg(Leg):
    """TLS on the descriptor."""

    __slots__ = ("tls",)

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, server_name: str | None) -> None:
        """The server's side of a handshake where `server_name` is None, else the client's."""
        self.tls = context.wrap_socket(
            sock,
            server_side=server_name is None,
            server_hostname=server_name,
            do_handshake_on_connect=False,
            # SECURITY: a body that ends with its connection must not be cut short by whoever can break connections.
            suppress_ragged_eofs=server_name is None,
        )
        super().__init__(self.tls)

    def handshake(self) -> bool:
        try:
            self.tls.do_handshake()
        except _NOT_NOW:
            return False
        return True

    def read(self) -> bytes | None:
        try:
            data = self.tls.read(MOST_READ)
        except _NOT_NOW:
            self.ready = False
            return None
        size = len(data)
        self.moved_in += size
        if not size:
            self.ended = True
            self.ready = False
        elif size < _RECORD and self._empty():
            # What comes later makes a new edge: it need not be looked for.
            self.ready = False
        return data

    def idle(self) -> bool:
        return self._empty() or super().idle()

    def protocol(self) -> str:
        return self.tls.selected_alpn_protocol() or ""

    def finish(self) -> socket.socket:
        with contextlib.suppress(OSError, ValueError):
            self.tls.unwrap()  # sends our half of the goodbye; the other half is not waited for
        family, kind, proto = self.tls.family, self.tls.type, self.tls.proto
        self.sock = socket.socket(family, kind, proto, fileno=self.tls.detach())
        return self.sock

    def _empty(self) -> bool:
        """Whether nothing waits to be read, the end of the connection included. Asks the kernel, and not OpenSSL, for
        which that is an error that takes long to tell."""
        if self.tls.pending():
            return False
        try:
            _recv(self.tls, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except (OSError, ValueError):
            return False  # whoever reads will be told
        return False

    # `read` and `write` are what `recv` and `send` come to, without their checks of arguments that are not given.

    def _read(self, most: int) -> bytes:
        return self.tls.read(most)

    def _write(self, data: bytes | memoryview) -> int:
        return self.tls.write(data)


class EarlyTlsLeg(Leg):
    """TLS of a client whose first bytes were read before the handshake could begin, through buffers in memory."""

    __slots__ = ("_incoming", "_outgoing", "tls")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, first: bytes) -> None:
        super().__init__(sock)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(first)
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def handshake(self) -> bool:
        done = False
        while not done:
            try:
                self.tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            finally:
                super().write(self._outgoing.read())
            if not done and not self._fetch():
                return False
        return True

    def write(self, data: bytes) -> None:
        while data:
            data = data[self.tls.write(data) :]
        super().write(self._outgoing.read())

    def protocol(self) -> str:
        return self.tls.selected_alpn_protocol() or ""

    def finish(self) -> socket.socket:
        with contextlib.suppress(OSError, ValueError):
            self.tls.unwrap()
        with contextlib.suppress(OSError):
            super().write(self._outgoing.read())
        return self.sock

    def _fetch(self) -> bool:
        try:
            data = self.sock.recv(MOST_READ)
        except BlockingIOError:
            return False
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return True

    def _read(self, most: int) -> bytes:
        while True:
            try:
                return self.tls.read(most)
            except ssl.SSLWantReadError:
                if not self._fetch():
                    raise
            except ssl.SSLEOFError:
                return b""
