"""What goes to the server and what comes back: the credential only where it is bound, and no other beside it."""

from __future__ import annotations

import gzip
import itertools
import zlib
from base64 import b64encode
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.credentials.carrying import (
    SHOWN,
    STANDING,
    VALUE,
    Carried,
    answered,
    carrying,
    request,
    rule_of,
    sent,
)

from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held
from ringfence.model.event import CredentialUsed

GITHUB = """
[[credentials]]
id = "github"
source = { environment = "GH" }
form = "bearer"
hosts = ["api.test"]
methods = ["GET", "POST"]
paths = ["/repos/acme/**"]
variables = ["GH_TOKEN"]
"""
OTHER = "sk-ant-api03-attackerattackerattackerattackerattacker"


def _bound(form: str, more: str = "", hosts: str = '["api.test"]') -> str:
    return f'[[credentials]]\nid = "key"\nsource = {{ environment = "K" }}\nform = "{form}"\nhosts = {hosts}\n{more}\n'


def _basic(user: str, password: str) -> str:
    return b64encode(f"{user}:{password}".encode()).decode()


def _fields(outcome: RequestHead | Held) -> dict[bytes, bytes]:
    assert isinstance(outcome, RequestHead), outcome
    return {name: value for name, value in outcome.fields if name != b"accept-encoding"}


@pytest.mark.parametrize(
    ("policy", "written", "fields", "query"),
    [
        (GITHUB, f"GET /repos/acme/shop\nAuthorization: Bearer {SHOWN}", {b"authorization": f"Bearer {VALUE}"}, ""),
        (GITHUB, f"GET /repos/acme/shop\nAuthorization: token {SHOWN}", {b"authorization": f"token {VALUE}"}, ""),
        (_bound("npm"), f"GET /left-pad\nAuthorization: Bearer {SHOWN}", {b"authorization": f"Bearer {VALUE}"}, ""),
        (
            _bound("basic", 'user = "me"'),
            f"GET /\nAuthorization: Basic {_basic('x', SHOWN)}",
            {b"authorization": f"Basic {_basic('me', VALUE)}"},
            "",
        ),
        (
            _bound("git"),
            f"GET /acme/shop.git/info/refs?service=git-upload-pack\nAuthorization: Basic {_basic(SHOWN, '')}",
            {b"authorization": f"Basic {_basic('x-access-token', VALUE)}"},
            "?service=git-upload-pack",
        ),
        (
            _bound("pypi"),
            f"POST /legacy/\nAuthorization: Basic {_basic('__token__', SHOWN)}",
            {b"authorization": f"Basic {_basic('__token__', VALUE)}"},
            "",
        ),
        (_bound("header", 'header = "X-Api-Key"'), f"GET /\nx-api-key: {SHOWN}", {b"x-api-key": VALUE}, ""),
        (_bound("query", 'query = "key"'), f"GET /a?key={SHOWN}&b=c", {}, f"?b=c&key={VALUE}"),
        (_bound("bearer", 'attach = "always"'), "GET /", {b"authorization": f"Bearer {VALUE}"}, ""),
        (_bound("query", 'query = "key"\nattach = "always"'), "GET /?b=c", {}, f"?b=c&key={VALUE}"),
        (_bound("bearer"), "GET /", {}, ""),
        (GITHUB, "GET /gists", {}, ""),
    ],
)
def test_a_request_gets_what_it_is_bound_to(policy: str, written: str, fields: dict[bytes, str], query: str) -> None:
    outcome = sent(carrying(policy), request(written))

    assert isinstance(outcome, RequestHead)
    assert (_fields(outcome), outcome.query) == ({name: text.encode() for name, text in fields.items()}, query)


def test_each_use_is_on_record_by_name_and_without_a_value() -> None:
    carried = carrying(GITHUB)

    sent(carried, request(f"GET /repos/acme/shop?q=1\nAuthorization: Bearer {SHOWN}"))

    assert carried.used == [
        CredentialUsed(credential="github", host="api.test", port=443, method="GET", path="/repos/acme/shop")
    ]


