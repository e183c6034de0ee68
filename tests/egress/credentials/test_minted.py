"""Tokens of a container registry come inside as placeholders and go back to its hosts as what they are."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from tests.egress.credentials.carrying import SHOWN, VALUE, Carried, carrying, request, rule_of, sent

from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held

HUB = """
[[credentials]]
id = "hub"
source = { environment = "HUB" }
form = "docker"
user = "me"
hosts = ["auth.hub.test", "registry.hub.test"]
owners = ["acme"]
"""
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhY2Nlc3MiOiJwdXNoIn0.c2lnbmF0dXJlc2lnbmF0dXJl"
BASIC = b64encode(f"me:{SHOWN}".encode()).decode()
LOGIN = f"GET /token?service=hub&scope=repository:acme/app:push\nAuthorization: Basic {BASIC}"
ANONYMOUS = "GET /token?service=hub&scope=repository:library/python:pull"


def _asked(carried: Carried, written: str, body: bytes, *, host: str = "auth.hub.test") -> bytes | Held:
    of = request(written, host=host)
    steps = carried.wallet(of)
    assert steps is not None
    outcome = steps.request(of.head)
    assert isinstance(outcome, RequestHead), outcome
    steps.response(ResponseHead(status=200, fields=((b"content-type", b"application/json"),)))
    passed = [steps.received(body[:7]), steps.received(body[7:]), steps.all_received()]
    if isinstance(passed[-1], Held):
        return passed[-1]
    return b"".join(piece for piece in passed if isinstance(piece, bytes))


def _token(answer: bytes | Held) -> str:
    assert isinstance(answer, bytes)
    found = json.loads(answer)["token"]
    assert isinstance(found, str)
    return found


def test_a_token_is_swapped_in_the_answer_and_back_in_the_next_request() -> None:
    carried = carrying(HUB)
    body = json.dumps({"token": TOKEN, "access_token": TOKEN, "expires_in": 300}).encode()

    answer = _asked(carried, LOGIN, body)
    shown = _token(answer)
    push = sent(
        carried, request(f"PUT /v2/acme/app/manifests/1\nAuthorization: Bearer {shown}", host="registry.hub.test")
    )

    assert isinstance(answer, bytes)
    assert (len(answer), TOKEN.encode() in answer, VALUE.encode() in answer) == (len(body), False, False)
    assert isinstance(push, RequestHead)
    assert (b"authorization", f"Bearer {TOKEN}".encode()) in push.fields
    assert [one.path for one in carried.used] == ["/token", "/v2/acme/app/manifests/1"]


@pytest.mark.parametrize(
    ("written", "host", "rule"),
    [
        ("PUT /v2/attacker/app/manifests/1\nAuthorization: Bearer {shown}", "registry.hub.test", "credentials.unbound"),
        ("GET /v2/acme/app/tags/list\nAuthorization: Bearer {shown}", "evil.test", "credentials.unbound"),
        ("GET /v2/acme/app/tags/list\nAuthorization: Bearer {token}", "registry.hub.test", "credentials.foreign"),
        ("PUT /v2/acme/app/manifests/1\nAuthorization: Bearer attackers", "registry.hub.test", "credentials.foreign"),
    ],
)
def test_a_token_is_held_to_the_hosts_and_accounts_of_its_credential(written: str, host: str, rule: str) -> None:
    carried = carrying(HUB)
    shown = _token(_asked(carried, LOGIN, json.dumps({"token": TOKEN}).encode()))

    outcome = sent(carried, request(written.format(shown=shown, token=TOKEN), host=host))

    assert rule_of(outcome) == rule


def test_what_everybody_gets_is_held_to_the_hosts_alone() -> None:
    carried = carrying(HUB)
    shown = _token(_asked(carried, ANONYMOUS, json.dumps({"token": TOKEN}).encode()))

    pull = sent(
        carried, request(f"GET /v2/library/python/tags/list\nAuthorization: Bearer {shown}", host="registry.hub.test")
    )

    assert isinstance(pull, RequestHead)
    assert (b"authorization", f"Bearer {TOKEN}".encode()) in pull.fields
    assert carried.used == []


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"not json", b'{"token": ""}', b'{"errors": [{"code": "DENIED"}]}'])
def test_other_answers_come_as_they_are(body: bytes) -> None:
    assert _asked(carrying(HUB), LOGIN, body) == body


def test_a_long_answer_comes_as_it_is_and_a_token_that_cannot_be_replaced_does_not_come() -> None:
    long = json.dumps({"tags": ["x" * 100] * 5000}).encode()

    assert _asked(carrying(HUB), LOGIN, long) == long
    assert isinstance(_asked(carrying(HUB), LOGIN, b'{"token": "a\\u0062cdefghijklmnopqrst"}'), Held)
    assert isinstance(_asked(carrying(HUB), LOGIN, b'{"token": "short"}'), Held)
