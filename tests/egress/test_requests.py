"""The requests behind the first one on a connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress.first_bytes import Spoken
from ringfence.egress.http_head import HeadInvalid
from ringfence.egress.identity import foreign
from ringfence.egress.requests import ForeignRequest, Requests
from ringfence.model.decision import Decision
from ringfence.model.host import parse_destination

OURS = parse_destination("a.test:80", default_port=None)
GET = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\n12345"
CHUNKED = b"POST /p HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
SWITCH = b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
EVIL = b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n"


def check(spoken: Spoken) -> Decision | None:
    return foreign(spoken, OURS, needs_request=False)


def passed(said: bytes, size: int) -> bytes:
    requests = Requests(check, 65_536)
    return b"".join(requests.take(said[at : at + size]) for at in range(0, len(said), size))


@given(said=st.lists(st.sampled_from([GET, POST, CHUNKED]), min_size=1, max_size=5), size=st.integers(1, 300))
def test_requests_to_the_same_host_go_on_as_they_came(said: list[bytes], size: int) -> None:
    assert passed(b"".join(said), size) == b"".join(said)


@given(said=st.lists(st.sampled_from([GET, POST, CHUNKED, SWITCH]), min_size=1, max_size=3), size=st.integers(1, 300))
def test_no_byte_of_a_request_to_another_host_goes_on(said: list[bytes], size: int) -> None:
    with pytest.raises(ForeignRequest) as refused:
        passed(b"".join(said) + EVIL, size)

    assert refused.value.decision.reasons[0].rule == "http.host"


def test_a_body_that_looks_like_a_request_is_a_body() -> None:
    said = b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n%b" % (len(EVIL), EVIL)

    assert passed(said + GET, 7) == said + GET


def test_after_a_request_to_switch_other_protocols_go_on() -> None:
    assert passed(SWITCH + b"\x81\x85....hello", 11) == SWITCH + b"\x81\x85....hello"


@pytest.mark.parametrize("wanted", [b"h2c", b"websocket, H2C", b"HTTP/2.0", b"h2"])
def test_a_request_to_switch_to_http_2_does_not_go_on(wanted: bytes) -> None:
    said = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: %b\r\n\r\n" % wanted

    with pytest.raises(HeadInvalid):
        passed(said, 500)


@pytest.mark.parametrize(
    "behind", [b"\x81\x85....hello", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /" + b"x" * 70_000]
)
def test_what_is_no_request_does_not_follow_one(behind: bytes) -> None:
    with pytest.raises(HeadInvalid):
        passed(GET + behind, 1000)