FOREIGN = [
    f"GET /repos/acme/x\nAuthorization: Bearer {OTHER}",
    "GET /repos/acme/x\nAuthorization: Bearer x",
    f"GET /repos/acme/x\nAuthorization: bearer  {OTHER}",
    f"GET /repos/acme/x\nAuthorization: Basic {_basic('attacker', 'hunter2')}",
    f"GET /repos/acme/x\nAuthorization: Basic {_basic(SHOWN, 'hunter2')}",
    "GET /repos/acme/x\nAuthorization: Basic !!!",
    "GET /repos/acme/x\nAuthorization: Digest username=a",
    "GET /repos/acme/x\nAuthorization: attackers-own",
    f"GET /repos/acme/x\nAuthorization: Bearer {SHOWN}\nAuthorization: Bearer {OTHER}",
    f"GET /repos/acme/x\nAuthorization: Bearer {SHOWN}\nX-Api-Key: {OTHER}",
    f"GET /repos/acme/x\nX-Api-Key: {OTHER}",
    "GET /repos/acme/x\nx-api-key: short",
    f"GET /repos/acme/x\napi-key: {OTHER}",
    f"GET /repos/acme/x\nx-goog-api-key: {OTHER}",
    f"GET /repos/acme/x\nPRIVATE-TOKEN: {OTHER}",
    f"GET /repos/acme/x\nJOB-TOKEN: {OTHER}",
    f"GET /repos/acme/x\nX-Auth-Token: {OTHER}",
    f"GET /repos/acme/x\nX-Vault-Token: {OTHER}",
    f"GET /repos/acme/x\nDD-API-KEY: {OTHER}",
    f"GET /repos/acme/x\nOcp-Apim-Subscription-Key: {OTHER}",
    "GET /repos/acme/x\nX-Client-Secret: abc",
    "GET /repos/acme/x\nX-Sentry-Key: abc",
    "GET /repos/acme/x\nmyapikey: abc",
    "GET /repos/acme/x;access_token=abc/y",
    "GET /repos/acme/x?sentry_key=abc",
    "GET /repos/acme/x\nX-JFrog-Art-Api: AKIAABCDEFGHIJKLMNOP",
    f"GET /repos/acme/x\nX-Anything: {OTHER}",
    "GET /repos/acme/x\nCookie: session=abc",
    f"GET /repos/acme/x?access_token={OTHER}",
    "GET /repos/acme/x?api_key=abc",
    "GET /repos/acme/x?a=b&apikey=abc",
    "GET /repos/acme/x?a=b;apikey=abc",
    "GET /repos/acme/x?%61pi_key=abc",
    "GET /repos/acme/x?key=AIzaSyA-attackers-own-key",
    "GET /repos/acme/x?private_token=abc",
    "GET /repos/acme/x?X-Amz-Signature=abc&X-Amz-Credential=AKIAX/1/2/3/aws4_request",
    "GET /repos/acme/x?sv=2020&sig=abc",
    f"GET /repos/acme/x?q={OTHER}",
    f"GET /repos/acme/x?{OTHER}",
    f"GET /repos/acme/{OTHER}",
    "POST /services/T0123456789/B0123456789/attackersownwebhookhook",
    "GET /bot123456789:AAattackersownbotattackersownbotatt/sendDocument",
    f"GET /repos/acme/x\nSec-WebSocket-Protocol: realtime, openai-insecure-api-key.{OTHER}",
    "GET /repos/acme/x\nSec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.YXR0YWNrZXI",
    f"GET /repos/acme/x\nSec-Anything: {OTHER}",
    "GET /repos/acme/x;jsessionid=ABCDEF0123456789/y",
    "GET /repos/acme/x?PHPSESSID=abcdef0123456789",
    "GET /(S(lit3py55t21z5v55vlm25s55)F(abc))/repos/acme/x",
    "GET /repos/acme/x\nSec-WebSocket-Protocol: token, 0123456789abcdef",
    "GET /repos/acme/x\nSec-WebSocket-Protocol: chat, bearer\nSec-WebSocket-Protocol: attackers.own.token",
]


@pytest.mark.parametrize("written", FOREIGN)
def test_the_attackers_own_credential_passes_where_none_is_bound_and_never_where_one_is(written: str) -> None:
    elsewhere = carrying(_bound("bearer", hosts='["elsewhere.test"]'), {"key": ("value-elsewhere", "fake-elsewhere")})
    carried = carrying(GITHUB)

    assert rule_of(sent(elsewhere, request(written))) == ""
    assert rule_of(sent(carried, request(written))) == "credentials.foreign"
    assert carried.used == []


