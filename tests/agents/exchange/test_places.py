"""JSON with places, and whether two patterns of paths meet: both against something slow and certain."""

from __future__ import annotations

import fnmatch
import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from ringfence.agents.exchange.glob_overlap import names_meet
from ringfence.agents.exchange.json_places import JsonInvalid, placed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=8,
)


@given(JSON, st.sampled_from([None, 0, 2]))
def test_json_is_read_as_the_standard_parser_reads_it(value: object, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)

    read, place = placed(text)

    assert read == value
    assert place(()) == (1, 1)


@given(st.text(alphabet='{}[]",:0 a\\\n', max_size=12))
def test_any_text_is_a_value_or_a_located_fault(text: str) -> None:
    try:
        value, _ = placed(text)
    except JsonInvalid as invalid:
        assert 1 <= invalid.line <= text.count("\n") + 1
        assert invalid.column >= 1
    else:
        assert json.loads(text) == value


def test_every_value_has_its_line() -> None:
    _, place = placed('{\n  "a": [1,\n    {"b": 2}]\n}')

    assert [place(path) for path in (("a",), ("a", 0), ("a", 1, "b"), ("nothing",))] == [(2, 3), (2, 9), (3, 6), (1, 1)]


PATTERN = st.text(alphabet="ab*?", max_size=5)
ALL_NAMES = ["".join(letters) for length in range(8) for letters in itertools.product("ab", repeat=length)]


@given(PATTERN, PATTERN)
def test_two_patterns_meet_where_a_name_fits_both(one: str, other: str) -> None:
    both = any(fnmatch.fnmatchcase(name, one) and fnmatch.fnmatchcase(name, other) for name in ALL_NAMES)

    assert names_meet(one, other) is both or (not both and len(one + other) > 9)
