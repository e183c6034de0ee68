"""Text that somebody else wrote: what is shown is what is there."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.display import shortened, visible, visible_argv


@settings(deadline=None)
@given(st.text())
def test_nothing_that_is_shown_can_draw_reorder_or_hide(text: str) -> None:
    shown = visible(text)

    assert all(unicodedata.category(each) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn"} for each in shown)


@settings(deadline=None)
@given(st.text(), st.text())
def test_two_texts_never_look_the_same(one: str, other: str) -> None:
    assert (visible(one) == visible(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("grün", "grün"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\u202eevil", r"\u202eevil"),
        ("a\u00a0b", r"a\xa0b"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("\U000e0041", r"\U000e0041"),
        ("\\x1b", r"\\x1b"),
    ],
)
def test_what_is_not_plainly_visible_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_words_show_where_they_begin_and_end() -> None:
    assert visible_argv(("git", "commit", "-m", "two words", "", "it's", "a;b")) == (
        r"git commit -m 'two words' '' 'it'\''s' 'a;b'"
    )


def test_a_shortened_text_keeps_its_end() -> None:
    assert shortened("abcdefghij", 7) == "abcd…ij"
    assert shortened("abcdefghij", 10) == "abcdefghij"
