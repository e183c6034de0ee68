"""`ringfence workspace`, as a person types it after a session."""

from __future__ import annotations

import json

import pytest
from tests.cli.conftest import Person

pytestmark = pytest.mark.slow

_LOSE = "rm -rf src; echo agent > notes.txt; echo more > new.txt"


def _ran(person: Person) -> str:
    (person.project / "src").mkdir()
    (person.project / "src" / "a.py").write_text("print(1)\n")
    (person.project / "notes.txt").write_text("mine\n")
    script = person.project / "x.sh"
    script.write_text(_LOSE)
    for path in (person.project, person.project / "src", person.project / "src" / "a.py", script):
        path.chmod(0o777)
    (person.project / "notes.txt").chmod(0o666)
    done = person.types("run", "--", "bash", "x.sh")
    assert done.code == 0, done.err
    assert "ringfence workspace undo" in done.err
    listed = person.types("sessions", "--json")
    return str(json.loads(listed.out.splitlines()[0])["session"])


def test_the_changes_of_a_session_are_shown_and_undone(person: Person) -> None:
    session = _ran(person)

    stat = person.types("workspace", "diff", "--stat", session)
    shown = person.types("workspace", "diff", session[:20])
    undone = person.types("workspace", "undo", session)

    assert "D src/a.py" in stat.out
    assert "M notes.txt" in stat.out
    assert "A new.txt" in stat.out
    assert "-mine\n+agent" in shown.out
    assert (undone.code, undone.err) == (0, "")
    assert (person.project / "src" / "a.py").read_text() == "print(1)\n"
    assert (person.project / "notes.txt").read_text() == "mine\n"
    assert not (person.project / "new.txt").exists()


def test_each_change_is_a_line_of_json(person: Person) -> None:
    session = _ran(person)

    lines = [json.loads(line) for line in person.types("workspace", "diff", "--json", session).out.splitlines()]

    assert {line["path"]: line["change"] for line in lines if not line["path"].startswith(".git")} == {
        "new.txt": "added",
        "notes.txt": "changed",
        "src": "deleted",
        "src/a.py": "deleted",
    }
    assert {line["schema"] for line in lines} == {1}


def test_a_path_that_leads_outside_is_refused(person: Person) -> None:
    session = _ran(person)

    done = person.types("workspace", "undo", session, "../x")

    assert (done.code, "relative to the workspace" in done.err) == (64, True)


def test_a_folder_without_snapshots_is_said(person: Person) -> None:
    done = person.types("workspace", "diff", "x")

    assert done.code != 0
    assert "there are no snapshots" in done.err
