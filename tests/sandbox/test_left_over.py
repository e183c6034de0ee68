"""What a session left that was killed is cleared away; where there is nothing, nothing is loaded for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ringfence.sandbox import stubs
from ringfence.sandbox.left_over import clear

_GONE = "999999999-workspace"
"""A process number that no kernel gives."""


def test_copies_of_a_session_that_is_gone_are_removed_and_those_of_one_that_runs_stay(tmp_path: Path) -> None:
    (tmp_path / "git" / _GONE).mkdir(parents=True)
    (tmp_path / "git" / "1-workspace").mkdir()

    clear(str(tmp_path))

    assert [each.name for each in (tmp_path / "git").iterdir()] == ["1-workspace"]


def test_place_holders_of_a_session_that_was_killed_are_removed(tmp_path: Path) -> None:
    workspace, state = tmp_path / "w", tmp_path / "state"
    workspace.mkdir()
    stub = stubs.Stub(workspace=str(workspace), name=".envrc", content="")
    program = (
        "import sys, os; from ringfence.sandbox import stubs\n"
        "stub = stubs.Stub(workspace=sys.argv[1], name='.envrc', content='')\n"
        "stubs.claim(sys.argv[2], lambda standing: (stub,), 'x'); os._exit(9)"
    )
    subprocess.run((sys.executable, "-c", program, workspace, state), check=False)
    before = (workspace / stub.name).exists()

    removed = clear(str(state))

    assert (before, removed, list(workspace.iterdir())) == (True, 1, [])


@pytest.mark.parametrize("anew", [False, True], ids=["", "another session began since"])
def test_place_holders_go_with_their_session_where_somebody_removed_what_says_so(tmp_path: Path, anew: bool) -> None:
    workspace, state = tmp_path / "w", tmp_path / "state"
    workspace.mkdir()
    wanted = [stubs.Stub(workspace=str(workspace), name=name, content=None) for name in (".a", ".a/b")]
    _, release = stubs.claim(str(state), lambda _: tuple(wanted), "x")
    shutil.rmtree(state)
    if anew:
        other = stubs.Stub(workspace=str(workspace), name=".other", content="")
        _, release_other = stubs.claim(str(state), lambda _: (other,), "y")

    release()

    assert [each.name for each in workspace.iterdir()] == ([".other"] if anew else [])
    if anew:
        release_other()
        assert list(workspace.iterdir()) == []


def test_where_nothing_was_left_next_to_nothing_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys; from ringfence.sandbox.left_over import clear\nprint(clear(sys.argv[1]), 'msgspec' in sys.modules)"
    )

    done = subprocess.run((sys.executable, "-c", program, tmp_path), capture_output=True, text=True, check=True)

    assert done.stdout == "0 False\n"
