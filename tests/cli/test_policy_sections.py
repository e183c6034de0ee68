"""Sections of a policy that a session enforces, seen from inside one."""

from __future__ import annotations

import json
import os

import pytest
from tests.cli.conftest import Person

pytestmark = pytest.mark.slow


def policy(person: Person, text: str) -> None:
    path = person.home / ".config" / "ringfence" / "policy.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_files_and_descriptors_are_limited_for_every_process_inside(person: Person) -> None:
    policy(person, "[limits]\nopen_files = 300\nfile_mb = 1\n")

    done = person.types("exec", "-q", "--", "sh", "-c", "ulimit -Hn; head -c 2000000 /dev/zero > big; wc -c < big")

    assert done.out.split() == ["300", "1048576"]


def test_a_session_ends_when_its_time_is_over(person: Person) -> None:
    policy(person, "[limits]\nwall_seconds = 1\n")

    done = person.types("exec", "-q", "--", "sleep", "60")

    assert done.code != 0
    assert "limits.wall_seconds" in done.err


def test_an_agent_that_may_not_run_does_not(person: Person) -> None:
    policy(person, "[agents]\nallowed = ['codex']\n")

    done = person.types("exec", "-q", "--", "true")

    assert done.code == 126
    assert "agent `generic` may not run here (agents.allowed, user," in done.err


def test_a_session_with_a_server_of_tools_that_starts_unseen_is_told_of_or_refused(person: Person) -> None:
    program = person.home / "bin" / "gemini"
    settings = person.project / ".gemini" / "settings.json"
    for file, content in (
        (program, "#!/bin/sh\necho started\n"),
        (settings, '{"mcpServers": {"a": {"command": "x"}}}'),
    ):
        file.parent.mkdir()
        file.write_text(content)
    program.chmod(0o755)

    path = {"PATH": f"{program.parent}:/usr/bin:/bin"}
    told = person.types("run", "--", "gemini", env=path)
    policy(person, "[mcp]\nunseen = 'deny'\n")
    refused = person.types("run", "--", "gemini", env=path)

    assert "started" in told.out, told.err
    assert "`a` of `" in told.err
    assert refused.code == 126
    assert "started" not in refused.out
    assert f"`a` of `{settings}` (the workspace is not ours to change) (mcp.unseen, user," in refused.err
    assert "ringfence mcp --name NAME" in refused.err


def test_what_a_policy_protects_cannot_be_written_replaced_or_moved_away(person: Person) -> None:
    policy(person, "[control_files]\nprotect = ['deploy/prod.sh', 'missing/x']\n")
    (person.project / "deploy").mkdir()
    (person.project / "deploy" / "prod.sh").write_text("safe\n")
    for path in (person.project, person.project / "deploy", person.project / "deploy" / "prod.sh"):
        os.chown(path, person.uid, person.gid)
    script = (
        "echo x > deploy/prod.sh; mv deploy gone; rm -f deploy/prod.sh; mkdir -p missing/x; echo y > deploy/new; true"
    )

    (person.project / "attempt.sh").write_text(script)
    person.types("exec", "-q", "--", "bash", "attempt.sh")

    assert (person.project / "deploy" / "prod.sh").read_text() == "safe\n"
    assert (person.project / "deploy" / "new").read_text() == "y\n"
    assert not (person.project / "missing" / "x").exists()


def test_a_variable_that_is_removed_does_not_reach_the_inside(person: Person) -> None:
    policy(person, "[environment]\nkeep = ['MINE']\nremove = ['LANG', 'MI*']\n")

    done = person.types("exec", "-q", "--", "bash", "-c", "compgen -e", env={"MINE": "x"})

    names = set(done.out.splitlines())
    assert names & {"LANG", "MINE"} == set()
    assert "RINGFENCE_SESSION" in names


def test_the_schema_and_the_registries_are_printed(person: Person) -> None:
    (person.home / ".npmrc").write_text("registry=https://mirror.test/npm\n")

    schema = json.loads(person.types("policy", "schema").out)
    looked = json.loads(person.types("policy", "registries", "npm", "--json").out)

    assert schema["title"] == "Ringfence policy"
    assert [(one["host"], one["where"]) for one in looked["places"]] == [("mirror.test:443", f"{person.home}/.npmrc:1")]
