"""What loses something that a snapshot brings back runs without a question, and can be undone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


class Project:
    """A repository with a change that is not committed, and the person whose it is."""

    def __init__(self, folder: Path) -> None:
        self.home, self.path = folder / "home", folder / "project"
        for made in (self.home, self.path):
            made.mkdir()
        self._git("init", "-q")
        (self.path / "f").write_text("committed\n")
        self._git("add", "f")
        self._git("-c", "user.name=a", "-c", "user.email=a@b.test", "commit", "-qm", "one")
        (self.path / "f").write_text("precious\n")

    def _git(self, *words: str) -> None:
        subprocess.run(("git", "-C", str(self.path), *words), check=True, env=self._environment())

    def _environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"}

    def types(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "ringfence", *words),
            cwd=self.path,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def session(self) -> str:
        return str(json.loads(self.types("log", "--json").stdout.splitlines()[0])["session"])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_reset_runs_after_a_snapshot_and_is_undone_to_the_byte(project: Project) -> None:
    before = sorted(os.listdir(project.path))

    done = project.types("exec", "--ask", "deny", "--", "git", "reset", "--hard")

    assert done.returncode == 0, done.stderr
    assert (project.path / "f").read_text() == "committed\n"
    undo = f"ringfence workspace undo {project.session} --action 1"
    assert undo in done.stderr
    undone = project.types(*undo.split()[1:])
    assert undone.returncode == 0, undone.stderr
    assert (project.path / "f").read_text() == "precious\n"
    assert sorted(os.listdir(project.path)) == before


def test_what_a_snapshot_does_not_hold_is_asked_about(project: Project) -> None:
    (project.path / ".gitignore").write_text("data/\n")
    (project.path / "data").mkdir()
    (project.path / "data" / "x").write_text("ignored\n")

    done = project.types("exec", "--ask", "deny", "--", "git", "clean", "-fdx")

    assert done.returncode == 126
    assert (project.path / "data" / "x").exists()


def test_where_no_whole_snapshot_can_be_taken_somebody_is_asked(project: Project) -> None:
    with open(project.path / "big", "wb") as stream:
        stream.truncate(600 * 1024 * 1024)

    done = project.types("exec", "--ask", "deny", "--", "git", "reset", "--hard")

    assert done.returncode == 126
    assert (project.path / "f").read_text() == "precious\n"
    assert "could not be undone" in project.types("log").stdout


def test_whoever_wants_to_be_asked_is_asked(project: Project) -> None:
    settings = project.home / ".config" / "ringfence"
    settings.mkdir(parents=True)
    (settings / "policy.toml").write_text("[[commands.rule]]\nid = 'mine'\neffects = ['destroy']\nverdict = 'ask'\n")

    done = project.types("exec", "--ask", "deny", "--", "git", "reset", "--hard")

    assert done.returncode == 126
    assert (project.path / "f").read_text() == "precious\n"


def test_a_repository_in_an_ignored_folder_is_not_kept_and_asked_about(project: Project) -> None:
    (project.path / ".gitignore").write_text("vendor/\n")
    inner = project.path / "vendor" / "inner"
    inner.mkdir(parents=True)
    for words in (
        ("init", "-q"),
        ("add", "f"),
        ("-c", "user.name=a", "-c", "user.email=a@b.test", "commit", "-qm", "x"),
    ):
        (inner / "f").write_text("committed\n")
        project._git("-C", "vendor/inner", *words)
    (inner / "f").write_text("precious\n")

    done = project.types("exec", "--ask", "deny", "--", "sh", "-c", "cd vendor/inner && git reset --hard")

    assert done.returncode == 126
    assert (inner / "f").read_text() == "precious\n"


def test_the_branches_of_a_linked_working_tree_are_not_kept_and_asked_about(project: Project) -> None:
    linked = project.path.parent / "linked"
    project._git("worktree", "add", "-q", "-b", "other", str(linked))
    project._git("branch", "topic")
    project.path = linked

    done = project.types("exec", "--ask", "deny", "--", "git", "branch", "-D", "topic")

    assert done.returncode == 126
    project._git("rev-parse", "-q", "--verify", "topic")
