"""The first bytes at a published port."""

from __future__ import annotations

import pytest

from ringfence.session.ways.published import LARGEST_HEAD, Kind, judge


def request(*fields: str, line: str = "GET / HTTP/1.1") -> bytes:
    return ("\r\n".join((line, *fields)) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:3000", "127.0.0.1:3000", "[::1]:3000", "app.localhost:3000", "LOCALHOST", "127.9.9.9"],
)
def test_a_request_for_this_machine_passes(host: str) -> None:
    assert judge(request(f"Host: {host}")).kind is Kind.PASS


@pytest.mark.parametrize(
    "fields",
    [
        ("Host: evil.test",),
        ("Host: evil.test:3000",),
        ("Host: localhost.evil.test",),
        ("Host: 127.0.0.1.evil.test",),
        ("Host: 10.0.0.1",),
        ("Host: localhost", "Host: evil.test"),
        ("host:evil.test",),
        (),
        ("Host: localhost:3000@evil.test",),
        ("Host: localhost", "Origin: https://evil.test"),
        ("Host: localhost", "Origin: null"),
        ("Host: localhost", "Origin: http://localhost.evil.test"),
        ("Host: localhost", "Upgrade: websocket", "Origin: https://evil.test"),
    ],
)
def test_a_request_of_another_site_is_refused(fields: tuple[str, ...]) -> None:
    judged = judge(request(*fields))

    assert judged.kind is Kind.REFUSE
    assert judged.answer.startswith(b"HTTP/1.1 4")
    assert judged.why.encode() in judged.answer


def test_the_verdict_waits_for_the_whole_head_and_never_changes() -> None:
    for whole, kind in ((request("Host: evil.test"), Kind.REFUSE), (request("Host: localhost"), Kind.PASS)):
        found = [judge(whole[:size]).kind for size in range(1, len(whole) + 1)]
        assert found == [Kind.MORE] * (len(whole) - 1) + [kind]


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00", b"\x00\x00\x00\x08", b"get / http/1.1\r\n", b"SSH-2.0-x\r\n", b""]
)
def test_what_no_browser_sends_passes(data: bytes) -> None:
    assert judge(data, ended=True).kind is Kind.PASS


def test_http2_without_tls_passes_because_no_browser_speaks_it() -> None:
    assert judge(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").kind is Kind.PASS
    assert judge(b"PRI * HT").kind is Kind.MORE


def test_a_head_without_an_end_is_refused() -> None:
    assert judge(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20, ended=True).kind is Kind.REFUSE
    assert judge(b"GET / HTTP/1.1\r\nx: " + b"a" * LARGEST_HEAD).kind is Kind.REFUSE
