"""The two ends of a measurement of HTTP over TLS: an origin and a client, both as lean as Python allows.

The client's side of TLS verifies nothing, to cost less; that requests are really looked into is shown by the
certificate that it gets, which is not the origin's.
"""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence

from bench.gateway_load import connect_request

_BODY = bytes(1024)
_ANSWER = (
    b'HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Tue, 24 Nov 2026 %02d:%02d:%02d GMT\r\nETag: "%x"\r\n'
    b"Content-Type: application/octet-stream\r\nContent-Length: 1024\r\n\r\n%b"
)
_END = b"\r\n\r\n"
_LARGEST = 65_536

Ends = tuple[int | None, int]
"""The proxy's port, if one has to be asked, and the port of the origin."""


def serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    """Answer each request of each connection with a kilobyte; for ever."""
    poll = select.epoll()
    listener.setblocking(False)
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, tuple[ssl.SSLSocket, bytearray]] = {}
    numbers = itertools.count()
    while True:
        for descriptor, _ in poll.poll(-1, 256):
            if descriptor == listener.fileno():
                for client in _taken(listener):
                    secure = context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
                    clients[secure.fileno()] = secure, bytearray()
                    poll.register(secure.fileno(), select.EPOLLIN)
                continue
            secure, unread = clients[descriptor]
            if not _answered(secure, unread, numbers):
                del clients[descriptor]
                secure.close()


def _taken(listener: socket.socket) -> list[socket.socket]:
    taken = []
    for _ in range(64):
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            break
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken.append(client)
    return taken


def answer(number: int) -> bytes:
    """One answer; no two say the same, as those of real servers."""
    return _ANSWER % (number // 3600 % 24, number // 60 % 60, number % 60, number, _BODY)


def _answered(secure: ssl.SSLSocket, unread: bytearray, numbers: Iterator[int]) -> bool:
    """Whether the connection goes on."""
    try:
        while True:
            data = secure.recv(_LARGEST)
            if not data:
                return False
            unread += data
            if unread.endswith(_END):
                unread.clear()
                secure.sendall(answer(next(numbers)))
    except ssl.SSLWantReadError:
        return True
    except (OSError, ValueError):
        return False


def client_context() -> ssl.SSLContext:
    """The client's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def opened(ends: Ends, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A connection behind CONNECT, where that is needed, and the handshake."""
    proxy, origin = ends
    sock = socket.create_connection(("127.0.0.1", proxy or origin), 30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if proxy:
        sock.sendall(connect_request(origin))
        told = b""
        while _END not in told:
            more = sock.recv(4096)
            if not more:
                raise ConnectionError(f"the proxy refused: {told!r}")
            told += more
        if b" 200" not in told[:13]:
            raise ConnectionError(f"the proxy refused: {told[:300]!r}")
    return context.wrap_socket(sock, server_hostname="localhost")


def request(origin: int, number: int = 0) -> bytes:
    """One request; each number is another path, so that nobody gains by knowing it already."""
    return b"GET /some/path/of/usual/%d HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n" % (
        number,
        origin,
    )


def ask(sock: ssl.SSLSocket, said: bytes) -> None:
    """One request and its whole answer."""
    sock.sendall(said)
    data = sock.recv(_LARGEST)
    while not whole(data):
        more = sock.recv(_LARGEST)
        if not more:
            raise ConnectionError(f"the answer broke off: {data[:200]!r}")
        data += more


def whole(data: bytes | bytearray) -> bool:
    """Whether an answer is complete; `ConnectionError` where it is a refusal."""
    end = data.find(_END)
    if end < 0:
        return False
    if not data.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"the proxy refused: {data[:300]!r}")
    # An answer in chunks is longer than its kilobyte; its last chunk is empty.
    return data.endswith(b"0\r\n\r\n") if b"hunked" in data[:end] else len(data) - end - 4 >= len(_BODY)


def keep_alive(ends: Ends, *, named: int, seconds: float, at_once: int) -> int:
    """How many requests over so many connections that stay open fit into the time."""
    context, said = client_context(), request(named)
    poll = select.epoll()
    clients: dict[int, tuple[ssl.SSLSocket, bytearray]] = {}
    for _ in range(at_once):
        sock = opened(ends, context)
        ask(sock, said)
        sock.setblocking(False)
        clients[sock.fileno()] = sock, bytearray()
        poll.register(sock.fileno(), select.EPOLLIN)
    for sock, _ in clients.values():
        sock.send(said)
    done = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for descriptor, _ in poll.poll(1, 64):
            sock, got = clients[descriptor]
            try:
                data = sock.recv(_LARGEST)
            except ssl.SSLWantReadError:
                continue
            if not data:
                raise ConnectionError("the connection did not stay open")
            got += data
            if whole(got):
                got.clear()
                done += 1
                sock.send(request(named, done))
    for sock, _ in clients.values():
        sock.close()
    poll.close()
    return done


def handshakes(ends: Ends, *, named: int, seconds: float, at_once: int) -> int:
    """How many new connections with one request each fit into the time."""
    context, said = client_context(), request(named)
    done = [0] * at_once
    failures: list[OSError] = []
    until = time.perf_counter() + seconds

    def work(number: int) -> None:
        try:
            while time.perf_counter() < until:
                with opened(ends, context) as sock:
                    ask(sock, said)
                done[number] += 1
        except OSError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(done)


def latencies(ends: Ends, *, named: int, count: int) -> Sequence[float]:
    """How long each of so many requests over one open connection takes, in milliseconds, in order of size."""
    said = request(named)
    with opened(ends, client_context()) as sock:
        for _ in range(20):
            ask(sock, said)
        taken = []
        for _ in range(count):
            started = time.perf_counter()
            ask(sock, said)
            taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken)


def certificate(ends: Ends) -> bytes:
    """What the client is shown."""
    with opened(ends, client_context()) as sock:
        return sock.getpeercert(binary_form=True) or b""
