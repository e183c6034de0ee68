"""Frames survive the way there and back, and the client's own copy of the format agrees."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.agents import hook_client, hook_wire
from ringfence.agents.agent import HookAnswer, HookUnreadable


@given(st.binary())
def test_a_question_arrives_as_it_was_sent(payload: bytes) -> None:
    frame = hook_wire.question("PreToolUse", payload)

    length = hook_wire.body_length(frame[: hook_wire.HEADER], hook_wire.QUESTION)

    assert hook_wire.read_question(frame[hook_wire.HEADER :]) == ("PreToolUse", payload)
    assert length == len(frame) - hook_wire.HEADER


@given(st.binary(), st.binary(), st.sampled_from([0, 2]))
def test_an_answer_arrives_as_it_was_sent(stdout: bytes, stderr: bytes, code: int) -> None:
    content = HookAnswer(stdout=stdout, stderr=stderr, exit_code=code)

    frame = hook_wire.answer(content)

    assert hook_wire.read_answer(frame[hook_wire.HEADER :]) == content


@given(st.binary(max_size=64))
def test_no_bytes_make_the_reader_fail_in_another_way(data: bytes) -> None:
    for read in (hook_wire.read_question, hook_wire.read_answer):
        with contextlib.suppress(HookUnreadable):
            read(data)


@pytest.mark.parametrize("header", [b"", b"RFQ1", b"GET / HT", b"RFA1\0\0\0\1", b"RFQ1\xff\xff\xff\xff"], ids=repr)
def test_a_header_of_another_kind_or_size_is_refused(header: bytes) -> None:
    with pytest.raises(HookUnreadable):
        hook_wire.body_length(header, hook_wire.QUESTION)


def test_the_client_has_the_same_limit() -> None:
    assert hook_client._LARGEST == hook_wire.LARGEST
