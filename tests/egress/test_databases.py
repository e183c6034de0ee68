"""Real clients of databases through the gateway, by rules that name their protocol."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.approvals import postgresql
from tests.debian import needed, program
from tests.egress.gatewaying import LOOPBACK, answer, listening

from ringfence.egress import Authorization, Cancel, Gateway
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


ADDRESS, TLS_ADDRESS, PORT = "127.0.7.1", "127.0.7.2", 5432
"""On an address of its own a server can have its usual port, by which its socket is named too."""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Before:
    """A gateway before a server on loopback, and the port that clients dial instead of the server's."""

    def __init__(self, port: int, *protocols: str, host: str = "127.0.0.1") -> None:
        self.refused: list[Decision] = []
        self._server = f"{host} {port}"
        self._protocols = protocols
        self._gateway = Gateway(self._authorize, on_refused=self.refused.append)
        self._sock = listening()
        self._sock.setblocking(False)
        self.port = self._sock.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._sock, self._accept)

    def _authorize(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        done(answer(action, declared=LOOPBACK, protocols=self._protocols))
        return lambda: None

    def _accept(self) -> None:
        client, _ = self._sock.accept()
        self._gateway.arrive(f"capture4 {self._server}", client)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._sock)
        self._sock.close()
        self._gateway.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[int]:
    needed("postgresql", lambda: postgresql.programs() is not None)
    server = postgresql.Server(listen_addresses=ADDRESS)
    yield PORT
    server.close()


@pytest.fixture
async def before_postgres(postgres: int) -> AsyncIterator[Before]:
    made = Before(postgres, "postgresql", host=ADDRESS)
    yield made
    made.close()


def _asks(port: int, mode: str) -> list[tuple[object, ...]]:
    words = f"host=127.0.0.1 port={port} user=ringfence dbname=postgres sslmode={mode} connect_timeout=10"
    with psycopg.connect(words) as connection:
        connection.execute("create temporary table t as select generate_series(1, 50000) as n")
        return connection.execute("select count(*), sum(n) from t").fetchall()


@pytest.mark.parametrize("mode", ["disable", "prefer"])
async def test_postgresql_is_asked_and_its_question_about_encryption_passes(before_postgres: Before, mode: str) -> None:
    assert await asyncio.to_thread(_asks, before_postgres.port, mode) == [(50_000, 1_250_025_000)]
    assert before_postgres.refused == []


async def test_postgresql_is_refused_where_only_the_web_is_open(postgres: int) -> None:
    before = Before(postgres, "http", "tls", host=ADDRESS)

    with pytest.raises(psycopg.OperationalError):
        await asyncio.to_thread(_asks, before.port, "disable")

    before.close()
    assert [one.reasons[0].rule for one in before.refused] == ["network.protocol"]


async def test_another_client_does_not_reach_postgresql(before_postgres: Before) -> None:
    with socket.create_connection(("127.0.0.1", before_postgres.port)) as client:
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        heard = await asyncio.wait_for(loop.sock_recv(client, 4096), 10)

    assert heard.startswith(b"HTTP/1.1 403 ")
    assert [one.reasons[0].rule for one in before_postgres.refused] == ["network.protocol"]


async def test_postgresql_over_tls_is_encrypted_behind_its_question() -> None:
    needed("postgresql", lambda: postgresql.programs() is not None)
    # The server's user could not read what lies below pytest's folders.
    with tempfile.TemporaryDirectory(dir=postgresql.MEMORY) as folder:
        server = postgresql.Server(listen_addresses=TLS_ADDRESS, **_certificate(Path(folder)))
        before = Before(PORT, "postgresql", host=TLS_ADDRESS)
        counted = await asyncio.to_thread(_asks, before.port, "require")
        before.close()
        server.close()

    assert counted == [(50_000, 1_250_025_000)]


def _certificate(folder: Path) -> dict[str, str]:
    done = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    names = {"ssl_cert_file": str(folder / "cert.pem"), "ssl_key_file": str(folder / "key.pem")}
    subprocess.run(
        [*done, "-subj", "/CN=db", "-out", names["ssl_cert_file"], "-keyout", names["ssl_key_file"]],
        check=True,
        capture_output=True,
    )
    if os.geteuid() == 0:
        folder.chmod(0o755)
        Path(names["ssl_key_file"]).chmod(0o600)
        subprocess.run(["chown", "nobody", names["ssl_key_file"]], check=True)
    return {"ssl": "on", **names}


async def test_redis_is_asked(tmp_path: Path) -> None:
    server, client = program("redis-server", "redis-server"), program("redis-cli", "redis-tools")
    port = free_port()
    words = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    before = Before(port, "redis")
    try:
        for _ in range(200):
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", port)):
                    break
            await asyncio.sleep(0.02)
        done = await asyncio.to_thread(
            subprocess.run,
            [client, "-p", str(before.port)],
            input="SET key value\nGET key\n",
            capture_output=True,
            text=True,
            timeout=20,
        )
    finally:
        before.close()
        process.terminate()
        process.wait(10)

    assert done.stdout.split() == ["OK", "value"]
    assert before.refused == []
