"""What is signed of a vote, to the byte: a vote of today has to verify in ten years."""

from __future__ import annotations

import msgspec
import pytest

from ringfence.model.vote import Authentication, Scope, Vote, binding, link, same_answer, signed_part, text_digest

VOTE = Vote(
    id="v1", request="r1", approver="person:ada", approve=True, seen="sha256:s", reason="release day", at_ms=1, key="k"
)


def test_what_is_signed_are_the_fields_that_say_something_in_canonical_form() -> None:
    signed = msgspec.structs.replace(VOTE, text_digest="sha256:t", previous="sha256:p", signature="c2ln")

    assert signed_part(signed) == (
        b'{"approve":true,"approver":"person:ada","at_ms":1,"id":"v1","key":"k","previous":"sha256:p",'
        b'"request":"r1","seen":"sha256:s","text_digest":"sha256:t"}'
    )


@pytest.mark.parametrize(
    "change",
    [
        {"approve": False},
        {"approver": "person:eve"},
        {"seen": "sha256:other"},
        {"scope": Scope.REPO},
        {"seconds": 5},
        {"words": 2},
        {"channel": "ui"},
        {"authentication": Authentication.PASSKEY},
        {"at_ms": 2},
        {"previous": "sha256:q"},
        {"key": "another"},
        {"text_digest": "sha256:u"},
    ],
)
def test_whatever_matters_is_signed_and_linked(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(VOTE, **change)

    assert signed_part(changed) != signed_part(VOTE)
    assert link(changed) != link(VOTE)


def test_texts_are_signed_by_their_digest_and_the_signature_is_linked() -> None:
    other = msgspec.structs.replace(VOTE, reason="another", evidence="{}")

    assert signed_part(other) == signed_part(VOTE)
    assert text_digest(other) != text_digest(VOTE)
    assert link(msgspec.structs.replace(VOTE, signature="c2ln")) != link(VOTE)


def test_a_request_is_bound_by_all_that_was_asked() -> None:
    whole = {"request": "r", "action": "a", "policy": "p", "shown": "s"}
    changed = [binding(**{**whole, name: "other"}) for name in whole]

    assert len({binding(**whole), *changed}) == 5


def test_the_same_answer_is_the_same_however_it_was_taken_down() -> None:
    taken = msgspec.structs.replace(VOTE, at_ms=9, previous="x", signature="y", channel="ui")

    assert same_answer(VOTE, taken)
    assert not same_answer(VOTE, msgspec.structs.replace(VOTE, approve=False))
