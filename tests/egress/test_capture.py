"""Capture, synthetic DNS and the host's ports, end to end in a network namespace that has no other way out."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.egress.gatewaying import LOOPBACK, Names, answer, listening

from ringfence.egress import Authorization, Cancel, Gateway
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed

pytestmark = pytest.mark.slow


class Inside:
    """A program in a namespace, and the gateway that serves it from outside."""

    def __init__(self, host_port: int) -> None:
        self.asked: list[tuple[str, str, int, str | None]] = []
        self.refused: list[Decision] = []
        self.closed: list[ConnectionClosed] = []
        self.denied: set[str] = set()
        self.needing_requests: set[str] = set()
        self.names = Names({"api.test": ("127.0.0.1",), "six.test": ("::1",), "rebound.test": ("169.254.169.254",)})
        self._control, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(10)
        arguments = [sys.executable, "-m", "tests.egress.inside"]
        self._process = subprocess.Popen(arguments, stdin=child, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        child.close()
        self._control.send(json.dumps([host_port]).encode())
        names, descriptors, _, _ = socket.recv_fds(self._control, 4096, 32)
        assert descriptors, "the namespace could not be made"
        self.gateway = Gateway(
            self._authorize, resolver=self.names, on_closed=self.closed.append, on_refused=self.refused.append
        )
        sockets = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        self.gateway.serve(dict(zip(json.loads(names), sockets, strict=True)))

    def _authorize(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        self.asked.append((origin, action.host, action.port, action.path))
        verdict = Verdict.DENY if action.host in self.denied or action.path == "/denied" else Verdict.ALLOW
        needs = action.host in self.needing_requests and action.method is None
        done(answer(action, verdict, declared=LOOPBACK, needs_request=needs))
        return lambda: None

    async def do(self, what: str, **arguments: Any) -> str:
        """One attempt inside, and how it ended."""
        self._control.send(json.dumps({"do": what, **arguments}).encode())
        return json.loads(await asyncio.to_thread(self._control.recv, 1 << 20))

    def close(self) -> None:
        self.gateway.close()
        self._control.close()
        self._process.wait(10)


class Origin:
    """A server on the host's loopback, v4 and v6 on the same port, that says what it got first and from where."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        sock = listening()
        self.port = sock.getsockname()[1]
        six = socket.socket(socket.AF_INET6)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        six.bind(("::1", self.port))
        self._sockets = [sock, six]
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        for sock in self._sockets:
            self._servers.append(await asyncio.start_server(self._serve, sock=sock))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(65536)
        self.got.append(data)
        writer.write(b"origin: " + data.partition(b"\r\n")[0])
        writer.close()

    def close(self) -> None:
        for server in self._servers:
            server.close()


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    made = Origin()
    await made.start()
    yield made
    made.close()


@pytest.fixture
async def inside(origin: Origin) -> AsyncIterator[Inside]:
    made = Inside(origin.port)
    yield made
    made.close()


async def test_a_name_is_resolved_anywhere_and_its_connections_are_known_by_it(inside: Inside, origin: Origin) -> None:
    first = await inside.do("resolve", name="api.test")

    assert first == await inside.do("resolve", name="api.test", server="8.8.8.8")
    assert first == await inside.do("resolve", name="api.test", server="9.9.9.9", tcp=True)
    assert first == await inside.do("resolve", name="api.test", server="2001:4860:4860::8888")
    assert await inside.do("talk", host="api.test", port=origin.port, say="hello\n", name=True) == "origin: hello\n"
    assert (
        await inside.do("talk", host="six.test", port=origin.port, say="six\n", name=True, kind=28) == "origin: six\n"
    )
    assert inside.asked == [
        ("capture4", "api.test", origin.port, None),
        ("capture6", "six.test", origin.port, None),
    ]
    assert [(event.host, event.address, event.sent_bytes) for event in inside.closed] == [
        ("api.test", "127.0.0.1", 6),
        ("six.test", "::1", 4),
    ]


async def test_every_port_and_family_is_captured_by_address(inside: Inside) -> None:
    for host, port in (("8.8.8.8", 22), ("1.2.3.4", 3129), ("2606:4700::1111", 9418)):
        inside.denied.add(host)
        assert "reset" in await inside.do("talk", host=host, port=port, say="x\n")

    assert inside.asked == [
        ("capture4", "8.8.8.8", 22, None),
        ("capture4", "1.2.3.4", 3129, None),
        ("capture6", "2606:4700::1111", 9418, None),
    ]