@pytest.mark.parametrize("written", FOREIGN)
def test_where_no_credential_may_go_none_goes(written: str) -> None:
    carried = carrying('[[no_credentials]]\nhosts = ["api.test"]\n')

    assert rule_of(sent(carried, request(written))) == "credentials.none"


@pytest.mark.parametrize(
    ("bound", "written", "rule"),
    [
        (_bound("header", 'header = "X-Team"'), "GET /\nX-Team: attackers", "credentials.foreign"),
        (_bound("header", 'header = "X-Team"'), "GET /\nx_team: attackers", "credentials.foreign"),
        (_bound("header", 'header = "X-Team"'), f"GET /\nX-Team: {SHOWN}\nX_Team: attackers", "credentials.foreign"),
        (_bound("header", 'header = "X-Team"'), "GET /?x-team=blue\nX-Teams: blue", ""),
        (_bound("query", 'query = "team"'), "GET /?team=attackers", "credentials.foreign"),
        (_bound("query", 'query = "team"'), "GET /?Te%61m[]=attackers", "credentials.foreign"),
        (_bound("query", 'query = "team"'), f"GET /?team={SHOWN}&team=attackers", "credentials.foreign"),
        (_bound("query", 'query = "key"'), "GET /?key=short", "credentials.foreign"),
        (_bound("query", 'query = "team"'), "GET /?teams=blue\nteam: blue", ""),
    ],
)
def test_where_a_policy_says_that_a_credential_stands_no_other_one_stands(bound: str, written: str, rule: str) -> None:
    assert rule_of(sent(carrying(bound), request(written))) == rule


@pytest.mark.parametrize(
    "written",
    [
        "GET /repos/acme/Query(S)/f(x)/(a)?session_id=1\nMcp-Session-Id: 1",
        "PUT /@acme%2fshop\nnpm-auth-type: web\nnpm-command: publish",
        "GET /repos/acme/x?page=2&per_page=100&page_token=abc&continuationToken=abc&key=color&q=token",
        "GET /repos/acme/x\nIdempotency-Key: 7c1b\nX-CSRF-Token: abc\nX-GitHub-Api-Version: 2022-11-28",
        'GET /repos/acme/token-tools/secret/auth.py\nUser-Agent: git/2.4\nAccept: */*\nIf-None-Match: "abc"',
        "GET /repos/acme/x\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Protocol: chat, v2.realtime",
    ],
)
def test_what_is_no_credential_is_left_alone(written: str) -> None:
    assert rule_of(sent(carrying(GITHUB), request(written))) == ""


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (f"POST /gists\nAuthorization: Bearer {SHOWN}", "credentials.unbound"),
        (f"POST /repos/victim/app/forks\nAuthorization: Bearer {SHOWN}", "credentials.unbound"),
        (f"DELETE /repos/acme/app\nAuthorization: Bearer {SHOWN}", "credentials.unbound"),
        (f"GET /repos/acme/%2e%2e/other\nAuthorization: Bearer {SHOWN}", None),
        (f"GET /repos/acme/..%2fother\nAuthorization: Bearer {SHOWN}", "credentials.unbound"),
        (f"POST /repos/acme/x\nAuthorization: Bearer {SHOWN}\nX-HTTP-Method-Override: DELETE", "credentials.unbound"),
        (f"POST /repos/acme/x?_method=delete\nAuthorization: Bearer {SHOWN}", "credentials.unbound"),
        (f"POST /repos/acme/x\nAuthorization: Bearer {SHOWN}\nX_HTTP_Method_Override: DELETE", "credentials.unbound"),
        (f"GET /repos/acme/x?%5Fmethod=delete\nAuthorization: Bearer {SHOWN}", "credentials.unbound"),
        (f"GET /repos/acme/x?a=b;_method=delete\nAuthorization: Bearer {SHOWN}", "credentials.unbound"),
        (f"GET /repos/acme/x\nAuthorization: Bearer {SHOWN}\nX_Forwarded_Host: evil.test", "credentials.unbound"),
        (f"GET /repos/acme/x\nAuthorization: Bearer {SHOWN}\nX-Original-URL: /gists", "credentials.unbound"),
        (f"GET /repos/acme/x\nAuthorization: Bearer {SHOWN}\nX-Forwarded-Host: evil.test", "credentials.unbound"),
        (f"GET /repos/acme/x\nAuthorization: Basic {_basic('me', SHOWN)}", "credentials.misplaced"),
        (f"GET /repos/acme/x\nX-Token: {SHOWN}", "credentials.misplaced"),
        (f"GET /repos/acme/x?q={SHOWN}", "credentials.misplaced"),
        (f"GET /repos/acme/{SHOWN}", "credentials.misplaced"),
        (f"GET /repos/acme/x\nAuthorization: Bearer {SHOWN}\nX-Api-Key: {SHOWN}", "credentials.misplaced"),
        (f"GET /repos/acme/x\nUser-Agent: a{SHOWN}b", "credentials.misplaced"),
    ],
)
def test_a_placeholder_outside_of_its_binding_goes_nowhere(written: str, rule: str | None) -> None:
    carried = carrying(GITHUB)
    if rule is None:
        with pytest.raises(ValueError, match="segment"):
            request(written)
        return

    outcome = sent(carried, request(written))

    assert rule_of(outcome) == rule
    assert carried.used == []
    assert VALUE not in str(msgspec.json.encode(outcome.decision)) if isinstance(outcome, Held) else False


