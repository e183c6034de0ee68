"""Tokens of a container registry come inside as placeholders and go back to its hosts as what they are."""

from __future__ import annotations

import gzip
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


def test_a_token_does_not_come_inside_in_an_answer_that_is_packed() -> None:
    def packed(content: bytes) -> list[bytes | Held]:
        steps = carrying(HUB).wallet(request(LOGIN, host="auth.hub.test"))
        assert steps is not None
        kinds = ((b"content-type", b"application/json"), (b"content-encoding", b"gzip"))
        steps.request(request(LOGIN, host="auth.hub.test").head)
        steps.response(ResponseHead(status=200, fields=kinds))
        body = gzip.compress(content, mtime=0)
        return [steps.received(body[:20]), steps.received(body[20:]), steps.all_received()]

    token = packed(json.dumps({"token": TOKEN}).encode())
    harmless = packed(b'{"state": "fine"}')

    assert [isinstance(one, Held) for one in token] == [False, False, True]
    assert token[:2] == [b"", b""]
    assert harmless == [b"", b"", gzip.compress(b'{"state": "fine"}', mtime=0)]


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


def test_a_server_that_repeats_a_token_does_not_hand_it_inside() -> None:
    carried = carrying(HUB)
    shown = _token(_asked(carried, LOGIN, json.dumps({"token": TOKEN}).encode()))
    push = f"PUT /v2/acme/app/manifests/1\nAuthorization: Bearer {shown}"

    def repeated(answer: bytes, coding: bytes = b"") -> list[bytes | Held]:
        of = request(push, host="registry.hub.test")
        steps = carried.wallet(of)
        assert steps is not None
        steps.request(of.head)
        saw = ((b"x-saw", TOKEN.encode()), (b"content-encoding", coding))
        head = steps.response(ResponseHead(status=401, fields=saw))
        assert isinstance(head, ResponseHead)
        return [
            head.field(b"x-saw") or b"",
            steps.received(answer[:30]),
            steps.received(answer[30:]),
            steps.all_received(),
        ]

    head, *plain = repeated(b"you said " + TOKEN.encode())
    packed = repeated(gzip.compress(TOKEN.encode() * 9, mtime=0), b"gzip")

    assert head == shown.encode()
    assert b"".join(one for one in plain if isinstance(one, bytes)) == b"you said " + shown.encode()
    assert any(isinstance(one, Held) for one in packed)
    assert {one.reasons[0].rule for one in carried.refused} == {"credentials.echo"}


def test_a_token_that_is_given_again_is_the_same_one() -> None:
    carried = carrying(HUB)
    body = json.dumps({"token": TOKEN}).encode()
    shown = _token(_asked(carried, LOGIN, body))

    again = _asked(carried, f"GET /token?scope=repository:acme/app:pull\nAuthorization: Bearer {shown}", body)

    assert _token(again) == shown
    assert [one.secret.reveal() for one in carried.wallet.minted.credentials()] == [TOKEN]


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


CLOUD = """
[[credentials]]
id = "cloud"
source = { environment = "AWS" }
form = "aws-sigv4"
hosts = ["*.amazonaws.com"]
"""
ROLE = ("ASIAROLEROLEROLEROLE", "role/secret+role/secret+role/secret+rol0", "token/of/the/role/token/of/the/role==")
XML = (
    "<AssumeRoleResult><Credentials><AccessKeyId>{0}</AccessKeyId><SecretAccessKey>{1}</SecretAccessKey>"
    "<SessionToken>{2}</SessionToken></Credentials></AssumeRoleResult>"
)
JSON = '{{"Credentials": {{"AccessKeyId": "{0}", "SecretAccessKey":"{1}", "SessionToken" : "{2}"}}}}'


def _answer_of_aws(carried: Carried, body: str, kind: str) -> str:
    of = request("GET /", host="sts.amazonaws.com")
    steps = carried.wallet(of)
    assert steps is not None
    steps.response(ResponseHead(status=200, fields=((b"content-type", kind.encode()),)))
    passed = [steps.received(body.encode()), steps.all_received()]
    return b"".join(piece for piece in passed if isinstance(piece, bytes)).decode()


@pytest.mark.parametrize(("form", "kind"), [(XML, "text/xml"), (JSON, "application/x-amz-json-1.1")])
def test_the_keys_of_a_role_come_as_placeholders_that_sign(form: str, kind: str) -> None:
    carried = carrying(CLOUD)

    answer = _answer_of_aws(carried, form.format(*ROLE), kind)
    again = _answer_of_aws(carried, form.format(*ROLE), kind)

    made = carried.wallet.minted.credentials()
    assert len(made) == 1
    standing = made[0].standing
    assert standing is not None and standing.session is not None
    shown = (standing.key, standing.secret.reveal(), standing.session.reveal())
    assert (answer, again, len(answer)) == (form.format(*shown), form.format(*shown), len(form.format(*ROLE)))
    signed = request(
        "GET /\nX-Amz-Date: 20150830T123600Z\n"
        f"X-Amz-Security-Token: {shown[2]}\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={shown[0]}/20150830/us-east-1/s3/aws4_request,"
        f" SignedHeaders=host;x-amz-date, Signature={'0' * 64}",
        host="s3.amazonaws.com",
    )
    outcome = sent(carried, signed)
    assert isinstance(outcome, RequestHead)
    assert (b"x-amz-security-token", ROLE[2].encode()) in outcome.fields
    assert ROLE[0] in str(outcome.fields)


@pytest.mark.parametrize(
    ("answer", "hidden"),
    [
        (f'{{"SecretAccessKey": "{ROLE[1]}"}}', ROLE[1]),
        (f'{{"SecretKey": "{ROLE[1]}", "SessionToken": "{ROLE[2]}"}}', ROLE[2]),
        ('{"authorizationData": [{"authorizationToken": "QVdTOnBhc3N3b3JkcGFzc3dvcmQ="}]}', "QVdTOnBhc3N3"),
    ],
)
def test_what_cannot_be_used_here_does_not_come_either(answer: str, hidden: str) -> None:
    carried = carrying(CLOUD)

    passed = _answer_of_aws(carried, answer, "application/x-amz-json-1.1")

    assert [one.reasons[0].rule for one in carried.refused] == ["credentials.echo"]
    assert (len(passed), hidden in passed, passed.count("*") >= len(hidden)) == (len(answer), False, True)


def test_a_presigned_url_is_told_by_the_key_that_it_names() -> None:
    carried = carrying(CLOUD)
    _answer_of_aws(carried, XML.format(*ROLE), "text/xml")
    standing = carried.wallet.minted.credentials()[0].standing
    assert standing is not None and standing.session is not None

    def url(key: str) -> str:
        return (
            f"GET /a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={key}%2F20150830%2Fus-east-1%2Fs3%2Faws4_request"
            f"&X-Amz-Date=20150830T123600Z&X-Amz-SignedHeaders=host&X-Amz-Signature={'0' * 64}"
        )

    assert rule_of(sent(carried, request(url(standing.key), host="b.s3.amazonaws.com"))) == ""
    assert rule_of(sent(carried, request(url(ROLE[0]), host="b.s3.amazonaws.com"))) == "credentials.foreign"
    stray = request("GET /a?X-Amz-Signature=abc", host="b.s3.amazonaws.com")
    assert rule_of(sent(carried, stray)) == "credentials.foreign"
