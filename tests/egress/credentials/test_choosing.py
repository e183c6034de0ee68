"""Whatever a request holds, it is answered: it gets what is bound, or goes without, or does not go."""

from __future__ import annotations

import os

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.credentials.carrying import SHOWN, VALUE, carrying, request, rule_of, sent

from ringfence.egress.credentials.presented import in_form, in_multipart, is_secret_name
from ringfence.egress.credentials.steps import Wallet
from ringfence.egress.http_head import HeadInvalid, RequestHead
from ringfence.egress.inspection import Held

BOUND = """
[[credentials]]
id = "key"
source = { environment = "K" }
form = "bearer"
hosts = ["api.test"]
"""
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60)
NAMES = st.sampled_from(
    ["Authorization", "Cookie", "X-Api-Key", "X-Anything", "Sec-WebSocket-Protocol", "X-Amz-Date", "Content-Type"]
)
VALUES = st.one_of(
    TEXT,
    st.builds(
        lambda before, behind: f"{before}{SHOWN}{behind}",
        st.sampled_from(["", "Bearer ", "bearer  ", "token ", "Basic ", "x", "AWS4-HMAC-SHA256 Credential="]),
        st.sampled_from(["", " ", ",", "x"]),
    ),
)
PATHS = st.text(st.sampled_from("abc/;=?&%2Fkeytoken.~" + SHOWN[:5]), max_size=40)


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(PATHS, st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_any_request_is_answered_and_no_answer_has_the_value(path: str, fields: list[tuple[str, str]]) -> None:
    carried = carrying(BOUND)
    try:
        of = request("\n".join((f"GET /{path}", *(f"{name}: {value}" for name, value in fields))))
    except HeadInvalid:
        return

    outcome = sent(carried, of)

    if isinstance(outcome, Held):
        assert VALUE.encode() not in msgspec.json.encode(outcome.decision)
        assert carried.used == []
    elif carried.used:
        assert [value for name, value in outcome.fields if name == b"authorization"] in (
            [f"Bearer {VALUE}".encode()],
            [f"token {VALUE}".encode()],
        )
    else:
        shown = {name.lower() for name, value in fields if value.strip()}
        assert not shown & {"authorization", "cookie", "x-api-key"}
        assert isinstance(outcome, RequestHead)
        assert VALUE not in str(outcome)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_body_is_read_without_a_fault(body: bytes) -> None:
    in_form(body)
    in_multipart(body)
    is_secret_name(body.decode("latin-1"))


def test_a_credential_that_is_not_available_leaves_its_host_closed_to_others() -> None:
    carried = carrying(BOUND)
    without = Wallet.of(carried.wallet.table, (), carried.used.append, carried.refused.append, os.urandom)
    carried.wallet = without

    assert rule_of(sent(carried, request("GET /\nAuthorization: Bearer attackers"))) == "credentials.foreign"
    assert rule_of(sent(carried, request("GET /"))) == ""


def test_the_other_port_of_the_web_is_the_same_host() -> None:
    plain = request("POST /upload\nX-Api-Key: attackers", port=80, secure=False)

    assert rule_of(sent(carrying(BOUND), plain)) == "credentials.foreign"
    assert rule_of(sent(carrying(BOUND), request("POST /upload\nX-Api-Key: attackers", port=5000))) == ""
