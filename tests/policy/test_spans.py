"""Where the values of a TOML text stand."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.spans import KeyPath, spans

TEXT = '''\
top = 1
"quoted key".'literal' = 2
[table]
list = [
  "one", # a comment with ] and "
  "two",
]
inline = { a = 1, b.c = [ 2, { d = 3 } ] }
text = """
not = a key
[not.a.table] \\" """
literal = \'\'\'
[nor.this]\'\'\'
date = 1979-05-27T07:32:00Z
[[rule]]
id = "a"
[[rule]]
id = "b"
[rule.sub]
x = 1
[[rule.deep]]
y = 1
[[rule.deep]]
y = 2
'''


@pytest.mark.parametrize(
    ("path", "position"),
    [
        (("top",), (1, 1)),
        (("quoted key", "literal"), (2, 14)),
        (("table",), (3, 1)),
        (("table", "list", 0), (5, 3)),
        (("table", "list", 1), (6, 3)),
        (("table", "inline", "a"), (8, 12)),
        (("table", "inline", "b", "c", 1, "d"), (8, 32)),
        (("table", "date"), (14, 1)),
        (("rule", 0, "id"), (16, 1)),
        (("rule", 1, "id"), (18, 1)),
        (("rule", 1, "sub", "x"), (20, 1)),
        (("rule", 1, "deep", 1, "y"), (24, 1)),
    ],
)
def test_each_value_is_found_where_it_stands(path: KeyPath, position: tuple[int, int]) -> None:
    assert spans(TEXT).at(path) == position


def test_a_comment_behind_a_plain_line_does_not_lose_the_way() -> None:
    found = spans('a = "x"\n# why\nb = 1\n\n  # more\n[[rule]]\nid = "y"\n')

    assert [found.at(path) for path in (("b",), ("rule", 0), ("rule", 0, "id"))] == [(3, 1), (6, 1), (7, 1)]


def test_what_has_no_position_of_its_own_gets_that_of_its_table() -> None:
    assert spans(TEXT).at(("rule", 1, "missing", "deeper")) == (17, 1)
    assert spans(TEXT).at(("nowhere",)) == (1, 1)


def _paths(value: object, path: KeyPath = ()) -> list[KeyPath]:
    if isinstance(value, dict):
        return [path, *(inner for key in value for inner in _paths(value[key], (*path, key)))]
    if isinstance(value, list):
        return [path, *(inner for at, one in enumerate(value) for inner in _paths(one, (*path, at)))]
    return [path]


def test_every_path_of_the_text_has_a_line_that_holds_its_key() -> None:
    lines = TEXT.split("\n")
    found = spans(TEXT)

    for path in _paths(tomllib.loads(TEXT)):
        if path and isinstance(path[-1], str):
            line, column = found.at(path)
            assert path[-1] in lines[line - 1][column - 1 :], path


@given(st.text(alphabet="ab=[]{}\".'\\#\n ,1-", max_size=60))
def test_no_text_makes_it_fail(text: str) -> None:
    line, column = spans(text).at(("a", "b", 0))

    assert line >= 1
    assert column >= 1