def test_a_placeholder_goes_to_no_other_host_and_not_in_the_clear() -> None:
    shown = f"GET /repos/acme/x\nAuthorization: Bearer {SHOWN}"

    assert rule_of(sent(carrying(GITHUB), request(shown, host="evil.test"))) == "credentials.unbound"
    assert rule_of(sent(carrying(GITHUB), request(shown, port=8443))) == "credentials.unbound"
    assert rule_of(sent(carrying(GITHUB), request(shown, secure=False))) == "credentials.clear"


def test_two_credentials_of_a_host_are_told_apart_by_their_placeholders() -> None:
    policy = _bound("bearer", 'attach = "always"') + _bound("bearer", 'attach = "always"').replace('"key"', '"two"')
    carried = carrying(policy, {"key": ("value-of-one", "fake-of-one"), "two": ("value-of-two", "fake-of-two")})

    assert rule_of(sent(carried, request("GET /"))) == "credentials.ambiguous"
    shown = sent(carried, request("GET /\nAuthorization: Bearer fake-of-two"))
    assert _fields(shown) == {b"authorization": b"Bearer value-of-two"}


@pytest.mark.parametrize(
    ("kind", "body", "rule"),
    [
        ("application/x-www-form-urlencoded", b"a=b&private_token=abc", "credentials.foreign"),
        ("application/x-www-form-urlencoded; charset=utf-8", b"client%5Fsecret=abc", "credentials.foreign"),
        ("application/x-www-form-urlencoded", b"a=b&title=secret+santa", ""),
        ("application/json", b'{"access_token": "abc"}', "credentials.foreign"),
        ("application/vnd.api+json", b'{"client_secret": "abc"}', "credentials.foreign"),
        ("application/json", b'{"title": "token", "config": {"secret": "s"}}', ""),
        ("application/json", b'{"a": ', "credentials.foreign"),
        ("application/json", b'[1, [{"api_key": "abc"}]]', "credentials.foreign"),
        ("application/json", b'\xef\xbb\xbf{"api_key": "abc"}', "credentials.foreign"),
        ("application/json", b'{"api_key": "abc", "api_key": ""}', "credentials.foreign"),
        ("application/json", '{"api_key": "abc"}'.encode("utf-16"), "credentials.foreign"),
        ("application/json; charset=utf-7", b'{"api+AF8-key": "abc"}', "credentials.foreign"),
        ("application/json", b'{"p": "' + b"a" * 2_000_000 + b'", "api_key": "abc"}', "credentials.foreign"),
        ("application/json", b'{"p": "' + b"a" * 2_000_000 + b'"}', ""),
        ("application/json", b'{"p": "' + b"a" * 17_000_000 + b'"}', "credentials.foreign"),
        ("application/json", b'[{"title": "a"}, 1, null]', ""),
        ("application/json", b"[" + b"{}," * 600_000 + b"1]", "credentials.foreign"),
        ("application/x-ndjson", b"1\n" * 1_000_001, "credentials.foreign"),
        ("application/json", b"", ""),
        ("application/x-ndjson", b'{"index": {}}\n{"title": "a"}\n', ""),
        ("application/x-ndjson", b'{"index": {}}\n{"api_key": "abc"}\n', "credentials.foreign"),
        ("text/plain", b"access_token=abc", "credentials.foreign"),
        ("text/plain", b'{"api_key": "abc"}', "credentials.foreign"),
        ("application/octet-stream", b' [{"api_key": "abc"}]', "credentials.foreign"),
        ("application/json, text/plain", b'{"api_key": "abc"}', "credentials.foreign"),
        ("application/json x", b'{"api_key": "abc"}', "credentials.foreign"),
        ("text/plain", b"{'api_key': 'abc',}", "credentials.foreign"),
        ("text/plain", b'{"a": 1}\n{"api_key": "abc"}', "credentials.foreign"),
        ("text/plain", b'{"p": "' + b"a" * 2_000_000 + b'"}', "credentials.foreign"),
        ("application/xml", b"<r><api_key>abc</api_key></r>", "credentials.foreign"),
        ("text/plain", b"<x:r><x:login x:api-key='abc'/></x:r>", "credentials.foreign"),
        ("application/xml", b"<r><title>api_key</title><page_token>abc</page_token></r>", ""),
        ("text/plain", b"access_token=abc is how it is written\nin prose", ""),
        ("text/plain", b'{"title": "api_key"}', ""),
        ("text/plain", b"[section]\nname = 1", ""),
        ("application/octet-stream", b"\0" * 2_000_000, ""),
        ("application/x-www-form-urlencoded, x", b"a=%20&access_token=abc", "credentials.foreign"),
        ("application/x-www-form-urlencoded x", b"a= &access_token=abc", "credentials.foreign"),
        ("application/x-www-form-urlencoded", b'{"api_key": "abc"}', "credentials.foreign"),
        ("application/x-www-form-urlencoded", b"<r><api_key>abc</api_key></r>", "credentials.foreign"),
        ("application/x-www-form-urlencoded", b'{"title": "a"}', ""),
        ("application/octet-stream", b"access_token=abc", "credentials.foreign"),
        ("image/png", b"a=b&access_token=abc\n", "credentials.foreign"),
        ("text/event-stream", b'{"api_key": "abc"}', "credentials.foreign"),
        ("application/x-www-form-urlencoded", b"a=" + b"b" * 2_000_000, "credentials.foreign"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_a_credential_in_a_form_is_found(kind: str, body: bytes, rule: str) -> None:
    written = f"POST /repos/acme/x\nContent-Type: {kind}\nContent-Length: {len(body)}"

    assert rule_of(sent(carrying(GITHUB), request(written), body)) == rule


@pytest.mark.parametrize("size", [1, 3, 4096])
@pytest.mark.parametrize(
    ("kind", "body", "goes"),
    [
        ("application/grpc", b"\0\0\0\0\x05hello", True),
        ("application/grpc+proto", b"\1\0\0\0\x05hello", True),
        ("application/grpc", b"", True),
        ("application/grpc", b"\0", True),
        ("application/grpc", b'{"api_key": "abc"}', False),
        ("application/grpc-web-text", b"access_token=abc", False),
        ("application/connect+proto", b"<r><api_key>abc</api_key></r>", False),
        ("application/x-git-upload-pack-request", b"0014command=ls-refs\n0000", True),
        ("application/x-git-receive-pack-request", b"0000PACK", True),
        ("application/x-git-receive-pack-request", b'{"api_key": "abc"}', False),
        ("application/x-git-x", b"access_token=abc", False),
        ("application/x-git-x", b"00ff=1&access_token=abc", False),
    ],
)
def test_what_says_that_it_is_a_stream_begins_as_one(kind: str, body: bytes, goes: bool, size: int) -> None:
    steps = carrying(GITHUB).wallet(request(f"POST /repos/acme/x\nContent-Type: {kind}\nContent-Length: 99"))
    assert steps is not None

    passed = [steps.sent(body[at : at + size]) for at in range(0, len(body), size)]

    assert any(isinstance(piece, Held) for piece in passed) is not goes
    if goes:
        assert b"".join(piece for piece in (*passed, steps.all_sent()) if isinstance(piece, bytes)) == body


def test_a_form_in_parts_that_is_packed_does_not_go() -> None:
    fields = "Content-Type: multipart/form-data; boundary=b\nContent-Length: 9"

    packed = request(f"POST /repos/acme/x\n{fields}\nContent-Encoding: gzip")
    plain = request(f"POST /repos/acme/x\n{fields}\nContent-Encoding: identity")

    assert [rule_of(sent(carrying(GITHUB), one)) for one in (packed, plain)] == ["credentials.foreign", ""]


@pytest.mark.parametrize(
    ("coding", "body", "rule"),
    [
        ("gzip", gzip.compress(b'{"api_key": "abc"}', mtime=0), "credentials.foreign"),
        ("gzip", gzip.compress(b"a text", mtime=0), ""),
        ("gzip", b"not packed", "credentials.foreign"),
        ("br", b"\x0b\x80", "credentials.foreign"),
    ],
)
def test_a_packed_body_under_another_type_goes_only_where_it_can_be_read(coding: str, body: bytes, rule: str) -> None:
    fields = f"Content-Type: text/plain\nContent-Encoding: {coding}\nContent-Length: {len(body)}"

    assert rule_of(sent(carrying(GITHUB), request(f"POST /repos/acme/x\n{fields}"), body)) == rule


@pytest.mark.parametrize(
    ("coding", "body", "rule"),
    [
        ("gzip", gzip.compress(b'{"api_key": "abc"}', mtime=0), "credentials.foreign"),
        ("gzip", gzip.compress(b'{"title": "a"}', mtime=0), ""),
        ("gzip", gzip.compress(b'{"title": "' + b"a" * 17_000_000, mtime=0), "credentials.foreign"),
        ("br", b"\x0b\x80", "credentials.foreign"),
        ("identity", b'{"title": "a"}', ""),
    ],
    ids=["login", "gzip", "bomb", "br", "identity"],
)
def test_a_credential_in_a_packed_json_is_found(coding: str, body: bytes, rule: str) -> None:
    fields = f"Content-Type: application/json\nContent-Encoding: {coding}\nContent-Length: {len(body)}"

    assert rule_of(sent(carrying(GITHUB), request(f"POST /repos/acme/x\n{fields}"), body)) == rule


@pytest.mark.parametrize(
    ("message", "text", "goes"),
    [
        (b'[{"api_key": "abc"}]', True, False),
        (b'\xef\xbb\xbf{"api_key": "abc"}', True, False),
        (b'{"api_key": "abc", "api_key": ""}', True, False),
        (b'{"api_key": "abc"}', False, False),
        ('{"api_key": "abc"}'.encode("utf-16-le"), False, False),
        (b'{"p": "' + b"a" * 2_000_000 + b'", "api_key": "abc"}', True, False),
        (b'{"type": "connection_init", "payload": {"Authorization": "Bearer abc"}}', True, False),
        (b'{"type": "connection_init", "payload": {"headers": [{"x-admin-secret": "abc"}]}}', True, False),
        (b'{"type": "subscribe", "payload": {"extensions": {"auth": {"api_token": "abc"}}}}', True, False),
        (b'{"type": "connection_init", "payload": {"locale": "en", "page_token": "abc"}}', True, True),
        (b'{"type": "subscribe", "payload": {"variables": {"secret": "abc"}}}', True, True),
        (b'42["event", {"a": 1}]', True, True),
        (b"ping", True, True),
        (b"", True, True),
        (b"{\x80\xff", False, True),
    ],
    ids=range(15),
)
def test_a_message_logs_in_with_no_other_credential(message: bytes, text: bool, goes: bool) -> None:
    steps = carrying(GITHUB).wallet(request("GET /repos/acme/x"))
    assert steps is not None

    assert (steps.message_sent(message, text=text) == message) == goes


def _in_pieces(carried: Carried, body: bytes, size: int, *, kind: str = "form-data") -> list[bytes | Held]:
    steps = carried.wallet(
        request(f"POST /repos/acme/x\nContent-Type: multipart/{kind}; boundary=b\nContent-Length: 9")
    )
    assert steps is not None
    return [steps.sent(body[at : at + size]) for at in range(0, len(body), size)]


@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_a_credential_in_a_form_of_parts_is_stopped_before_its_value(size: int) -> None:
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="token"\r\n\r\n' + b"x" * 2000
    login = b'\r\n--b\r\nContent-Disposition: form-data; name="token"\r\n\r\n'

    harmless = _in_pieces(carrying(GITHUB), start + b"\r\n--b--", size)
    stopped = _in_pieces(carrying(GITHUB), start + login + b"attackers-own\r\n--b--", size)

    assert b"".join(piece for piece in harmless if isinstance(piece, bytes)) == start + b"\r\n--b--"
    sent_before = b"".join(itertools.takewhile(lambda piece: isinstance(piece, bytes), stopped))  # type: ignore[arg-type]
    assert any(isinstance(piece, Held) for piece in stopped)
    assert b"attackers-own" not in sent_before


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("form-data", b'Content-Disposition: form-data;\r\n name="api_key"'),
        ("form-data", b'Content-Disposition: form-data; filename="name"; name="api%5Fkey"'),
        ("form-data", b"Content-Disposition: form-data; name*=utf-8''api_key"),
        ("form-data", b'content-disposition:form-data;name = "api_key"'),
        ("form-data", b'Content-Disposition: form-data; name="X-Amz-Credential"'),
        ("form-data", b'Content-Disposition: form-data; name="GoogleAccessId"'),
        ("mixed", b"Content-Type: application/http\r\n\r\nGET /x HTTP/1.1\r\nAuthorization: Bearer abc"),
        ("batch", b"Content-Type: application/http\n\nGET /x HTTP/1.1\nX-Goog-Api-Key: abc"),
    ],
)
@pytest.mark.parametrize("size", [1, 50, 4096])
def test_a_credential_in_a_part_is_found_however_the_part_is_written(kind: str, part: bytes, size: int) -> None:
    pieces = _in_pieces(carrying(GITHUB), b"--b\r\n" + part + b"\r\n\r\nabc\r\n--b--", size, kind=kind)

    assert any(isinstance(piece, Held) for piece in pieces)


def test_a_file_that_speaks_of_credentials_may_be_uploaded() -> None:
    part = b'Content-Disposition: form-data; name="file"; filename="README"\r\n\r\nsay\nAuthorization: Bearer TOKEN\n'

    pieces = _in_pieces(carrying(GITHUB), b"--b\r\n" + part + b"\r\n--b--", 4096)

    assert not any(isinstance(piece, Held) for piece in pieces)


@pytest.mark.parametrize(("methods", "rule"), [("GET", "credentials.unbound"), ("GET POST", ""), ("", "")])
def test_a_credential_for_reading_goes_with_no_websocket(methods: str, rule: str) -> None:
    bound = _bound("bearer", f"methods = {methods.split()}" if methods else "")
    upgrade = "Connection: Upgrade\nUpgrade: WebSocket"

    assert rule_of(sent(carrying(bound), request(f"GET /ws\nAuthorization: Bearer {SHOWN}\n{upgrade}"))) == rule


def test_answers_are_asked_for_in_a_form_that_can_be_read() -> None:
    outcome = sent(carrying(GITHUB), request("GET /repos/acme/x\nAccept-Encoding: br, gzip"))

    assert isinstance(outcome, RequestHead)
    assert outcome.fields == ((b"accept-encoding", b"identity"),)


def _body(parts: list[bytes | Held]) -> bytes:
    assert all(isinstance(part, bytes) for part in parts), parts
    return b"".join(part for part in parts if isinstance(part, bytes))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.integers(0, 200), max_size=8), st.sampled_from([b"", b"ghp_", b"ghp_Real", b"x" * 50]))
