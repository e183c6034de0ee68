"""What does not reach the record, and what must."""

from __future__ import annotations

import hashlib
import json
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.model.action import CommandAction, Effect, EffectKind
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import DecisionMade
from ringfence.telemetry.redaction import MARKS, Redaction, is_suspicious

SECRETS = [
    ('"echo API_KEY=hunter2hunter2"', "hunter2hunter2"),
    ('"AWS_SECRET_ACCESS_KEY=abcdefghijkl make"', "abcdefghijkl"),
    ('["GITHUB_TOKEN","abcdefghijkl"]', "abcdefghijkl"),
    (r'"curl -H \"Authorization: Bearer abc.def-ghi\" x"', "abc.def-ghi"),
    ('"authorization: token abcdefghi"', "abcdefghi"),
    ('"https://example.com/upload?a=1&api_key=hunter2hunter2"', "hunter2hunter2"),
    ('["deploy","--access-token","hunter2hunter2"]', "hunter2hunter2"),
    ('"deploy --password=hunter2hunter2"', "hunter2hunter2"),
    ('"key sk-abcdefghijklmnopqrstuvwx here"', "sk-abcdefghijklmnopqrstuvwx"),
    ('"ghp_abcdefghijklmnopqrstuvwxyz0123456789"', "ghp_abcdefghijklmnopqrstuvwxyz0123456789"),
    ('"AKIAIOSFODNN7EXAMPLE"', "AKIAIOSFODNN7EXAMPLE"),
    *(
        (f'"{secret}"', secret)
        for secret in (
            *(f"gh{kind}_abcdefghijklmnopqrstuvwxyz0123456789" for kind in "ousr"),
            f"github_pat_{'a1' * 25}",
            f"glpat-{'a1' * 10}",
            *(f"xox{kind}-{'1a' * 6}" for kind in "abprs"),
            "ASIAIOSFODNN7EXAMPLE",
            f"AIza{'a1' * 17}b",
            f"npm_{'a1' * 18}",
            f"pypi-{'a1' * 25}",
            f"eyJ{'a1' * 6}.eyJ{'b2' * 6}.{'c3' * 6}",
        )
    ),
    ('"git clone https://ada:secretword@example.com/x"', "secretword"),
    (r'"-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA1234\n-----END RSA PRIVATE KEY-----"', "MIIEowIBAAKCAQEA1234"),
]


@pytest.fixture
def redaction() -> Redaction:
    return Redaction(lambda: b"key")


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_replaced_and_the_rest_stays_json(redaction: Redaction, text: str, secret: str) -> None:
    cleaned = redaction.clean(text.encode()).decode()

    assert secret not in cleaned
    assert "secret:" in cleaned
    assert type(json.loads(cleaned)) is type(json.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        '"git status"',
        '"the token is missing"',
        '"https://example.com:443/x@y"',
        '"sha256:abcdef"',
        '"TOKENS=3"',
        '["cat","secret","notes.txt"]',
    ],
)
def test_plain_text_stays(redaction: Redaction, text: str) -> None:
    assert redaction.clean(text.encode()) == text.encode()


def test_no_mark_is_missed_because_of_its_case() -> None:
    assert [mark for mark in MARKS if mark != mark.lower()] == []


@given(st.lists(st.sampled_from([piece for mark in MARKS for piece in (mark, mark[:-1], mark[1:])]), max_size=4))
def test_a_text_with_a_mark_is_looked_at_and_no_other(pieces: list[bytes]) -> None:
    text = b" a".join(pieces)

    assert is_suspicious(text) == any(mark in text for mark in MARKS)


def test_one_secret_has_one_stand_in_under_one_key(redaction: Redaction) -> None:
    first = redaction.clean(b'"A_TOKEN=abcdefgh"')
    second = redaction.clean(b'"B_TOKEN=abcdefgh"')
    other = Redaction(lambda: b"another key").clean(b'"A_TOKEN=abcdefgh"')

    assert first[9:] == second[9:]
    assert first != other


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_long_texts_and_lists_are_cut_and_say_of_what(redaction: Redaction) -> None:
    argv, path, script = [str(number) for number in range(5000)], "/p" * 20_000, "x" * 20_000
    cleaned = json.loads(redaction.clean(json.dumps({"argv": argv, "path": path, "shell": script}).encode()))

    assert cleaned == {
        "argv": [*argv[:256], f"… [cut: 4744 more words, sha256 {_sha(chr(0).join(argv[256:]))}]"],
        "path": path[:4096] + f"… [cut: 35904 more characters, sha256 {_sha(path)}]",
        "shell": script[:16_384] + f"… [cut: 3616 more characters, sha256 {_sha(script)}]",
    }


def test_a_decision_about_a_thousand_effects_is_still_one(redaction: Redaction) -> None:
    long = ["/" + str(number) * 200 for number in range(5000)]
    effects = tuple(Effect(kind=EffectKind.READ, object=path) for path in long)
    reasons = tuple(Reason(rule=path, layer="user", source="a:1", verdict=Verdict.DENY, text=path) for path in long)
    action = CommandAction(argv=("sh", "-c", "x" * 50_000), cwd="/" + "c" * 50_000, shell="x" * 50_000)
    decision = Decision(verdict=Verdict.DENY, action=action, reasons=reasons, policy="", effects=effects)

    written = redaction.clean(msgspec.json.encode(DecisionMade(decision=decision, asked_by="exec")))

    kept = msgspec.json.decode(written, type=DecisionMade).decision
    assert len(written) <= 64 * 1024
    assert 0 < len(kept.effects) < 100 and kept.effects[0].object.startswith("/000")
    assert "more like this, sha256 " in kept.effects[-1].object
    assert "more like this, sha256 " in kept.reasons[-1].text


def test_what_is_signed_is_never_cut(redaction: Redaction) -> None:
    vote = json.dumps({"event": "approval.vote", "vote": {"reason": "x" * 50_000}}).encode()

    assert redaction.clean(vote) == vote


@pytest.mark.parametrize("filling", ["-", " --a", "?a", "&token"])
def test_what_looks_like_many_options_does_not_hold_up_the_record(redaction: Redaction, filling: str) -> None:
    text = json.dumps(filling * (1_000_000 // len(filling)) + "token").encode()

    began = time.process_time()
    redaction.clean(text)

    assert time.process_time() - began < 2
