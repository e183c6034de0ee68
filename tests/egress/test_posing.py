"""Words by which a server takes a request for another one than was judged."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress.http_fields import _said_again, said
from ringfence.egress.http_head import RequestHead, parse_head
from ringfence.egress.posing import LongForm, may_pose_in_form, posing, posing_in_form
from ringfence.model.host import HOST_LOOPBACK, Destination, parse_host

HERE = Destination(host=parse_host("a.test"), port=443)
FORM = "Content-Type: application/x-www-form-urlencoded; charset=utf-8"


def _head(line: str, *fields: str) -> RequestHead:
    return parse_head("\r\n".join((f"{line} HTTP/1.1", "Host: a.test", *fields, "", "")).encode(), default_port=443)


def _rule(line: str, *fields: str, to: Destination = HERE) -> str:
    head = _head(line, *fields)
    found = posing(head, said(head.fields).words, to)
    return "" if found is None else found.rule


@pytest.mark.parametrize(
    ("line", "fields", "rule"),
    [
        ("POST /x", ["X-HTTP-Method-Override: DELETE"], "http.method"),
        ("POST /x", ["X_HTTP_Method_Override: delete"], "http.method"),
        ("POST /x", ["X-HTTP-Method: POST", "X-HTTP-Method: PUT"], "http.method"),
        ("POST /x?_method=DELETE", [], "http.method"),
        ("POST /x?a=b;%5fMethod=patch", [], "http.method"),
        ("POST /x?_method=post&_method=put", [], "http.method"),
        ("POST /x?.method=DELETE", [], "http.method"),
        ("POST /x?_method%00=DELETE", [], "http.method"),
        ("POST /x?$method=DELETE", [], "http.method"),
        ("GET /x", ["X-Original-URL: /admin"], "http.path"),
        ("GET /x", ["X-Rewrite-URL: /x/../admin"], "http.path"),
        ("GET /x", ["X-Forwarded-Uri: https://a.test/admin"], "http.path"),
        ("GET /x", ["X_Original_URL: /admin"], "http.path"),
        ("GET /x", ["X-Forwarded-Host: b.test"], "http.host"),
        ("GET /x", ["X-Forwarded-Host: a.test, b.test"], "http.host"),
        ("GET /x", ["X-Forwarded-Host: a.test@b.test"], "http.host"),
        ("GET /x", ["X-Host: b.test"], "http.host"),
        ("GET /x", ["Forwarded: for=1.2.3.4;Host=\"b.test\""], "http.host"),
        ("GET /x", ["Forwarded: host=a.test, for=x; host = b.test"], "http.host"),
        ("POST /x", ["Content_Length: 5"], "http.framing"),
        ("POST /x", ["Transfer_Encoding: chunked"], "http.framing"),
        ("POST /x", ["Content_Type: application/json"], "http.framing"),
    ],
)  # fmt: skip
def test_a_request_that_asks_to_be_taken_for_another_one_is_refused(line: str, fields: list[str], rule: str) -> None:
    assert _rule(line, *fields) == rule


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("POST /x", ["X-HTTP-Method-Override: POST"]),
        ("POST /x?_method=post&method=delete", []),
        ("GET /x?_method=DELETE", []),
        ("GET /x", ["X-Original-URL: /x?a=b"]),
        ("GET /x", ["X-Forwarded-Host: A.test", "X-Forwarded-Proto: https", "X-Forwarded-For: 1.2.3.4"]),
        ("GET /x", ["Forwarded: for=1.2.3.4;proto=https"]),
        ("POST /x", ["Content-Length: 0", "My_Field: 1"]),
    ],
)
def test_a_request_that_says_what_it_is_goes_on(line: str, fields: list[str]) -> None:
    assert _rule(line, *fields) == ""


def test_a_development_server_may_stand_behind_another_one() -> None:
    assert _rule("GET /x", "X-Forwarded-Host: app.test", to=Destination(host=parse_host(HOST_LOOPBACK), port=80)) == ""


@pytest.mark.parametrize(
    ("kind", "body", "complete", "rule"),
    [
        (FORM, b"a=b&_method=DELETE", True, "http.method"),
        (FORM, b"a=b&%5Fmethod=put", True, "http.method"),
        (FORM, b"a=b", False, "http.method"),
        (FORM, b"a=b&_method=post&method=delete", True, ""),
        (FORM, b"a=b&+.METHOD=put", True, "http.method"),
        ("X-No: type", b"a=b&_method=put", True, "http.method"),
        ("Content-Type: multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="_method"\r\n\r\nPUT', True, "http.method"),  # noqa: E501
        ("Content-Type: multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=_method\r\n\r\nPUT", True, "http.method"),  # noqa: E501
        ("Content-Type: multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n', False, ""),  # noqa: E501
    ],
)  # fmt: skip
def test_a_form_names_no_other_method(kind: str, body: bytes, complete: bool, rule: str) -> None:
    head = _head("POST /x", kind, "Content-Length: 9")

    assert may_pose_in_form(head)
    found = posing_in_form(head, body, complete=complete)
    assert ("" if found is None else found.rule) == rule


PARTS = "Content-Type: multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    "name",
    [
        b'name=\r\n "_method"',
        b"NAME = _HttpMethod\r\n",
        b'name="\\_meth\\od"',
        b'name="%5Fmethod"',
        b"name*=utf-8''%5fmethod\r\n",
        b'name*0="_met"; name*1="hod"',
        b'name="=?utf-8?B?X21ldGhvZA==?="',
        b'name=".method"',
        b'name="_method\0x"',
        b'name="_method; x"',
        b"name=" + b" " * 300 + b'"_method"',
        b"name" + b"\t" * 300 + b'="_method"',
    ],
)
@pytest.mark.parametrize("pieces", [1, 7, 4096])
def test_a_part_of_a_form_names_no_other_method_however_it_is_written_and_comes(name: bytes, pieces: int) -> None:
    form = LongForm(_head("POST /x", PARTS, "Content-Length: 9"))
    body = b"-" * 1500 + b"\r\n--b\r\nContent-Disposition: form-data; " + name + b"\r\n\r\nPUT\r\n--b--"

    found = [form.feed(body[at : at + pieces]) for at in range(0, len(body), pieces)]
    assert {one.rule for one in found if one is not None} == {"http.method"}


@pytest.mark.parametrize(
    "text",
    [
        b'name="file"; filename="_method"',
        b'name="the_method"',
        b'name="methods"',
        b"name1=_x",
        b"rename*0 = 5",
        b'filename="=?utf-8?B?eA==?="',
        b"name" + b" " * 200 + b"age",
        b'name=""',
    ],
)
def test_other_parts_go_on(text: bytes) -> None:
    form = LongForm(_head("POST /x", PARTS, "Content-Length: 9"))

    assert form.feed(b"\r\n--b\r\nContent-Disposition: form-data; " + text + b"\r\n\r\n") is None


@pytest.mark.parametrize(
    ("coding", "body", "rule"),
    [
        ("gzip", gzip.compress(b'--b\r\nContent-Disposition: form-data; name="_method"\r\n\r\nPUT'), "http.method"),
        ("gzip", gzip.compress(b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nPUT'), ""),
        ("br", b"what only a server can unpack", "http.method"),
    ],
)
def test_a_packed_form_is_unpacked_or_refused(coding: str, body: bytes, rule: str) -> None:
    head = _head("POST /x", PARTS, "Content-Length: 9", f"Content-Encoding: {coding}")

    found = posing_in_form(head, body, complete=True)
    assert ("" if found is None else found.rule) == rule


def test_a_body_that_is_no_form_is_not_looked_into() -> None:
    assert not may_pose_in_form(_head("POST /x", "Content-Type: application/json", "Content-Length: 9"))
    assert not may_pose_in_form(_head("PUT /x", FORM, "Content-Length: 9"))


def test_a_long_header_is_not_kept() -> None:
    before = _said_again.cache_info().currsize
    for at in range(5):
        said(((b"host", b"a.test"), (b"x-note", b"%d" % at + b"n" * 5000)))

    assert _said_again.cache_info().currsize == before


@given(st.binary(max_size=200), st.integers(0, 250), st.sampled_from([b'; name="_method"\r\n', b"name*0=x"]))
def test_wherever_a_form_is_cut_its_names_are_seen(around: bytes, at: int, name: bytes) -> None:
    body = around + b"\r\n" + name + around
    form = LongForm(_head("POST /x", PARTS, "Content-Length: 9"))

    assert form.feed(body[:at]) is not None or form.feed(body[at:]) is not None
