"""Serves DNS on the sockets that stand inside the sandbox, by UDP and by TCP. What is answered stands in `dns`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from ringfence.egress.dns import Resolve

_AT_ONCE = 64
_LONGEST_QUERY = 4096
_IDLE_SECONDS = 10.0
_PACKETS = 16
"""How many clients by packets stand for one by TCP: a program may hold a socket open that it does not use."""
_IPV6_PKTINFO = 50
_IPV6_FREEBIND = 78
_IP_PKTINFO = 8


class DnsService:
    """One session's DNS server."""

    def __init__(self, resolve: Resolve, *, clients: int) -> None:
        self._resolve = resolve
        self._clients = clients
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._connections: set[_Client] = set()

    def serve_udp(self, sock: socket.socket) -> None:
        """Answer datagrams. Where the socket gives packet information, the answer comes from the address asked."""
        sock.setblocking(False)
        if sock.family == socket.AF_INET6:
            # An answer has to come from the address that was asked, and inside that is any address at all.
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        self._sockets.append(sock)
        self._loop.add_reader(sock.fileno(), self._datagrams, sock)

    def serve_tcp(self, sock: socket.socket) -> None:
        """Answer on connections."""
        sock.setblocking(False)
        self._sockets.append(sock)
        self._loop.add_reader(sock.fileno(), self._accept, sock)

    def serve_client(self, sock: socket.socket, *, packets: bool) -> None:
        """Answer on one connection that was accepted already: by messages with their length before them, or by
        `packets`, one message each."""
        kind = _Packets if packets else _Client
        if sum(type(each) is kind for each in self._connections) >= self._clients * (_PACKETS if packets else 1):
            sock.close()
        else:
            self._connections.add(kind(self._loop, sock, self._resolve, self._connections))

    def close(self) -> None:
        """Stop, and close the sockets."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()
        for connection in tuple(self._connections):
            connection.close()

    def _datagrams(self, sock: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                query, ancillary, _, sender = sock.recvmsg(_LONGEST_QUERY, 256)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier answer could not be delivered; that is nobody's business but the client's
            answer = self._resolve.answer(query)
            if answer is not None:
                with contextlib.suppress(OSError):
                    sock.sendmsg([answer], _answer_from(ancillary), 0, sender)

    def _accept(self, sock: socket.socket) -> None:
        try:
            connection, _ = sock.accept()
        except OSError:
            return
        self.serve_client(connection, packets=False)


class _Client:
    """One client by TCP: messages with their length before them, one answer each."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, resolve: Resolve, others: set[_Client]
    ) -> None:
        self._loop = loop
        self._sock = sock
        self._resolve = resolve
        self._others = others
        self._data = b""
        sock.setblocking(False)
        loop.add_reader(sock.fileno(), self._ready)
        self._timer = loop.call_later(_IDLE_SECONDS, self.close)

    def close(self) -> None:
        """End the connection."""
        self._timer.cancel()
        self._others.discard(self)
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def _ready(self) -> None:
        try:
            data = self._sock.recv(_LONGEST_QUERY)
            if not data:
                return self.close()
            self._data += data
            self._answer_all()
        except BlockingIOError:
            return None
        except OSError:
            return self.close()
        return None

    def _answer_all(self) -> None:
        while len(self._data) >= 2:
            (length,) = struct.unpack_from(">H", self._data)
            if length > _LONGEST_QUERY:
                return self.close()
            if len(self._data) < 2 + length:
                return None
            query, self._data = self._data[2 : 2 + length], self._data[2 + length :]
            answer = self._resolve.answer(query)
            # A client that asks without reading fills its own buffer; then it is gone.
            if answer is None or self._sock.send(struct.pack(">H", len(answer)) + answer) != len(answer) + 2:
                return self.close()
        return None


class _Packets(_Client):
    """One client whose every packet is a message, and for whom nobody minds that it says nothing for a while."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket, resolve: Resolve, others: set[_Client]
    ) -> None:
        super().__init__(loop, sock, resolve, others)
        self._timer.cancel()

    def _ready(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                query = self._sock.recv(_LONGEST_QUERY)
                if not query:
                    return self.close()
                answer = self._resolve.answer(query)
                if answer is not None:
                    self._sock.send(answer)
        except BlockingIOError:
            return None
        except OSError:
            return self.close()
        return None


def _answer_from(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The packet information of the answer, made from that of the question: the same address, any interface."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return [(level, kind, struct.pack("=i4s4s", 0, data[8:12], bytes(4)))]
        if level == socket.IPPROTO_IPV6 and kind == _IPV6_PKTINFO:
            return [(level, kind, data[:16] + bytes(4))]
    return []
