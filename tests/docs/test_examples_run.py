"""What the pages tell people to type is typed here, in an empty folder, and prints what the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks, by_hand

pytestmark = pytest.mark.slow


class Person:
    """Somebody with a home folder, a project, and no network."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.project = folder / "my-project"
        self.home.mkdir()
        self.project.mkdir()
        subprocess.run(["git", "init", "-q", str(self.project)], check=True, env={**os.environ, "HOME": str(self.home)})

    def types(self, *words: str, program: str = "ringfence") -> tuple[int, str]:
        """A command line: its exit code and all that it prints, the project's folder as the pages write it."""
        start = ("-m", "ringfence") if program == "ringfence" else ()
        done = subprocess.run(
            [sys.executable, *start, *words],
            cwd=self.project,
            env={
                "HOME": str(self.home),
                "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
                "PYTHONPATH": str(ROOT / "src"),
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, (done.stdout + done.stderr).replace(str(self.project), "/home/you/my-project")


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


def test_the_first_rule_does_what_the_page_says(person: Person) -> None:
    page = by_hand()["getting-started.md"]
    rule = next(block.text for block in blocks("toml") if block.page == "getting-started.md")

    before = person.types("policy", "explain", "--", "make", "deploy")
    (person.project / "ringfence.toml").write_text(rule)
    checked = person.types("policy", "check")
    after = person.types("policy", "explain", "--", "make", "deploy")

    assert (before[0], checked[0], after[0]) == (0, 0, 0)
    assert before[1] in page
    assert checked[1] in page
    assert "\n".join(after[1].splitlines()[:2]) in page


def test_a_first_session_and_its_record_look_as_the_page_says(person: Person) -> None:
    page = by_hand()["getting-started.md"]

    code, told = person.types("run", "--", "sh", "-c", "echo all: > Makefile; exit 3")
    logged = person.types("log")
    verified = person.types("log", "verify")

    assert code == 3
    names = [line.split()[0] for line in told.splitlines() if line.startswith("  ")]
    assert names == ["actions", "files", "look", "undo", "record"]
    assert all(re.search(rf"^  {name}\b", page, re.MULTILINE) for name in names)
    assert "▶ start" in logged[1]
    assert "■ end" in logged[1]
    assert verified[0] == 0
    assert re.fullmatch(r"verified: \d+ entries, \d+ checkpoints?\n", verified[1])
    assert re.search(r"^verified: \d+ entries, \d+ checkpoints$", by_hand()["record.md"], re.MULTILINE)


def test_a_denied_push_prints_the_block_that_is_explained(person: Person) -> None:
    page = by_hand()["troubleshooting.md"]

    code, told = person.types("exec", "--ask", "deny", "--", "git", "push")

    assert code == 126
    assert without_lines(told) in without_lines(page)


def test_a_private_address_is_refused_in_the_words_of_the_page(person: Person) -> None:
    script = (
        "import urllib.error, urllib.request\n"
        "try:\n    urllib.request.urlopen('http://10.0.0.1/')\n"
        "except urllib.error.HTTPError as refused:\n    print(refused.read().decode())\n"
    )
    (person.project / "get.py").write_text(script)

    _, told = person.types("exec", "-q", "--", "python3", "get.py")

    assert told.partition("\n\n")[0] in by_hand()["network.md"]


def test_a_question_in_the_queue_says_how_it_is_answered(person: Person) -> None:
    (person.project / "ringfence.toml").write_text("[approvals]\ntimeout_seconds = 1\n")

    code, told = person.types("exec", "--ask", "queue", "--", "git", "push")

    assert code == 126
    assert without_ids("\n".join(told.splitlines()[:3])) in without_ids(by_hand()["approvals.md"])


def without_lines(text: str) -> str:
    """A text whose line numbers do not matter."""
    return re.sub(r"\.toml:\d+", ".toml:N", text)


def without_times(text: str) -> str:
    """A text whose times do not matter."""
    return re.sub(r"\d\d:\d\d:\d\d\.\d+|\b\d+(\.\d)? m?s\b", "T", text)


def without_ids(text: str) -> str:
    """A text whose ids do not matter."""
    return re.sub(r"\b[0-9a-z]{26}\b", "ID", text)


def test_git_in_a_workspace_works_and_fails_where_the_page_says(person: Person) -> None:
    (person.project / ".env").write_text("SECRET=1\n")
    script = (
        "git add s.sh && git -c user.name=a -c user.email=b commit -qm one && echo committed\n"
        "git init -q sub && echo nested\n"
        "git config a.b c && git config user.email mine && echo config set\n"
        "git add -A || echo secret refused\n"
    )
    (person.project / "s.sh").write_text(script)

    code, told = person.types("exec", "-q", "--ask", "deny", "--", "sh", "s.sh")

    assert code == 0
    said = [line for line in told.splitlines() if line in {"committed", "nested", "config set", "secret refused"}]
    assert said == ["committed", "nested", "config set", "secret refused"]
    settings = (person.project / ".git" / "config").read_text()
    assert "email = mine" in settings
    assert "b = c" not in settings
    assert 'open(".env"): Permission denied' in told


def test_the_home_made_agent_is_told_why(person: Person) -> None:
    agent = next(block.text for block in blocks("python") if block.page == "home-made-agents.md")
    (person.project / "agent.py").write_text(agent)

    code, told = person.types("run", "--", "python3", "agent.py", "ls", "cat .env", "git push")

    assert code == 0
    assert "$ ls\nagent.py\n" in told
    assert "$ cat .env\ndenied by ringfence (command, rule filesystem.deny:**/.env): " in told
    assert "$ git push\ndenied by ringfence (command, rule publish): " in told


def test_the_record_of_that_agent_reads_as_the_page_says(person: Person) -> None:
    agent = next(block.text for block in blocks("python") if block.page == "home-made-agents.md")
    (person.project / "agent.py").write_text(agent)

    person.types("run", "--ask", "deny", "--", "python3", "agent.py", "ls", "git push")
    _, told = person.types("log")

    page = without_times(by_hand()["record.md"])
    assert [line for line in without_times(told).splitlines()[2:] if line not in page] == []


def test_the_python_example_runs(person: Person) -> None:
    example = next(block.text for block in blocks("python") if block.page == "python-api.md")
    (person.home / "example.py").write_text(example)
    (person.project / "test_it.py").write_text(
        "import unittest\n\nclass T(unittest.TestCase):\n    def test_x(self): pass\n"
    )

    code, told = person.types(str(person.home / "example.py"), program="python")

    assert code == 0, told
    assert told.startswith("0 ---")
    assert "denied: " in told


def test_doctor_ends_as_the_page_says(person: Person) -> None:
    _, told = person.types("doctor")

    last = told.splitlines()[-1]
    assert last in by_hand()["getting-started.md"]
