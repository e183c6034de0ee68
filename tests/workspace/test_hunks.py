"""Parts of a change, taken over one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.workspace.hunks import hunks, shown, with_hunks

OLD = b"".join(b"%d\n" % number for number in range(40))
NEW = OLD.replace(b"\n3\n", b"\nthree\n").replace(b"\n30\n", b"\n")
LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\r\n", b"\n", b"\xff\n", b"no end"]), max_size=30).map(b"".join)


def test_each_part_is_taken_alone() -> None:
    first, second = hunks(OLD, NEW)

    assert with_hunks(OLD, NEW, (first, second), {0}) == OLD.replace(b"\n3\n", b"\nthree\n")
    assert with_hunks(OLD, NEW, (first, second), {1}) == OLD.replace(b"\n30\n", b"\n")
    assert shown(OLD, NEW, second) == [b"@@ -28,7 +28,6 @@", b" 27", b" 28", b" 29", b"-30", b" 31", b" 32", b" 33"]


@given(before=LINES, after=LINES)
def test_all_parts_make_the_new_content_and_none_the_old(before: bytes, after: bytes) -> None:
    found = hunks(before, after)

    assert with_hunks(before, after, found, range(len(found))) == after
    assert with_hunks(before, after, found, ()) == before
