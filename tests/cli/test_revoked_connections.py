"""Questions about connections in a real session: two at once are one question, and a revoked answer ends what it
opened within a second: a plain tunnel, a request that is looked into, and a WebSocket."""

from __future__ import annotations

import datetime
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.conftest import Person, accounts

from ringfence.egress.authority import Authority
from ringfence.model.host import parse_host

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("person", accounts()[-1:], indirect=True)]

POLICY = """
extends = "workspace"
[[network.rule]]
hosts = ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
verdict = "allow"
[network]
inspect = ["{host}:{secure}"]
"""
AGENT = """
import socket, ssl, sys, threading, time
host, plain, secure = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def tunnel(port):
    sock = socket.create_connection(("127.0.0.1", 3128))
    sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\\r\\n\\r\\n".encode())
    head = b""
    while not head.endswith(b"\\r\\n\\r\\n"):
        head += sock.recv(1) or sys.exit(f"refused: {head!r}")
    return sock
def watch(name, sock):
    began = False
    try:
        while sock.recv(1000):
            if not began:
                print("open", name, flush=True)
            began = True
    except OSError:
        pass
    print("ended", name, time.time(), flush=True)
def asked(path, more=""):
    sock = ssl.create_default_context().wrap_socket(tunnel(secure), server_hostname=host)
    sock.sendall(f"GET {path} HTTP/1.1\\r\\nHost: {host}:{secure}\\r\\n{more}\\r\\n".encode())
    return sock
upgrade = "Connection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n"
ways = {
    "tunnel": lambda: tunnel(plain), "tunnel again": lambda: tunnel(plain),
    "request": lambda: asked("/stream"), "websocket": lambda: asked("/ws", upgrade),
}
threads = [threading.Thread(target=lambda name=name, make=make: watch(name, make())) for name, make in ways.items()]
for one in threads: one.start()
for one in threads: one.join()
"""


@dataclass
class Streams:
    """A server that never stops sending, in the clear and over TLS."""

    host: str
    plain: int
    secure: int
    trust: str


def _serve(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            client = listener.accept()[0]
        except OSError:
            return
        threading.Thread(target=_stream, args=(client, context), daemon=True).start()


def _stream(client: socket.socket, context: ssl.SSLContext | None) -> None:
    piece = b"x\n"
    try:
        if context is not None:
            client = context.wrap_socket(client, server_side=True)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            if b"GET /ws" in head:
                # The answer to the key above, as RFC 6455 has it.
                accept = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
                client.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                piece = b"\x81\x01x"
            else:
                client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                piece = b"1\r\nx\r\n"
        while True:
            client.sendall(piece)
            time.sleep(0.02)
    except OSError:
        client.close()


@pytest.fixture
def streams(person: Person) -> Iterator[Streams]:
    host = socket.gethostname()
    world = Authority("world", datetime.datetime.now(datetime.UTC))
    trust = person.home / "world.pem"
    trust.write_bytes(world.pem)
    trust.chmod(0o644)
    context: ssl.SSLContext = world.context(parse_host(host))
    listeners = [socket.create_server(("0.0.0.0", 0)) for _ in range(2)]
    for listener, wrapped in zip(listeners, (None, context), strict=True):
        threading.Thread(target=_serve, args=(listener, wrapped), daemon=True).start()
    plain, secure = (one.getsockname()[1] for one in listeners)
    yield Streams(host=host, plain=plain, secure=secure, trust=str(trust))
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _lines(person: Person, *words: str) -> list[dict[str, object]]:
    done = person.types("approvals", *words, "--json")
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def _until(file: Path, wanted: set[str]) -> None:
    deadline = time.monotonic() + 20
    while not wanted <= set(file.read_text().splitlines()):
        assert time.monotonic() < deadline, file.read_text()
        time.sleep(0.02)


def test_two_at_once_are_one_question_and_a_revoked_answer_ends_them_all_within_a_second(
    person: Person, streams: Streams
) -> None:
    names = {"host": streams.host, "secure": streams.secure}
    (person.project / "policy.toml").write_text(POLICY.format(**names))
    (person.project / "agent.py").write_text(AGENT)
    output = person.home / "output"
    with output.open("w") as file:
        running = person.start(
            *("run", "-q", "--ask", "queue", "--policy", "policy.toml", "--", "python3", "agent.py"),
            *(streams.host, str(streams.plain), str(streams.secure)),
            env={"SSL_CERT_FILE": streams.trust}, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        # One for both tunnels, and one for each request.
        while len(_lines(person, "list")) < 3:
            assert time.monotonic() < deadline and running.poll() is None, output.read_text()
        time.sleep(0.3)
        open_ones = _lines(person, "list")
        assert len(open_ones) == 3, open_ones
        for one in open_ones:
            assert person.types("approvals", "approve", str(one["id"]), "--scope", "session").code == 0
        _until(output, {f"open {name}" for name in ("tunnel", "tunnel again", "request", "websocket")})

        for grant in _lines(person, "grants"):
            assert person.types("approvals", "revoke", str(grant["id"])).code == 0
        revoked = time.time()
        running.wait(20)
    finally:
        running.kill()
        running.wait()

    ended = {
        name.removeprefix("ended "): float(at)
        for line in output.read_text().splitlines()
        if line.startswith("ended ")
        for name, _, at in [line.rpartition(" ")]
    }
    assert set(ended) == {"tunnel", "tunnel again", "request", "websocket"}, output.read_text()
    assert max(ended.values()) - revoked < 1.0
    assert os.path.exists(person.project)
