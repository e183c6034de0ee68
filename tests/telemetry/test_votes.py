"""Votes in a record: each way of forging, moving or leaving one out, and what verifying says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ringfence.model.event import ApprovalRequested, ApprovalTransition, Body, Event, VoteTaken, event_name
from ringfence.model.vote import Authentication, Vote, binding, link, signed_part, text_digest
from ringfence.telemetry.database import append, open_for_writing
from ringfence.telemetry.notes import NoteSigner
from ringfence.telemetry.reader import LedgerReader
from ringfence.telemetry.verification import verify
from ringfence.telemetry.vote_keys import KEY, KNOWN

ASKED = ApprovalRequested(
    request="r1", action="sha256:a", policy="sha256:p", channel="terminal", shown="sha256:s", expires_ms=1
)
APPROVED = ApprovalTransition(
    request="r1", before="pending", after="approved", actor="person:ada", channel="terminal", shown="sha256:s"
)
FIRST = binding(request="r1", action="sha256:a", policy="sha256:p", shown="sha256:s")


def signed(signer: NoteSigner, vote: Vote) -> Vote:
    keyed = msgspec.structs.replace(vote, key=signer.key, text_digest=text_digest(vote), signature="")
    return msgspec.structs.replace(keyed, signature=signer.sign(signed_part(keyed)))


def vote(who: str, previous: str = FIRST) -> Vote:
    return Vote(
        id=who,
        request="r1",
        approver=f"person:{who}",
        approve=True,
        seen="sha256:s",
        reason="release day",
        previous=previous,
    )


def faults(folder: Path, *bodies: Body) -> tuple[list[str], int]:
    """What is wrong with a ledger of these events, and the votes that hold."""
    path = str(folder / "ledger.db")
    database = open_for_writing(path)
    for number, body in enumerate(bodies):
        event = Event(id=f"e{number}", session="s", body=body)
        append(database, [("s", event_name(body), event.id, msgspec.json.encode(event))], (number + 1) * 10**9)
    database.close()
    reader = LedgerReader(path)
    try:
        report = verify(reader)
    finally:
        reader.close()
    assert all(fault.kind == "vote" for fault in report.faults)
    return [fault.text for fault in report.faults], report.votes


@pytest.fixture
def signer(tmp_path: Path) -> NoteSigner:
    return NoteSigner(str(tmp_path / KEY))


def test_signed_and_linked_votes_verify(tmp_path: Path, signer: NoteSigner) -> None:
    first = signed(signer, vote("ada"))
    second = signed(signer, vote("bob", link(first)))

    found = faults(tmp_path, ASKED, VoteTaken(vote=first), VoteTaken(vote=second), APPROVED, VoteTaken(vote=first))

    assert found == ([], 2)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda one: msgspec.structs.replace(one, approve=False), "the signature of the vote ada"),
        (lambda one: msgspec.structs.replace(one, approver="person:eve"), "the signature of the vote ada"),
        (lambda one: msgspec.structs.replace(one, reason="another"), "is not the one that was signed"),
        (lambda one: msgspec.structs.replace(one, signature=""), "is not signed"),
        (lambda one: msgspec.structs.replace(one, signature="!"), "the signature of the vote ada"),
        (lambda one: msgspec.structs.replace(one, previous="sha256:x"), "is not linked to the one before it"),
        (lambda one: msgspec.structs.replace(one, seen="sha256:other"), "something else than what was shown"),
        (lambda one: msgspec.structs.replace(one, request="r2"), "a request that is not on record"),
    ],
)
def test_a_vote_that_was_changed_does_not_verify(
    change: Callable[[Vote], Vote], text: str, tmp_path: Path, signer: NoteSigner
) -> None:
    found, holding = faults(tmp_path, ASKED, VoteTaken(vote=change(signed(signer, vote("ada")))))

    assert any(text in one for one in found)
    assert holding == 0


def test_a_vote_by_a_key_that_is_not_known_does_not_verify_until_it_is_listed(
    tmp_path: Path, signer: NoteSigner
) -> None:
    other = NoteSigner(str(tmp_path / "elsewhere"))
    assert signer.key
    body = VoteTaken(vote=signed(other, vote("eve")))

    before, _ = faults(tmp_path, ASKED, body, APPROVED)
    (tmp_path / KNOWN).write_text(f"# of the build machine\n{other.key}\n")
    reader = LedgerReader(str(tmp_path / "ledger.db"))
    after = verify(reader)
    reader.close()

    assert "signed by a key that is not known here" in before[0]
    assert (after.faults, after.votes) == ((), 1)


def test_an_approval_without_a_vote_is_a_fault(tmp_path: Path, signer: NoteSigner) -> None:
    no = signed(signer, msgspec.structs.replace(vote("ada"), approve=False))

    found, _ = faults(tmp_path, ASKED, VoteTaken(vote=no), APPROVED)

    assert found == ["request r1 is approved without a vote that says so"]


def test_a_vote_that_was_refused_proves_nothing_and_need_not_hold(tmp_path: Path) -> None:
    assert faults(tmp_path, ASKED, VoteTaken(vote=vote("eve"), refused="who is that?")) == ([], 0)


def test_a_broken_glass_stands_for_the_votes(tmp_path: Path) -> None:
    assert faults(tmp_path, ASKED, msgspec.structs.replace(APPROVED, channel="break-glass")) == ([], 0)


def test_words_that_were_kept_out_of_the_record_do_not_void_the_vote(tmp_path: Path, signer: NoteSigner) -> None:
    cleaned = msgspec.structs.replace(signed(signer, vote("ada")), reason="release of redacted-0123456789abcdef")

    assert faults(tmp_path, ASKED, VoteTaken(vote=cleaned), APPROVED) == ([], 1)


REPORTED = msgspec.structs.replace(APPROVED, before="delegated", after="consumed", actor="agent:claude")


def report(signer: NoteSigner, *, approve: bool = True) -> VoteTaken:
    word = msgspec.structs.replace(
        vote("x"), approver="agent:claude", approve=approve, authentication=Authentication.AGENT_REPORTED
    )
    return VoteTaken(vote=signed(signer, word))


def test_what_an_agent_reports_ends_what_was_left_to_its_prompt(tmp_path: Path, signer: NoteSigner) -> None:
    assert faults(tmp_path, ASKED, report(signer), REPORTED) == ([], 1)


def test_what_an_agent_reports_approves_nothing(tmp_path: Path, signer: NoteSigner) -> None:
    found, _ = faults(tmp_path, ASKED, report(signer), APPROVED)

    assert found == ["request r1 is approved without a vote that says so"]


def test_what_was_left_to_an_agent_does_not_go_ahead_without_its_report(tmp_path: Path, signer: NoteSigner) -> None:
    found, _ = faults(tmp_path, ASKED, report(signer, approve=False), REPORTED)

    assert found == ["request r1 went ahead without the agent's report of a yes"]
