"""What a program inside may say to the user's terminal, as dialogues of bytes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.session.output_filter import OutputFilter

HARMLESS = [
    b"plain text\r\n",
    b"\x1b[31mred\x1b[0m",
    b"\x1b[2J\x1b[H\x1b[?1049h",
    b"\x1b]0;a title\x07",
    b"\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\",
    b"\x1b(B\x1b=\x1b7\x1b8",
    b"\x1b[6n",
]

HARMFUL = [
    b"\x1b]52;c;cm0gLXJmIH4=\x07",
    b"\x1b]52;c;cm0gLXJmIH4=\x1b\\",
    b"\x1b]1337;File=inline=1:AAAA\x07",
    b'\x1bP$q"p\x1b\\',
    b"\x1bP+q544e\x1b\\",
    b"\x1b[21t",
    b"\x1b[5i",
]


@pytest.mark.parametrize("sequence", HARMLESS)
def test_text_colours_and_movement_pass_unchanged(sequence: bytes) -> None:
    assert OutputFilter().feed(sequence) == sequence


@pytest.mark.parametrize("sequence", HARMFUL)
def test_sequences_that_act_outside_the_window_are_removed(sequence: bytes) -> None:
    assert OutputFilter().feed(b"before" + sequence + b"after") == b"beforeafter"


@pytest.mark.parametrize("sequence", HARMFUL)
def test_a_harmful_sequence_cut_into_single_bytes_is_still_removed(sequence: bytes) -> None:
    output = OutputFilter()

    shown = b"".join(output.feed(bytes([byte])) for byte in b"before" + sequence + b"after")

    assert shown == b"beforeafter"


def test_an_aborted_clipboard_sequence_does_not_swallow_what_follows() -> None:
    assert OutputFilter().feed(b"\x1b]52;c;abc\x1b[31mred") == b"\x1b[31mred"


def test_an_endless_string_does_not_hold_memory() -> None:
    output = OutputFilter()

    for _ in range(100):
        output.feed(b"\x1b]52;" + b"x" * 4096)

    assert len(output._held) <= 1 << 16


@given(st.text(max_size=80).map(lambda text: re.sub("[\x1b\x80-\x9f]", "", text).encode()), st.integers(1, 7))
def test_text_without_escapes_passes_however_it_is_cut(clean: bytes, size: int) -> None:
    output = OutputFilter()

    assert b"".join(output.feed(clean[at : at + size]) for at in range(0, len(clean), size)) == clean


@given(st.binary(max_size=200), st.integers(0, 200))
def test_no_clipboard_sequence_survives_any_cut(noise: bytes, cut: int) -> None:
    stream = noise + b"\x1b]52;c;AAAA\x07" + noise
    output = OutputFilter()

    shown = output.feed(stream[:cut]) + output.feed(stream[cut:])

    assert b"\x1b]52" not in shown