def test_a_value_that_comes_back_is_taken_out_wherever_the_answer_is_cut(cuts: list[int], between: bytes) -> None:
    whole = b'{"a": "' + VALUE.encode() + b'"' + between + VALUE.encode() + between
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    pieces = [whole[one:other] for one, other in pairwise(places)]
    carried = carrying(GITHUB)

    _, parts = answered(carried, {}, *pieces)

    assert _body(parts) == whole.replace(VALUE.encode(), SHOWN.encode())
    assert {one.reasons[0].rule for one in carried.refused} == {"credentials.echo"}


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=12))
def test_every_other_answer_comes_as_it_is(pieces: list[bytes]) -> None:
    _, parts = answered(carrying(GITHUB), {}, *pieces)

    assert _body(parts) == b"".join(pieces)


@pytest.mark.slow
@settings(deadline=None)
@given(st.binary(max_size=5), st.binary(max_size=5))
def test_a_value_in_base64_is_taken_out_whatever_stands_around_it(before: bytes, behind: bytes) -> None:
    _, parts = answered(carrying(GITHUB), {}, b64encode(before + VALUE.encode() + behind))

    assert b"*" * 40 in _body(parts)


@pytest.mark.parametrize("spelt", [VALUE.encode().hex(), VALUE.encode().hex().upper(), VALUE])
def test_other_spellings_are_taken_out_of_heads_too(spelt: str) -> None:
    head, _ = answered(carrying(GITHUB), {"Location": f"https://x.test/?t={spelt}", "Set-Cookie": "s=1", "Via": "a"})

    assert isinstance(head, ResponseHead)
    assert [name for name, _ in head.fields] == [b"location", b"via"]
    assert spelt.encode() not in head.fields[0][1]


