"""A real MariaDB and its own client in a session whose rules open the port by what is spoken there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.cli.conftest import Person, accounts, person, warm
from tests.e2e.installed import Unavailable
from tests.e2e.mariadb import PASSWORD, USER, Server, unpacked

__all__ = ["person", "warm"]
pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("person", accounts()[-1:], indirect=True)]

HOST = "host.ringfence.internal"
POLICY = """
extends = "workspace"
[[network.rule]]
hosts = ["{host}:{port}"]
protocol = "{protocol}"
verdict = "allow"
"""
AGENT = """
ask() {{
    env LD_LIBRARY_PATH={libraries} {client} --no-defaults --connect-timeout=10 \\
        -h {host} -P {port} -u{user} -p{password} -N "$@" 2>&1
}}
ask --skip-ssl -e "select 'ONE', current_user()"
ask --ssl -e "select 'TWO', @@hostname is not null; show status like 'Ssl_cipher'"
ask --ssl -e "select repeat('x', 3000000)" | wc -c
"""
OTHERS = """
import socket
for first in (b"SSH-2.0-x\\r\\n", b"*1\\r\\n$4\\r\\nPING\\r\\n", b"\\0\\0\\0\\x08\\x04\\xd2\\x16\\x2f"):
    heard = b""
    with socket.create_connection(("{host}", {port}), 10) as server:
        try:
            server.sendall(first)
            while piece := server.recv(4096):
                heard += piece
        except ConnectionResetError:
            pass
    print("told why" if b"network.protocol" in heard else "ended")
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        made = Server(unpacked())
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield made
    made.close()


def run(person: Person, server: Server, protocol: str) -> tuple[list[str], int]:
    """What the client and then the strangers say, and how many of the strangers were denied for what they speak."""
    names = {"host": HOST, "port": server.port}
    (person.project / "agent.sh").write_text(
        AGENT.format(
            libraries=server.libraries,
            client=server.root / "usr/bin/mariadb",
            user=USER,
            password=PASSWORD,
            **names,
        )
    )
    (person.project / "others.py").write_text(OTHERS.format(**names))
    (person.project / "policy.toml").write_text(POLICY.format(protocol=protocol, **names))
    words = ("run", "-q", "--ask", "deny", "--policy", "policy.toml", "--read", str(server.root), "--")
    said = [person.types(*words, *each).out for each in (("sh", "agent.sh"), ("python3", "others.py"))]
    denied = person.types("log", "--json", "--verdict", "deny").out
    return "".join(said).splitlines(), denied.count('"rule":"network.protocol"')


def test_its_own_client_gets_through_with_and_without_tls_and_nothing_else_does(person: Person, server: Server) -> None:
    shown, denied = run(person, server, "mysql")

    assert shown[:2] == [f"ONE\t{USER}@%", "TWO\t1"]
    assert shown[2].startswith("Ssl_cipher\tTLS_")
    assert shown[3:] == ["3000001", "told why", "ended", "ended"]
    assert denied == 3


def test_on_a_port_that_is_open_for_another_protocol_it_is_refused_before_the_server_hears_it(
    person: Person, server: Server
) -> None:
    before = server.heard

    shown, denied = run(person, server, "postgresql")

    assert [line.partition(":")[0] for line in shown[:2]] == ["ERROR 2013 (HY000)", "ERROR 2026 (HY000)"]
    assert denied == 2
    assert server.heard == before