async def test_datagrams_elsewhere_find_nobody(inside: Inside) -> None:
    assert "refused" in await inside.do("udp", host="8.8.8.8", port=443)


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "192.168.1.1", "100.64.0.1"])
async def test_an_address_that_is_not_public_is_refused_whatever_the_answer(inside: Inside, host: str) -> None:
    said = await inside.do("talk", host=host, port=80, say="GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert said.startswith("HTTP/1.1 403")
    assert inside.refused[0].reasons[0].rule.startswith("address.")


async def test_a_name_that_leads_to_the_metadata_service_is_refused(inside: Inside) -> None:
    said = await inside.do(
        "talk", host="rebound.test", port=80, say="GET / HTTP/1.1\r\nHost: rebound.test\r\n\r\n", name=True
    )

    assert "`169.254.169.254` is a cloud's metadata service, and no rule declares it" in said
    assert inside.refused[0].reasons[0].rule == "address.metadata"


async def test_a_denial_of_a_captured_request_is_told_in_its_own_protocol(inside: Inside) -> None:
    inside.denied.add("api.test")

    plain = await inside.do("talk", host="api.test", port=80, say="GET / HTTP/1.1\r\nHost: api.test\r\n\r\n", name=True)
    encrypted = await inside.do("tls", host="api.test", port=443, server_name="api.test")

    assert plain.startswith("HTTP/1.1 403 Forbidden\r\n")
    assert "rule: test-rule: because" in plain
    assert encrypted == "TLSV1_ALERT_ACCESS_DENIED"


async def test_a_captured_client_cannot_front_another_host(inside: Inside, origin: Origin) -> None:
    encrypted = await inside.do("tls", host="api.test", port=origin.port, server_name="evil.test")
    plain = await inside.do(
        "talk", host="api.test", port=origin.port, say="GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", name=True
    )

    assert encrypted == "TLSV1_UNRECOGNIZED_NAME"
    assert plain.startswith("HTTP/1.1 403")
    assert not any(origin.got)
    assert [decision.reasons[0].rule for decision in inside.refused] == ["tls.name", "http.host"]


async def test_a_rule_about_paths_is_asked_with_the_request(inside: Inside, origin: Origin) -> None:
    inside.needing_requests.add("api.test")
    request = "GET {} HTTP/1.1\r\nHost: api.test:" + str(origin.port) + "\r\n\r\nGET /denied HTTP/1.1\r\n\r\n"

    allowed = await inside.do("talk", host="api.test", port=origin.port, say=request.format("/x"), name=True)
    denied = await inside.do("talk", host="api.test", port=origin.port, say=request.format("/denied"), name=True)
    hidden = await inside.do("tls", host="api.test", port=origin.port, server_name="api.test")

    assert allowed == "origin: GET /x HTTP/1.1"
    assert denied.startswith("HTTP/1.1 403")
    assert hidden == "TLSV1_ALERT_ACCESS_DENIED"
    assert b"denied" not in b"".join(origin.got)
    assert [path for _, _, _, path in inside.asked] == [None, "/x", None, "/denied", None]
    assert [decision.reasons[0].rule for decision in inside.refused] == ["inspection.needed"]


async def test_a_synthetic_address_that_was_never_given_out_means_nobody(inside: Inside) -> None:
    assert "reset" in await inside.do("talk", host="198.19.7.7", port=22, say="x\n")
    assert inside.asked == []
    assert inside.refused[0].reasons[0].rule == "address.synthetic"


async def test_the_capturing_listener_itself_is_no_destination(inside: Inside) -> None:
    assert "reset" in await inside.do("talk", host="127.0.0.1", port=3129, say="x\n")
    assert inside.asked == []


async def test_a_port_of_the_host_stands_on_the_sandboxes_loopback(inside: Inside, origin: Origin) -> None:
    request = f"GET / HTTP/1.1\r\nHost: localhost:{origin.port}\r\n\r\n"

    assert await inside.do("talk", host="127.0.0.1", port=origin.port, say=request) == "origin: GET / HTTP/1.1"
    assert await inside.do("talk", host="::1", port=origin.port, say="hi\n") == "origin: hi\n"
    assert inside.asked == [(f"host_port:{origin.port}", "host.ringfence.internal", origin.port, None)] * 2


async def test_the_hosts_loopback_has_a_name(inside: Inside, origin: Origin) -> None:
    said = await inside.do("talk", host="host.ringfence.internal", port=origin.port, say="hi\n", name=True)

    assert said == "origin: hi\n"
    assert inside.names.asked == []


async def test_without_a_gateway_there_is_no_network(inside: Inside, origin: Origin) -> None:
    address = await inside.do("resolve", name="api.test")

    inside.gateway.close()

    assert "refused" in await inside.do("talk", host=address, port=origin.port, say="x\n")
    assert "refused" in await inside.do("talk", host="127.0.0.1", port=3128, say="x\n")