def test_a_packed_answer_is_looked_into_and_stopped_where_it_repeats_a_value() -> None:
    harmless, telling = b"{}" * 5000, b"{}" * 5000 + VALUE.encode()

    for coding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        packed = pack(harmless)
        _, parts = answered(carrying(GITHUB), {"Content-Encoding": coding}, packed[:20], packed[20:])
        assert _body(parts) == packed
        _, parts = answered(carrying(GITHUB), {"Content-Encoding": coding}, pack(telling))
        assert isinstance(parts[0], Held)
    _, parts = answered(carrying(GITHUB), {"Content-Encoding": "br"}, b"...")
    assert isinstance(parts[0], Held)
    _, parts = answered(carrying(GITHUB), {"Content-Encoding": "gzip"}, b"not packed at all")
    assert isinstance(parts[0], Held)


def test_messages_of_a_websocket_are_held_to_the_same() -> None:
    steps = carrying(GITHUB).wallet(request("GET /repos/acme/x"))
    assert steps is not None

    assert isinstance(steps.message_sent(b'{"type": "auth", "access_token": "abc"}', text=True), Held)
    assert steps.message_sent(b'{"type": "hello"}', text=True) == b'{"type": "hello"}'
    assert steps.message_received(b"you said " + VALUE.encode(), text=True) == b"you said " + SHOWN.encode()


