"""Canonical JSON, against the examples of RFC 8785 as far as our types reach."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.model.action import ConnectAction, action_digest
from ringfence.model.canonical import canonical_json, digest, text_from_os

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def test_strings_are_those_of_the_rfc() -> None:
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/"

    assert canonical_json(text) == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()


def test_members_are_sorted_by_utf_16_units_as_in_the_rfc() -> None:
    unsorted = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }

    assert list(json.loads(canonical_json(unsorted)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


def test_literals_and_nesting_have_no_white_space() -> None:
    assert canonical_json({"b": [True, False, None, -1, {}], "a": {"z": "", "y": []}}) == (
        b'{"a":{"y":[],"z":""},"b":[true,false,null,-1,{}]}'
    )


@pytest.mark.parametrize("value", [1.5, 2**53, -(2**53), float("nan"), "\ud800", {"k": ["\udfff"]}])
def test_what_has_no_agreed_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"canonical JSON|no canonical"):
        canonical_json(value)


@settings(deadline=None, max_examples=50)
@given(values)
def test_it_is_json_and_stable(value: object) -> None:
    written = canonical_json(value)

    assert json.loads(written) == value
    assert canonical_json(json.loads(written)) == written


@settings(deadline=None)
@given(st.binary(), st.binary())
def test_two_names_of_the_system_never_get_one_text(one: bytes, other: bytes) -> None:
    assert (text_from_os(one) == text_from_os(other)) == (one == other)
    assert canonical_json(text_from_os(one))


def test_the_digest_binds_every_field_of_an_action() -> None:
    action = ConnectAction(host="a", port=1)
    others = [
        ConnectAction(host="b", port=1),
        ConnectAction(host="a", port=2),
        ConnectAction(host="a", port=1, method="GET"),
        ConnectAction(host="a", port=1, path="/"),
    ]

    assert action_digest(action) == digest({"kind": "connect", "host": "a", "port": 1, "method": None, "path": None})
    assert len({action_digest(each) for each in (action, *others)}) == 5
