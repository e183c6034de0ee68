"""Signed messages: what holds, and everything that does not."""

from __future__ import annotations

import hmac

import pytest

from ringfence.approvals.channels.signatures import Seen, signed

SECRET, BODY, NOW = b"between us", b'{"answer":"deny"}', 1_800_000_000
GOOD = signed(SECRET, BODY, now=NOW, nonce="n" * 24)


def slack(body: bytes = BODY, at: int = NOW) -> dict[str, str]:
    mark = hmac.digest(SECRET, f"v0:{at}:".encode() + body, "sha256").hex()
    return {"x-slack-request-timestamp": str(at), "x-slack-signature": f"v0={mark}"}


def test_what_is_signed_with_the_same_key_holds_within_five_minutes() -> None:
    assert Seen().problem(SECRET, GOOD, BODY, now=NOW + 299) == ""
    assert Seen().problem(SECRET, GOOD, BODY, now=NOW - 299) == ""
    assert Seen().problem(SECRET, slack(), BODY, now=NOW, slack=True) == ""


def test_a_message_holds_once() -> None:
    seen = Seen()

    answers = [seen.problem(SECRET, GOOD, BODY, now=NOW + after) for after in (0, 1, 300)]
    of_slack = [seen.problem(SECRET, slack(), BODY, now=NOW, slack=True) for _ in range(2)]

    assert answers == ["", "it came before", "it came before"]
    assert of_slack == ["", "it came before"]


@pytest.mark.parametrize(
    ("headers", "body", "now", "why"),
    [
        ({}, BODY, NOW, "it is not signed"),
        ({**GOOD, "ringfence-nonce": "short"}, BODY, NOW, "it is not signed"),
        ({**GOOD, "ringfence-timestamp": "\u0661"}, BODY, NOW, "it is not signed"),
        ({**GOOD, "ringfence-timestamp": "-1"}, BODY, NOW, "it is not signed"),
        ({**GOOD, "ringfence-timestamp": "9" * 400}, BODY, NOW, "it is not signed"),
        ({**GOOD, "ringfence-signature": ""}, BODY, NOW, "its signature does not hold"),
        ({**GOOD, "ringfence-signature": "v1=\u00e9"}, BODY, NOW, "its signature does not hold"),
        ({**GOOD, "ringfence-nonce": "m" * 24}, BODY, NOW, "its signature does not hold"),
        ({**GOOD, "ringfence-timestamp": str(NOW + 1)}, BODY, NOW, "its signature does not hold"),
        (GOOD, b'{"answer":"approve"}', NOW, "its signature does not hold"),
        (signed(b"another key", BODY, now=NOW, nonce="n" * 24), BODY, NOW, "its signature does not hold"),
        (slack(), BODY, NOW, "it is not signed"),
        (GOOD, BODY, NOW + 301, "it is older or newer than 5 minutes"),
        (GOOD, BODY, NOW - 301, "it is older or newer than 5 minutes"),
    ],
)
def test_what_does_not_hold_says_why(headers: dict[str, str], body: bytes, now: int, why: str) -> None:
    assert Seen().problem(SECRET, headers, body, now=now) == why


def test_a_message_with_a_wrong_signature_does_not_use_up_the_nonce() -> None:
    seen = Seen()

    wrong = seen.problem(SECRET, {**GOOD, "ringfence-signature": "v1=0"}, BODY, now=NOW)

    assert (wrong, seen.problem(SECRET, GOOD, BODY, now=NOW)) == ("its signature does not hold", "")