def test_a_request_to_aws_is_signed_again_and_an_attackers_signature_is_refused() -> None:
    policy = _bound("aws-sigv4", hosts='["*.amazonaws.com"]')
    carried = carrying(policy)

    def signed(key: str, token: str) -> Carried:
        scope = f"Credential={key}/20150830/us-east-1/sts/aws4_request"
        names = "SignedHeaders=host;x-amz-date;x-amz-security-token"
        written = (
            f"POST /\nX-Amz-Date: 20150830T123600Z\nX-Amz-Security-Token: {token}\n"
            f"Content-Type: application/x-www-form-urlencoded\nContent-Length: 9\n"
            f"Authorization: AWS4-HMAC-SHA256 {scope}, {names}, Signature={'0' * 64}"
        )
        nonlocal outcome
        outcome = sent(carried, request(written, host="sts.amazonaws.com"), b"Action=Go")
        return carried

    outcome: RequestHead | Held | None = None
    signed(STANDING.key, "fake-session-token")
    assert isinstance(outcome, RequestHead)
    text = str(outcome.fields)
    assert ("AKIAREAL000000000000/20150830" in text, "fake" in text.lower()) == (True, False)
    assert [one.credential for one in carried.used] == ["key"]
    signed("AKIAATTACKER00000000", "fake-session-token")
    assert outcome is not None and rule_of(outcome) == "credentials.foreign"
    signed(STANDING.key, "attackers-token")
    assert outcome is not None and rule_of(outcome) == "credentials.foreign"
