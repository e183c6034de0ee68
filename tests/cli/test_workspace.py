"""`ringfence workspace`, as a person types it after a session."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

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


def test_a_second_undo_says_that_nothing_is_left_and_shows_no_way_back_from_it(person: Person) -> None:
    session = _ran(person)
    first = person.types("workspace", "undo", session)

    second = person.types("workspace", "undo", session)

    assert "  undo it  `ringfence workspace undo undo-" in first.out
    assert (second.code, second.out) == (0, f"ringfence: nothing is left to undo in {person.project}\n")


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


_STAGED = """
seq 1 60 | sed 's/^3$/three/;s/^50$/fifty/' > numbers; rm notes.txt; echo '{}' > package-lock.json
mkdir new; echo n > new/file; ln -s /etc/passwd leak; git add numbers; git commit -qm two
"""


def _subjects(person: Person) -> list[str]:
    words = ("git", "-c", "safe.directory=*", "log", "--format=%s")
    return subprocess.run(
        words, cwd=person.project, env=person.environment, capture_output=True, check=True, text=True
    ).stdout.split()


def _at_terminal(person: Person, answers: str, *words: str) -> str:
    ours, theirs = os.openpty()
    running = person.start(*words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    os.write(ours, answers.encode())
    screen = b""
    try:
        while part := os.read(ours, 65536):
            screen += part
    except OSError:
        pass
    os.close(ours)
    running.wait(timeout=60)
    return screen.decode()


def _staged(person: Person) -> str:
    (person.project / "notes.txt").write_text("mine\n")
    (person.project / "numbers").write_text("".join(f"{number}\n" for number in range(1, 61)))
    (person.project / "x.sh").write_text(_STAGED)
    for path in person.project.iterdir():
        os.chown(path, person.uid, person.gid)
    person.git("init", "-q")
    person.git("add", "-A")
    person.git("commit", "-qm", "one")
    done = person.types("run", "--staged", "--", "bash", "x.sh")
    assert done.code == 0, done.err
    assert "ringfence workspace apply" in done.err
    assert (person.project / "notes.txt").exists()
    return str(json.loads(person.types("sessions", "--json").out.splitlines()[0])["session"])


def test_a_staged_session_is_looked_at_applied_and_undone(person: Person) -> None:
    session = _staged(person)

    stat = person.types("workspace", "diff", "--stat", session)
    asked = person.types("workspace", "apply", session)
    applied = person.types("workspace", "apply", "--yes", "--json", session)
    log = _subjects(person)
    rest = person.types("workspace", "apply", "--yes", "--accept", "lock-file", session)
    undone = person.types("workspace", "undo", session)

    assert "D notes.txt" in stat.out
    assert (asked.code, "nobody can be asked" in asked.err) == (64, True)
    assert "`--yes`; for 1 more, which have flags, `--accept lock-file` as well" in asked.err
    said = json.loads(applied.out)
    assert applied.code == 1
    assert [(one["path"], "lock-file" in one["flags"]) for one in said["left"]] == [("package-lock.json", True)]
    assert [one["path"] for one in said["refused"]] == ["leak"]
    assert log == ["two", "one"]
    assert "1 path applied" in rest.out
    assert undone.code == 0, undone.out
    assert (person.project / "notes.txt").read_text() == "mine\n"
    assert not (person.project / "new").exists()
    assert _subjects(person) == ["one"]


_IN_A_LINKED_TREE = """
echo more >> notes.txt; git commit -qam inside; git branch made; git config core.fsmonitor ./evil; git stash list
git config remote.up.url https://up.example/r; echo rest > new.txt; git log --format=%s; git worktree list
echo 'ref: refs/heads/x' > ../project/.git/worktrees/other/HEAD || echo closed
echo x > ../project/.git/hooks/post-checkout || echo closed
"""


def _linked(person: Person) -> tuple[Path, str]:
    """A linked working tree beside the repository, after a staged session in it."""
    (person.project / "notes.txt").write_text("mine\n")
    (person.project / "x.sh").write_text(_IN_A_LINKED_TREE)
    for path in person.project.iterdir():
        os.chown(path, person.uid, person.gid)
    person.git("init", "-q")
    person.git("add", "-A")
    person.git("commit", "-qm", "one")
    tree = person.project.parent / "tree"
    for branch in ("tree", "other"):
        person.git("worktree", "add", "-q", "-b", branch, f"../{branch}")
    done = person.types("run", "--staged", "--workspace", str(tree), "--", "bash", f"{tree}/x.sh")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:2] == ["inside", "one"], "Git worked inside"
    assert done.out.count("closed") == 2, "what belongs to others is closed"
    return tree, str(json.loads(person.types("sessions", "--json").out.splitlines()[0])["session"])


def _repository(project: Path) -> dict[str, bytes]:
    git = project / ".git"
    return {
        str(path.relative_to(git)): path.read_bytes()
        for path in git.rglob("*")
        if path.is_file() and "objects" not in path.parts
    }


def test_a_linked_working_tree_is_staged_with_the_repository_that_it_shares(person: Person) -> None:
    tree, session = _linked(person)
    before = _repository(person.project)
    where = ("--workspace", str(tree))

    stat = person.types("workspace", "diff", "--stat", session, *where)
    applied = person.types("workspace", "apply", "--yes", "--json", session, *where)
    after = _repository(person.project)
    undone = person.types("workspace", "undo", session, *where)

    assert "M notes.txt" in stat.out
    assert "M .git/refs/heads/tree" in stat.out
    said = json.loads(applied.out)
    assert [one["key"] for one in said["settings"]] == ["core.fsmonitor"]
    assert said["failed"] == []
    assert before["refs/heads/tree"] != after["refs/heads/tree"] == after["refs/heads/made"]
    assert b"up.example" in after["config"]
    assert b"evil" not in after["config"]
    assert after["worktrees/other/HEAD"] == before["worktrees/other/HEAD"]
    assert (undone.code, undone.err) == (0, "")
    assert _repository(person.project) == before
    assert (tree / "notes.txt").read_text() == "mine\n"


def test_what_becomes_of_changes_is_on_record(person: Person) -> None:
    tree, session = _linked(person)
    where = ("--workspace", str(tree))

    person.types("workspace", "apply", "--yes", session, "notes.txt", *where)
    person.types("workspace", "undo", session, *where)
    person.types("workspace", "discard", "--yes", session, *where)

    lines = person.types("log", session, "--json", "--event", "workspace.settled").out.splitlines()
    bodies = [json.loads(line)["body"] for line in lines]
    assert [(one["action"], one["files"], one.get("paths", [])) for one in bodies] == [
        ("apply", 1, ["notes.txt"]),
        ("undo", 1, ["notes.txt"]),
        ("discard", 0, []),
    ]
    assert _repository(person.project)["refs/heads/tree"] == _repository(person.project)["refs/heads/other"]


def test_nothing_is_applied_that_cannot_be_recorded(person: Person) -> None:
    tree, session = _linked(person)
    ledger = person.home / ".local/state/ringfence/ledger.db"
    ledger.write_bytes(b"\0" * ledger.stat().st_size)

    done = person.types("workspace", "apply", "--yes", session, "--workspace", str(tree))

    assert done.code != 0
    assert (tree / "notes.txt").read_text() == "mine\n"


def test_parts_of_a_file_are_chosen_at_a_terminal(person: Person) -> None:
    session = _staged(person)

    screen = _at_terminal(person, "n\ny\n", "workspace", "apply", "-i", session, "numbers")

    assert "(2/2) Apply this part?" in screen
    lines = (person.project / "numbers").read_text().split()
    assert (lines[2], lines[49]) == ("3", "fifty")
    assert "three" in person.types("workspace", "diff", session).out


def test_a_staged_session_can_be_discarded(person: Person) -> None:
    session = _staged(person)

    asked = person.types("workspace", "discard", session)
    dropped = person.types("workspace", "discard", "--yes", session)

    assert asked.code == 64
    assert dropped.code == 0
    assert person.types("workspace", "apply", "--yes", session).code == 64
    assert (person.project / "notes.txt").read_text() == "mine\n"


def test_opposite_modes_are_refused(person: Person) -> None:
    done = person.types("run", "--staged", "--direct", "--", "true")

    assert (done.code, "are opposites" in done.err) == (64, True)
