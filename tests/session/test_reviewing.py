"""A reviewer in a real session: what it answers, what it cannot answer, and what the policy lets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.policy.making import document, policy

from ringfence.model.decision import Risk
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.effective import ReviewerKind
from ringfence.policy.layers import Layer

OPINION = {"risk_level": "low", "user_authorization": "high", "outcome": "allow", "rationale": "the secret reason"}
PROGRAM = """#!{python}
import json, sys
instructions, _, document = sys.stdin.read().rpartition("\\n{{")
asked = json.loads("{{" + document)
open({log!r}, "w").write(json.dumps(asked))
print({answer!r})
"""


class Session:
    """A person whose policy names a program as reviewer."""

    def __init__(self, folder: Path, answer: object, *, more: str = "", ceiling: str = "high") -> None:
        self.home, self.project, self.log = folder / "home", folder / "project", folder / "asked.json"
        settings = self.home / ".config" / "ringfence"
        settings.mkdir(parents=True)
        self.project.mkdir()
        program = folder / "review"
        text = answer if isinstance(answer, str) else json.dumps(answer)
        program.write_text(PROGRAM.format(python=sys.executable, log=str(self.log), answer=text))
        program.chmod(0o755)
        (settings / "policy.toml").write_text(
            f'{more}\n[approvals.reviewer]\nkind = "command"\nargv = ["{program}"]\nceiling = "{ceiling}"\n'
        )

    def types(self, *words: str, first: str = "/none") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "ringfence", *words),
            cwd=self.project,
            env={"HOME": str(self.home), "PATH": f"{first}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def ask(self) -> subprocess.CompletedProcess[str]:
        """A command that the policy asks about, and that does nothing."""
        return self.types("exec", "--ask", "deny", "--", "env", "VAR=1", "sh", "-c", "eval echo ran")


needs_time = pytest.mark.slow


@needs_time
def test_a_yes_of_a_reviewer_runs_the_command_and_is_on_record(tmp_path: Path) -> None:
    session = Session(tmp_path, OPINION)

    done = session.ask()

    assert (done.returncode, done.stdout.strip()) == (0, "ran"), done.stderr
    reviews = [
        json.loads(line)["body"] for line in session.types("log", "--json", "--event", "review").stdout.splitlines()
    ]
    assert [(one["conclusion"], one["risk"], one["reason"]) for one in reviews] == [
        ("allow", "low", "the secret reason")
    ]
    assert "the secret reason" not in done.stdout + done.stderr
    asked = json.loads(session.log.read_text())
    assert "eval echo ran" in asked["action"]["what"]
    assert next(iter(asked["history"][0])) == "person"


@needs_time
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({**OPINION, "outcome": "deny"}, 126),
        ("yes, go ahead", 126),
        ({**OPINION, "risk_level": "critical"}, 126),
    ],
)
def test_whatever_is_no_yes_within_its_limits_leaves_the_question_to_people(
    answer: object, code: int, tmp_path: Path
) -> None:
    assert Session(tmp_path, answer).ask().returncode == code


@needs_time
def test_above_its_ceiling_a_yes_is_not_enough(tmp_path: Path) -> None:
    # What it does cannot be seen, which is a high risk whatever the reviewer calls it.
    assert Session(tmp_path, OPINION, ceiling="medium").ask().returncode == 126


@needs_time
def test_a_program_that_the_agent_could_replace_reviews_nothing(tmp_path: Path) -> None:
    session = Session(tmp_path, OPINION)
    program = session.project / "review"
    (tmp_path / "review").rename(program)
    (tmp_path / "review").symlink_to(program)

    assert session.ask().returncode == 126
    assert not session.log.exists()


@needs_time
def test_a_reviewer_finds_no_interpreter_that_the_agent_wrote(tmp_path: Path) -> None:
    session = Session(tmp_path, OPINION)
    program, own, ran = tmp_path / "review", session.project / "bin", tmp_path / "escaped"
    program.write_text(program.read_text().replace(f"#!{sys.executable}", "#!/usr/bin/env python3"))
    own.mkdir()
    (own / "python3").write_text(f"#!/bin/sh\ntouch {ran}\n")
    (own / "python3").chmod(0o755)

    session.types("exec", "--ask", "deny", "--", "env", "VAR=1", "sh", "-c", "eval echo ran", first=str(own))

    assert session.log.exists()
    assert not ran.exists()


@needs_time
@pytest.mark.parametrize(
    "named",
    [
        '[approvals]\napprovers = ["@nobody-here"]\n',
        '[[approvals.quorum]]\nwho = ["@nobody-here"]\n',
        '[[approvals.step]]\nwho = ["@nobody-here"]\n',
        "[approvals]\nself_approval = false\n",
    ],
)
def test_what_is_left_to_named_people_is_not_put_to_a_reviewer(named: str, tmp_path: Path) -> None:
    session = Session(tmp_path, OPINION, more=named)

    assert session.ask().returncode == 126
    assert not session.log.exists()


def test_a_repository_names_no_reviewer_and_requirements_tighten_its_limits() -> None:
    mine = document("[approvals.reviewer]\nkind = 'features'\nceiling = 'high'\naudit_percent = 5\n")
    theirs = document("[approvals.reviewer]\nkind = 'command'\nargv = ['/tmp/x']\n", Layer.PROJECT)
    required = document("[approvals.reviewer]\nceiling = 'medium'\naudit_percent = 20\n", Layer.REQUIREMENTS)

    said = policy(mine, theirs, required).approvals

    assert said.reviewer is not None
    assert said.reviewer.kind is ReviewerKind.FEATURES
    assert said.reviewer_ceiling is Risk.MEDIUM
    assert said.reviewer_audit_percent == 20
    assert policy(theirs).approvals.reviewer is None
    assert any("a repository names no reviewer" in notice for notice in policy(theirs).notices)


@pytest.mark.parametrize(
    "text",
    [
        "kind = 'command'",
        "kind = 'command'\nargv = ['review']",
        "kind = 'anthropic'\nmodel = 'm'",
        "kind = 'anthropic'\nmodel = 'm'\nurl = 'http://far.test'",
        "kind = 'openai-chat'\nurl = 'https://x.test'",
        "kind = 'oracle'",
        "model = 'm'",
        "kind = 'features'\nceiling = 'critical'",
        "kind = 'features'\nseconds = 91",
    ],
)
def test_a_reviewer_that_is_not_complete_is_a_fault(text: str) -> None:
    with pytest.raises(PolicyInvalid):
        document(f"[approvals.reviewer]\n{text}\n")


def test_requirements_name_no_reviewer_of_their_own() -> None:
    with pytest.raises(PolicyInvalid):
        document("[approvals.reviewer]\nkind = 'features'\n", Layer.REQUIREMENTS)


@pytest.mark.slow
def test_speaking_to_models_is_loaded_only_where_one_is_asked() -> None:
    code = "import sys, ringfence.session.opening; print('ringfence.approvals.reviewing.asking' in sys.modules)"
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True, env={**os.environ})

    assert done.stdout.strip() == "False"
