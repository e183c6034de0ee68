"""Listens on sockets and notes what arrives. So the battery sees what got out, whatever the attacker was told."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

import msgspec


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that arrived at a listener."""

    name: str
    data: bytes


class Origin(Protocol):
    """A server that understands one connection."""

    def receive(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """What to answer to what came, and what was heard; OSError where that ends the connection."""


class Ear:
    """Accepts, reads and answers on every socket it is given, in one thread."""

    def __init__(
        self, sockets: dict[str, socket.socket], origins: Mapping[str, Callable[[], Origin]] | None = None
    ) -> None:
        """`origins`: what serves the connections of a listener, instead of the plain pages."""
        self.heard: list[Heard] = []
        self._origins = origins or {}
        self._served: dict[socket.socket, Origin] = {}
        self._selector = selectors.DefaultSelector()
        self._mine, self._theirs = socket.socketpair()
        self._selector.register(self._theirs, selectors.EVENT_READ, None)
        for name, listener in sockets.items():
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, name)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; what has already arrived is read first."""
        self._mine.send(b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._mine.close()

    def _listen(self) -> None:
        stopping = False
        while True:
            ready = self._selector.select(0 if stopping else None)
            for key, _ in ready:
                if key.data is None:
                    stopping = True
                    self._selector.unregister(self._theirs)
                    self._theirs.close()
                elif isinstance(key.fileobj, socket.socket):
                    self._serve(key.fileobj, str(key.data))
            if stopping and not ready:
                return

    def _serve(self, ready: socket.socket, name: str) -> None:
        if _listens(ready):
            connection, _ = ready.accept()
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ, name)
            if name in self._origins:
                self._served[connection] = self._origins[name]()
            # An opened connection is already a way out: the address itself can carry data.
            self.heard.append(Heard(name=name, data=b""))
            return
        try:
            data, sender = ready.recvfrom(65536)
        except OSError:
            data, sender = b"", None
        if ready.type == socket.SOCK_DGRAM:
            self.heard.append(Heard(name=name, data=data))
            if sender:
                ready.sendto(answer(data) if name.startswith("resolver") else b"pong", sender)
            return
        if not data:
            self._end(ready)
            return
        if ready in self._served:
            self._hand_over(ready, name, data)
            return
        self.heard.append(Heard(name=name, data=data))
        with suppress(OSError):
            ready.send(page(data))
            if b"connection: close" in data.lower():
                ready.shutdown(socket.SHUT_WR)

    def _hand_over(self, ready: socket.socket, name: str, data: bytes) -> None:
        try:
            answer, notes = self._served[ready].receive(data)
            self.heard.extend(Heard(name=name, data=note) for note in notes)
            ready.send(answer)
        except OSError:
            self._end(ready)

    def _end(self, connection: socket.socket) -> None:
        self._served.pop(connection, None)
        self._selector.unregister(connection)
        connection.close()


ADDRESSES = {
    b"\x06public": "1.1.1.1",
    b"\x04good": "9.9.9.10",
    b"\x08loopback": "127.0.0.1",
    b"\x08metadata": "169.254.169.254",
    b"\x07private": "10.20.30.40",
}
"""What the arena's name server answers, by the first label. All but `good` are what an attacker's would."""
_AWAY = b"GET /away/"


def page(data: bytes) -> bytes:
    """What a web server answers: `pong`, or that the page has moved to another host."""
    if data.startswith(_AWAY):
        path = data[len(_AWAY) :].split(b" ")[0]
        return b"HTTP/1.1 302 Found\r\nLocation: http://public.evil.test/%b\r\nContent-Length: 0\r\n\r\n" % path
    return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong"


def answer(question: bytes) -> bytes:
    """A reply of a name server: the address for the first label, else that there is none."""
    label = question[12 : 13 + question[12]].lower() if len(question) > 12 else b""
    end = question.find(b"\0", 12) + 5
    found = ADDRESSES.get(label) if question[end - 4 : end - 2] == b"\0\x01" else None
    head = question[:2] + b"\x81\x80\0\x01" + (b"\0\x01" if found else b"\0\0") + b"\0\0\0\0"
    body = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04" + socket.inet_aton(found) if found else b""
    return head + question[12:end] + body


def _listens(candidate: socket.socket) -> bool:
    return bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
