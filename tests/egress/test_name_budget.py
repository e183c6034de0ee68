"""How many names, and of which look, may be asked for: what people's tools ask passes, what carries data ends."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.egress.gatewaying import LOOPBACK, Names, answer, gateway_on

from ringfence.egress import Authorization, Cancel
from ringfence.egress.limits import Limits
from ringfence.egress.name_budget import NameBudget, NameLimits, encoded_characters, registered_domain
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision

FEW = NameLimits(names=6, names_of_domain=4, encoded_of_domain=2, chosen=60, labels=4)
USUAL = (
    "registry-1.docker.io",
    "d111111abcdef8.cloudfront.net",
    "my-team-artifacts-eu-west-1.s3.dualstack.eu-west-1.amazonaws.com",
    "123e4567-e89b-12d3-a456-426614174000.example.com",
    "release-assets.githubusercontent.com",
    "internationalization-service-endpoint-production.example.com",
    "ip-10-0-3-44.eu-west-1.compute.internal.example.com",
    "productionresultssa11.blob.core.windows.net",
    "generativelanguage.googleapis.com",
    "1234567890.dkr.ecr.us-east-1.amazonaws.com",
)


def secret(count: int) -> bytes:
    return hashlib.sha256(str(count).encode()).digest()


@pytest.mark.parametrize("name", USUAL)
def test_what_people_ask_for_is_no_data(name: str) -> None:
    assert encoded_characters(name) < 24
    assert NameBudget(Limits().looked_up).spend(name) == ""


@pytest.mark.parametrize("encode", [bytes.hex, lambda data: base64.b32encode(data).decode().lower().rstrip("=")])
def test_a_secret_in_pieces_ends_after_a_few_of_them(encode: object) -> None:
    assert callable(encode)
    budget = NameBudget(Limits().looked_up)

    spent = [budget.spend(f"{encode(secret(count))[:60]}.evil.example") for count in range(50)]

    assert [not problem for problem in spent].count(True) == Limits().looked_up.encoded_of_domain


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".".join(["a" * 15] * 4) + ".x.test", "it has 63 characters before `x.test`; the limit is 60"),
        ("a.b.c.d.e.x.test", "it has 5 labels before `x.test`; the limit is 4"),
    ],
)
def test_a_long_name_is_not_asked_for(name: str, words: str) -> None:
    assert NameBudget(FEW).spend(name) == words


def test_a_domain_and_a_session_have_so_many_names_and_the_same_one_costs_once() -> None:
    budget = NameBudget(FEW)

    spent = [budget.spend(f"{name}.x.test") for name in ("a", "a", "b", "c", "d", "e")]
    others = [budget.spend(f"{name}.y.test") for name in ("a", "b", "c")]

    assert spent == ["", "", "", "", "", "this session has asked for 4 names below `x.test`, which is the limit"]
    assert others == ["", "", "this session has asked for 6 names, which is the limit"]
    assert budget.spend("a.x.test") == ""


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("a.b.example.com", "example.com"),
        ("a.example.co.uk", "example.co.uk"),
        ("co.uk", "co.uk"),
        ("localhost", "localhost"),
        ("x.github.io", "github.io"),
    ],
)
def test_the_registered_domain_is_the_one_that_somebody_owns(name: str, domain: str) -> None:
    assert registered_domain(name) == domain


@pytest.mark.slow
@given(st.from_regex(r"([a-z0-9_-]{1,20}\.){0,6}[a-z]{2,10}", fullmatch=True))
def test_every_name_is_judged_the_same_way_twice(name: str) -> None:
    budget = NameBudget(FEW)

    first = budget.spend(name)

    assert bool(budget.spend(name)) is bool(first)


async def test_a_name_that_only_a_pattern_allows_is_looked_up_within_the_budget() -> None:
    def authorize(action: ConnectAction, origin: str, done: object) -> Cancel:
        assert callable(done)
        decided: Authorization = answer(action, declared=LOOPBACK, chosen=action.host.endswith(".x.test"))
        done(decided)
        return lambda: None

    refused: list[Decision] = []
    names = Names({})
    async with gateway_on(
        "proxy", authorize, resolver=names, on_refused=refused.append, limits=Limits(looked_up=FEW)
    ) as running:
        statuses = [await _connect(running.port, f"{one}.x.test") for one in "abcdef"]
        spelled = [await _connect(running.port, f"{one}.y.test") for one in "abcdef"]

    assert statuses == [502, 502, 502, 502, 403, 403]
    assert spelled == [502] * 6
    assert names.asked == [*(f"{one}.x.test" for one in "abcd"), *(f"{one}.y.test" for one in "abcdef")]
    assert [(one.action, one.reasons[0].rule) for one in refused] == [
        (ConnectAction(host=f"{one}.x.test", port=443), "dns.budget") for one in "ef"
    ]


async def _connect(port: int, name: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n".encode())
    line = await reader.readline()
    await reader.read()
    writer.close()
    return int(line.split(b" ")[1])
