"""What servers may take a path for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.globs import components
from ringfence.policy.request_paths import leniently, plainly, readings

PATHS = st.text("/aB.% ;:?#$\\2eé\0", max_size=24).map("/".__add__)


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/a/b", "/a/b"),
        ("/a%20b?c", "/a b"),
        ("/a//b", None),
        ("/a/.%20./b", None),
        ("/a;x", None),
        ("/a%252e", None),
        ("/%c3%a9", None),
        ("/a%0ab", None),
        ("a", None),
        ("*", None),
    ],
)
def test_a_path_that_can_be_read_in_one_way_only_is_plain(path: str, plain: str | None) -> None:
    assert plainly(path) == plain


@pytest.mark.parametrize(
    ("path", "readings"),
    [
        ("/a/b", ["a/b"]),
        ("/A/b.txt.", ["a/b.txt.", "a/b.txt", "a/b"]),
        ("/a. /b", ["a. /b", "a/b"]),
        ("/a:$data/b", ["a:$data/b", "a/b"]),
        ("/a?b/c", ["a?b/c", "a"]),
        ("/v1.2/a-1.0.tgz", ["v1.2/a-1.0.tgz"]),
        ("/.git/x", [".git/x"]),
        ("/a/.json", ["a/.json"]),
        ("/", [""]),
    ],
)
def test_lenient_servers_drop_what_stands_behind_a_name(path: str, readings: list[str]) -> None:
    assert ["/".join(one) for one in leniently(path)] == readings


@given(PATHS)
def test_no_path_is_an_error_and_what_is_read_stays_as_it_is(path: str) -> None:
    assert readings(path)[0] == path
    assert readings(readings(path)[-1])[-1] == readings(path)[-1] or path.count("%") > 4
    plain = plainly(path)
    if plain is not None:
        read = leniently(plain)
        assert read[0] == components(plain.lower())
        assert all(".." not in one and "." not in one for one in read)
