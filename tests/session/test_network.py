"""What the gateway is told beside the verdict: the ranges that the policy opens and denies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import ip_network
from typing import cast

import pytest
from tests.egress.gatewaying import Names, gateway_on
from tests.egress.inspecting import leave, server
from tests.policy.making import EMPTY, document, policy

from ringfence.approvals.gate import Gate
from ringfence.egress.authorization import Authorization
from ringfence.egress.inspection import Inspection
from ringfence.model.action import Action, ConnectAction
from ringfence.model.decision import Decision
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.session.network import GatewayJudge

RULES = """
[[network.rule]]
hosts = ["10.0.0.0/8", "files.test"]
verdict = "allow"
[[network.rule]]
hosts = ["10.0.0.5"]
verdict = "deny"
"""


class OpenGate:
    """A gate that records nothing and answers at once."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def decide_soon(self, action: Action, done: Callable[[Decision], None], *, asked_by: str) -> Callable[[], None]:
        done(self._evaluator.evaluate(action))
        return lambda: None


def test_the_gateway_hears_which_addresses_a_rule_denies() -> None:
    evaluator = Evaluator(policy(document(RULES), base=EMPTY), Context(home="/home/u", workspace="/w"))
    answers: list[Authorization] = []

    judge = GatewayJudge(cast("Gate", OpenGate(evaluator)), evaluator)
    judge(ConnectAction(host="files.test", port=443), "connect", answers.append)

    assert answers[0].declared == (ip_network("10.0.0.0/8"),)
    assert answers[0].refused == (ip_network("10.0.0.5"),)


def test_the_gateway_hears_which_names_may_lead_into_the_own_network() -> None:
    rules = "[[network.rule]]\nhosts = ['pkgs.corp.test']\nmethods = ['GET']\nverdict = 'allow'\nprivate = true\n"
    rules += "[[network.rule]]\nhosts = ['files.test', 'pkgs.corp.test']\nverdict = 'allow'\n"
    evaluator = Evaluator(policy(document(rules), base=EMPTY), Context(home="/home/u", workspace="/w"))
    answers: list[Authorization] = []

    judge = GatewayJudge(cast("Gate", OpenGate(evaluator)), evaluator)
    for host, method in (("pkgs.corp.test", "GET"), ("pkgs.corp.test", "POST"), ("files.test", "GET")):
        judge(ConnectAction(host=host, port=80, method=method, path="/"), "http", answers.append)

    assert [(one.decision.verdict.value, one.private) for one in answers] == [
        ("allow", True),
        ("allow", False),
        ("allow", False),
    ]


def test_the_gateway_hears_what_may_be_spoken_and_which_keys_may_be_shown() -> None:
    rules = """
[[network.rule]]
hosts = ["**.x.test"]
verdict = "allow"
[[network.rule]]
hosts = ["git.test"]
verdict = "allow"
protocol = "ssh"
host_keys = ["SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]
"""
    evaluator = Evaluator(policy(document(rules), base=EMPTY), Context(home="/home/u", workspace="/w"))
    judge = GatewayJudge(cast(Gate, OpenGate(evaluator)), evaluator)
    heard: list[Authorization] = []

    judge(ConnectAction(host="a.x.test", port=443), "connect", heard.append)
    judge(ConnectAction(host="git.test", port=22), "capture4", heard.append)

    assert [(one.protocols, one.host_keys, one.chosen) for one in heard] == [
        (("http", "tls"), (), True),
        (("ssh",), ("SHA256:" + "A" * 43,), False),
    ]


@pytest.mark.parametrize("inspection", [None, Inspection()])
async def test_an_address_that_is_opened_for_some_requests_is_not_reached_with_others(
    inspection: Inspection | None,
) -> None:
    rules = "[[network.rule]]\nhosts = ['127.0.0.0/8']\nmethods = ['GET']\npaths = ['/public/**']\n"
    rules += "verdict = 'allow'\n[[network.rule]]\nhosts = ['*']\nverdict = 'allow'\n"
    evaluator = Evaluator(policy(document(rules), base=EMPTY), Context(home="/home/u", workspace="/w"))
    judge = GatewayJudge(cast(Gate, OpenGate(evaluator)), evaluator)
    heard: list[bytes] = []

    async def own(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heard.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with (
        asyncio.timeout(10),
        server(own, secure=False) as port,
        gateway_on("proxy", judge, resolver=Names({"rebound.test": ("127.0.0.1",)}), inspection=inspection) as gateway,
    ):
        answers = []
        for host, line in (
            ("127.0.0.1", "GET {}/public/x"),
            ("127.0.0.1", "POST {}/admin"),
            ("rebound.test", "POST {}/admin"),
            ("rebound.test", "GET {}/public/x"),
            ("127.0.0.1", "GET {}/public/y"),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            line = line.format(f"http://{host}:{port}")
            writer.write(f"{line} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 0\r\n\r\n".encode())
            answers.append((await reader.readuntil(b"\r\n")).split()[1])
            await leave(writer)

    assert answers == [b"200", b"403", b"403", b"403", b"200"]
    assert heard == [b"GET /public/x HTTP/1.1", b"GET /public/y HTTP/1.1"]
