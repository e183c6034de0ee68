from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.sandbox.backends.guard import Guard

GUARD = Guard(["/w"], ["/p/home"], ["/w/.git/hooks", "/w/.git/config", "/w/.claude"], ["/w/.git"])


@pytest.mark.parametrize(
    ("path", "change", "replace"),
    [
        ("/w/a", True, True),
        ("/w/src/a", True, True),
        ("/w/.git/HEAD", True, True),
        ("/w/.git", True, False),
        ("/w", True, False),
        ("/w/.git/config", False, False),
        ("/w/.git/hooks/pre-commit", False, False),
        ("/w/.claude", False, False),
        ("/w/.claude/settings.json", False, False),
        ("/w/.git/configuration", True, True),
        ("/wider", False, False),
        ("/etc/passwd", False, False),
        ("/p/home/a", False, False),
    ],
)
def test_only_what_is_open_and_not_protected_changes(path: str, change: bool, replace: bool) -> None:
    assert (GUARD.may_change(path), GUARD.may_replace(path)) == (change, replace)


def test_a_private_folder_in_a_root_stays_the_kernels() -> None:
    guard = Guard(["/w"], ["/w/private"], [], [])

    assert not guard.is_served("/w/private/a")
    assert guard.is_private("/w/private/a")


_NAMES = st.lists(st.sampled_from(["a", "b", ".git", "hooks"]), min_size=1, max_size=5).map("/".join)


@given(root=_NAMES, closed=st.lists(_NAMES, max_size=4), path=_NAMES)
def test_nothing_at_below_or_above_what_is_closed_is_replaced(root: str, closed: list[str], path: str) -> None:
    root, path = f"/{root}", f"/{root}/{path}"
    shut = [f"{root}/{each}" for each in closed]
    guard = Guard([root], [], shut, [])

    touches = any(f"{path}/".startswith(f"{each}/") or f"{each}/".startswith(f"{path}/") for each in shut)

    assert guard.may_replace(path) == (not touches)


@given(closed=st.lists(_NAMES, max_size=3), more=_NAMES, path=_NAMES)
def test_closing_more_never_opens_anything(closed: list[str], more: str, path: str) -> None:
    shut = [f"/w/{each}" for each in closed]
    before, after = Guard(["/w"], [], shut, []), Guard(["/w"], [], [*shut, f"/w/{more}"], [])

    assert before.may_change(f"/w/{path}") >= after.may_change(f"/w/{path}")
    assert before.may_replace(f"/w/{path}") >= after.may_replace(f"/w/{path}")
