"""`ringfence policy test`, `replay` and `learn`, on what real sessions recorded."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.cli.conftest import Person

pytestmark = pytest.mark.slow


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def session(person: Person) -> str:
    return str(rows(person.types("sessions", "--json").out)[0]["session"])


def work(person: Person) -> str:
    """A session that asked for a host, a path and a push, with nobody there to answer."""
    script = "curl -s http://a.test/x; curl -s https://b.test; curl -s http://169.254.169.254/; true"
    (person.project / "fetch.sh").write_text(script)
    done = person.types("exec", "--", "bash", "fetch.sh")
    assert done.code == 0, done.err
    return session(person)


def test_a_test_that_fails_is_named_with_its_place_and_its_rules(person: Person) -> None:
    path = person.project / "ringfence.toml"
    path.write_text("[[test]]\nshell = 'git push'\nexpect = 'deny'\n[[test]]\nconnect = 'a b'\nexpect = 'deny'\n")

    done = person.types("policy", "test")

    lines = done.out.splitlines()
    assert done.code == 1
    assert lines[0].startswith(f"{path}:1: expected deny, got ask: ")
    assert "publish" in lines[1]
    assert lines[2].startswith(f"{path}:4: expected deny, got no verdict: ")
    assert lines[3].startswith("0 of 2 tests passed; ")


def test_coverage_counts_the_rules_of_ones_own_and_fails_below_what_is_asked_for(person: Person) -> None:
    (person.project / "ringfence.toml").write_text(
        "[[commands.rule]]\nid = 'one'\nprefix = ['x']\nverdict = 'deny'\nmatch = ['x']\n"
        "[[commands.rule]]\nid = 'two'\nprefix = ['y']\nverdict = 'deny'\n"
    )

    good, bad = (person.types("policy", "test", "--min-coverage", least, "--json") for least in ("50", "51"))

    assert (good.code, bad.code) == (0, 1)
    assert rows(good.out)[-1] == {
        "schema": 1,
        "kind": "summary",
        "tests": 0,
        "failed": 0,
        "rules": 2,
        "covered": 1,
        "coverage": 50,
    }
    assert [(one["rule"], one["covered"]) for one in rows(good.out)[:-1]] == [("one", True), ("two", False)]
    assert person.types("policy", "test", "--min-coverage", "101").code == 64


def test_replay_says_what_would_change_and_by_which_rule(person: Person) -> None:
    assert person.types("exec", "--", "git", "push").code == 126
    assert person.types("exec", "--", "true").code == 0
    stricter = person.home / "stricter.toml"
    stricter.write_text("[[commands.rule]]\nid = 'never'\nprefix = ['true']\nverdict = 'deny'\nreason = 'no'\n")

    same, loose, strict = (
        person.types("policy", "replay", *words) for words in ((), ("full-access",), (str(stricter),))
    )

    assert same.out.splitlines()[0] == "0 of 2 actions would change under the policy in force"
    assert loose.out.splitlines()[0] == "1 of 2 actions would change under `full-access`"
    assert "ask -> allow  1 time  no longer stopped by rule `publish`" in loose.out
    assert f"allow -> deny  1 time  by rule `never` (user, {stricter}:1): no\n    true\n" in strict.out
    only = person.types("policy", "replay", str(stricter), "--verdict", "allow")
    assert "allow -> deny" not in only.out


def test_replay_knows_what_a_session_had_opened_for_itself(person: Person) -> None:
    assert person.types("exec", "--allow-host", "a.test", "--", "curl", "-s", "http://a.test/").code != 126

    changed = rows(person.types("policy", "replay", "--json").out)

    assert changed == [
        {
            "schema": 1,
            "kind": "summary",
            "actions": 2,
            "sessions": 1,
            "changed": 0,
            "newly_allow": 0,
            "newly_ask": 0,
            "newly_deny": 0,
            "redacted": 0,
            "not_judged": {},
        }
    ]


@pytest.mark.skipif(shutil.which("patch") is None, reason="there is no `patch`")
def test_what_is_learned_applies_with_patch_and_leaves_nothing_to_ask_that_it_covers(person: Person) -> None:
    name = work(person)
    config = person.home / ".config" / "ringfence"
    subprocess.run(["mkdir", "-p", config], check=True, user=person.uid, group=person.gid)
    policy = config / "policy.toml"

    done = person.types("policy", "learn", name)

    assert done.code == 0, done.err
    assert not policy.exists()
    assert "nothing was changed" in done.err
    assert "also allows: POST /anything on b.test:443" in done.err
    subprocess.run(["patch", str(policy)], input=done.out, text=True, check=True, capture_output=True)
    assert person.types("policy", "check", str(policy)).code == 0
    changes = rows(person.types("policy", "replay", "--session", name, "--json").out)
    assert [(one["action"], one["before"], one["after"]) for one in changes if one["kind"] == "change"] == [
        (
            {"kind": "connect", "host": "a.test", "port": 80, "method": "GET", "path": "/x"},
            "ask",
            "allow",
        ),
        ({"kind": "connect", "host": "b.test", "port": 443, "method": None, "path": None}, "ask", "allow"),
    ]
    again = json.loads(person.types("policy", "learn", name, "--json").out)
    assert [one["needs_decision"] for one in again["proposals"]] == [True]


def test_learn_says_what_is_wrong_in_words(person: Person) -> None:
    assert person.types("policy", "learn").code == 125

    work(person)

    assert person.types("policy", "learn", "nothing").code == 64
    assert person.types("policy", "learn", "--policy", "/no/such/file").code == 64
    for content in (b"filesystem = 1\n", b"\xff\n"):
        (person.home / "bad.toml").write_bytes(content)
        done = person.types("policy", "learn", "--policy", str(person.home / "bad.toml"))
        assert (done.code, done.out) == (78, "")
        assert done.err.startswith(f"{person.home}/bad.toml:1:")


def test_learn_in_json_is_one_object_with_every_part(person: Person) -> None:
    learned = json.loads(person.types("policy", "learn", work(person), "--json").out)

    assert sorted(learned) == sorted(
        ["schema", "session", "file", "diff", "proposals", "not_covered", "already_allowed", "redacted", "not_usable"]
    )
    assert [one["toml"].splitlines()[2] for one in learned["proposals"]] == [
        'hosts = ["169.254.169.254:80"]',
        'hosts = ["a.test:80"]',
        'hosts = ["b.test:443"]',
    ]
    assert Path(learned["file"]) == person.home / ".config" / "ringfence" / "policy.toml"
