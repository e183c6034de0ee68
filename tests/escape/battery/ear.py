"""Listens on sockets and notes what arrives. So the battery sees what got out, whatever the attacker was told."""

from __future__ import annotations

import selectors
import socket
import threading

import msgspec


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that arrived at a listener."""

    name: str
    data: bytes


class Ear:
    """Accepts, reads and answers on every socket it is given, in one thread."""

    def __init__(self, sockets: dict[str, socket.socket]) -> None:
        self.heard: list[Heard] = []
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
                ready.sendto(b"pong", sender)
            return
        if not data:
            self._selector.unregister(ready)
            ready.close()
            return
        self.heard.append(Heard(name=name, data=data))
        try:
            ready.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong")
        except OSError:
            return


def _listens(candidate: socket.socket) -> bool:
    return bool(candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
