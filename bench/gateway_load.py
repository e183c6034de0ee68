"""The two ends of a measurement of proxies: an origin and a client, both as lean as Python allows.

They speak bytes that look like TLS, because that is what goes through a proxy nowadays; the origin answers with a
kilobyte, or with as much as the first bytes ask for.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable

NAME = b"localhost"
_ANSWER = bytes(1024)
_BULK = 1 << 26
_SINK = bytearray(1 << 20)


def hello(size: int = 517) -> bytes:
    """A ClientHello for `localhost`, of the size that browsers send."""
    name = b"\0" + len(NAME).to_bytes(2, "big") + NAME
    extension = b"\0\0" + (len(name) + 2).to_bytes(2, "big") + len(name).to_bytes(2, "big") + name
    padding = size - 9 - 43 - 2 - len(extension) - 4
    extensions = extension + b"\0\x15" + padding.to_bytes(2, "big") + bytes(padding)
    body = b"\x03\x03" + bytes(32) + b"\0" + b"\0\x02\x13\x01\x01\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


def connect_request(port: int) -> bytes:
    """What every proxy is asked."""
    target = b"%s:%d" % (NAME, port)
    return b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n"


def listening() -> socket.socket:
    """A listener on loopback."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(4096)
    return sock


def serve_small(listener: socket.socket) -> None:
    """Answer each connection's first bytes with a kilobyte and close it; for ever."""
    poll = select.epoll()
    listener.setblocking(False)
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poll.poll(-1, 256):
            if descriptor == listener.fileno():
                for _ in range(64):
                    try:
                        client, _ = listener.accept()
                    except BlockingIOError:
                        break
                    clients[client.fileno()] = client
                    poll.register(client.fileno(), select.EPOLLIN)
                continue
            client = clients.pop(descriptor)
            try:
                if client.recv(4096):
                    client.send(_ANSWER)
            except OSError:
                pass
            client.close()


def serve_bulk(listener: socket.socket) -> None:
    """Send 64 MiB over and over for each connection, until the client has enough; for ever."""
    memory = os.memfd_create("bulk")
    os.truncate(memory, _BULK)
    os.pwrite(memory, bytes(_BULK), 0)

    def send(client: socket.socket) -> None:
        with client:
            try:
                client.recv(4096)
                while True:
                    at = 0
                    while at < _BULK:
                        at += os.sendfile(client.fileno(), memory, at, _BULK - at)
            except OSError:
                return

    while True:
        client, _ = listener.accept()
        threading.Thread(target=send, args=(client,), daemon=True).start()


def serve_idle(listener: socket.socket) -> None:
    """Take connections, read and say nothing; for ever."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poll.poll(-1, 256):
            if descriptor == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                poll.register(client.fileno(), select.EPOLLIN)
                continue
            try:
                ended = not clients[descriptor].recv(65_536)
            except OSError:
                ended = True
            if ended:
                clients.pop(descriptor).close()


def connections(proxy: int | None, origin: int, *, seconds: float, at_once: int) -> int:
    """How many new connections with one small exchange each fit into the time."""
    poll = select.epoll()
    said = hello()
    asked = connect_request(origin)
    address = ("127.0.0.1", proxy or origin)
    clients: dict[int, tuple[socket.socket, list[int]]] = {}

    def start() -> None:
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        client.connect_ex(address)
        clients[client.fileno()] = client, [0 if proxy else 1]
        poll.register(client.fileno(), select.EPOLLOUT)

    for _ in range(at_once):
        start()
    done = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for descriptor, _ in poll.poll(1, 256):
            client, state = clients[descriptor]
            if state[0] == 0:
                client.send(asked)
                state[0] = 2
                poll.modify(descriptor, select.EPOLLIN)
            elif state[0] == 1:
                client.send(said)
                state[0] = 3
                poll.modify(descriptor, select.EPOLLIN)
            elif state[0] == 2:
                if b" 200" not in client.recv(4096)[:13]:
                    raise ConnectionError("the proxy refused")
                client.send(said)
                state[0] = 3
            elif not client.recv(65_536):
                del clients[descriptor]
                client.close()
                done += 1
                start()
    for client, _ in clients.values():
        client.close()
    poll.close()
    return done


def bulk(proxy: int | None, origin: int, *, seconds: float, streams: int) -> int:
    """How many bytes so many streams receive in the time."""
    totals = [0] * streams
    until = time.perf_counter() + seconds

    def receive(number: int) -> None:
        with socket.create_connection(("127.0.0.1", proxy or origin)) as client:
            if proxy:
                client.sendall(connect_request(origin))
                client.recv(4096)
            client.sendall(hello())
            while time.perf_counter() < until:
                # MSG_TRUNC drops the bytes in the kernel: the client costs next to nothing.
                totals[number] += client.recv_into(_SINK, 1 << 20, socket.MSG_TRUNC)

    threads = [threading.Thread(target=receive, args=(number,)) for number in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(totals)


def forked(serve: Callable[[socket.socket], None], listener: socket.socket, processor: int | None) -> int:
    """A process that serves the listener; its id."""
    child = os.fork()
    if child == 0:
        if processor is not None:
            os.sched_setaffinity(0, {processor})
        serve(listener)
        os._exit(0)
    return child
