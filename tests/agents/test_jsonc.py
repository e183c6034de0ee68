"""Settings in JSON with comments and trailing commas."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.agents.jsonc import plain_object, read_object


def test_comments_and_trailing_commas_are_left_out_and_texts_stay_as_they_are() -> None:
    text = b'\xef\xbb\xbf{ // a, }\n "x": "http://y,}", /* , */ "z": [1, 2, /* ] */ ], "q": "\\"//,}", }'

    assert read_object(text) == {"x": "http://y,}", "z": [1, 2], "q": '"//,}'}


@pytest.mark.parametrize("content", [None, b"", b" \n", b"// nothing\n"])
def test_nothing_is_an_empty_object(content: bytes | None) -> None:
    assert read_object(content) == {}


@pytest.mark.parametrize(
    "content", [b'{"a": 1,,}', b"[1]", b"{/*", b"{} /*/", b'{"a" "b"}', b"\xff", b'"', b"{1/**/2}", b"[" * 100_000]
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        read_object(content)


@pytest.mark.parametrize("content", [b'{"a": 1,}', b"{} // a", b"/* a */ {}"])
def test_comments_and_trailing_commas_are_refused_where_the_agent_refuses_them(content: bytes) -> None:
    with pytest.raises(ValueError):
        plain_object(content)


@given(
    st.dictionaries(st.text(max_size=8), st.recursive(st.text() | st.integers(), st.lists, max_leaves=8), max_size=4)
)
def test_plain_json_reads_as_json(values: dict[str, object]) -> None:
    assert read_object(json.dumps(values).encode()) == values
    assert read_object(json.dumps(values, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")) == values
