"""`ringfence verify`, as people run it: a few attacks of every outcome, the record behind it, and wrong words."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from ringfence.cli import verify
from ringfence.verify import battery
from ringfence.verify.arena import OWN_PORT
from ringfence.verify.attack import Attack
from ringfence.verify.campaign import campaign
from ringfence.verify.outcomes import Outcome, Row, holds, judge, lacking
from ringfence.verify.prove import Result
from ringfence.verify.sandboxes import possible_tiers
from ringfence.verify.stage import Ran
from ringfence.verify.warm import WITHOUT_NAMESPACES

_MAIN = "import sys; from ringfence.cli.entry import main; sys.exit(main())"
_ROW = next(row for row in battery.attacks() if row.id == "A18")


def _verify(home: Path, *words: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        (*before, sys.executable, "-c", _MAIN, *words),
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
    )


def _result(evidence: str | None, ended: str) -> Result:
    output = f"attack: began\nattack: ended {ended}\n"
    return Result(ran=Ran(status=0, output=output, errors=""), evidence=evidence)


@pytest.mark.slow
@pytest.mark.skipif("A" not in possible_tiers(), reason="tier A needs unprivileged user namespaces")
def test_the_result_is_shown_and_stands_in_a_record_that_verifies(tmp_path: Path) -> None:
    ran = _verify(tmp_path, "verify", "A1", "F79", "--tier", "A", "--json")
    checked = _verify(tmp_path, "log", "verify", "--json")
    logged = _verify(tmp_path, "log", "--json", "--event", "battery")

    result, event = json.loads(ran.stdout), json.loads(logged.stdout)
    assert (ran.returncode, ran.stderr, result["ok"], result["tiers"]) == (0, "", True, ["A"])
    assert [(row["id"], row["class"], row["outcome"]) for row in result["attacks"]] == [
        ("A1", "files", "stopped"),
        ("F79", "network", "stopped"),
    ]
    assert json.loads(checked.stdout)["verified"]
    assert event["sequence"] == result["entries"]["A"]
    assert event["body"]["results"] == [["A1", "stopped"], ["F79", "stopped"]]
    assert (event["body"]["battery"], event["body"]["holds"], event["body"]["whole"]) == (battery.digest(), True, False)


@pytest.mark.slow
@pytest.mark.skipif("B" not in possible_tiers(), reason="tier B needs Landlock's third generation")
def test_what_a_tier_is_known_not_to_stop_is_told_and_no_failure(tmp_path: Path) -> None:
    ran = _verify(tmp_path, "verify", "A18", "A1", "--tier", "B")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "A18   B   learn size and time of a private file: Landlock does not keep names" in ran.stdout
    assert "verified: 1 attacks that work on this machine were stopped." in ran.stdout


@pytest.mark.slow
@pytest.mark.skipif("B" not in possible_tiers(), reason="tier B needs Landlock's sixth generation")
def test_where_namespaces_are_forbidden_tier_b_is_tried_with_the_machines_own_loopback(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as another:
        with suppress(OSError):  # somebody else's has the port: as good
            another.bind(("127.0.0.1", OWN_PORT))
            another.connect(server.getsockname())
        ran = _verify(tmp_path, "verify", "F86", "F87", "--json", before=WITHOUT_NAMESPACES)

    result = json.loads(ran.stdout)
    outcomes = [(row["id"], row["outcome"]) for row in result["attacks"]]
    assert outcomes == [("F86", "stopped"), ("F87", "impossible")], ran.stdout
    assert (ran.returncode, result["tiers"], result["counts"]["B"]["escaped"]) == (0, ["B"], 0)


@pytest.mark.slow
@pytest.mark.skipif("A" not in possible_tiers(), reason="tier A needs unprivileged user namespaces")
def test_without_git_what_needs_it_is_impossible_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    (row,) = campaign([row for row in battery.attacks() if row.id == "A1"], ("A",))

    assert (row.outcome, row.detail) == (
        Outcome.IMPOSSIBLE,
        "it cannot be set up here: [Errno 2] No such file or directory: 'git'",
    )


@pytest.mark.slow
def test_a_run_that_nobody_waits_for_any_more_begins_no_attack() -> None:
    class Unwanted:
        def is_set(self) -> bool:
            return True

    assert campaign(battery.attacks(), ("A",), unwanted=Unwanted()) == []  # type: ignore[arg-type]


@pytest.mark.slow
def test_wrong_words_are_usage_errors_that_say_what_there_is(tmp_path: Path) -> None:
    ran = _verify(tmp_path, "verify", "A4711")

    assert (ran.returncode, ran.stdout) == (64, "")
    assert "no attack or class is called `A4711`" in ran.stderr
    assert "`kernel`" in ran.stderr


def test_the_battery_can_be_read_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    code = verify.main(["--list", "--json"])

    listed = json.loads(capsys.readouterr().out)
    assert (code, listed["battery"], len(listed["attacks"])) == (0, battery.digest(), len(battery.attacks()))
    wanted = {"id", "class", "tiers", "setup", "attack", "works", "ends"}
    assert [row["id"] for row in listed["attacks"] if not wanted <= set(row)] == []


@pytest.mark.parametrize(
    ("tier", "plain", "inside", "outcome"),
    [
        ("A", _result("seen", "done"), _result(None, "ENOENT"), Outcome.STOPPED),
        ("A", _result("seen", "done"), _result("seen", "done"), Outcome.ESCAPED),
        ("B", _result("seen", "done"), _result("seen", "done"), Outcome.KNOWN),
        ("A", _result("seen", "done"), _result(None, "error NameError"), Outcome.UNCLEAR),
        ("A", _result(None, "ENOENT"), None, Outcome.IMPOSSIBLE),
    ],
)
def test_an_outcome_is_judged_by_what_was_seen_outside(
    tier: str, plain: Result, inside: Result | None, outcome: Outcome
) -> None:
    assert judge(_ROW, tier, plain, inside).outcome is outcome


def test_a_tier_in_which_nothing_was_tried_does_not_hold() -> None:
    impossible = lacking(_ROW, "A", "no namespaces")
    stopped = msgspec.structs.replace(impossible, outcome=Outcome.STOPPED)
    escaped = msgspec.structs.replace(impossible, outcome=Outcome.ESCAPED)

    def verdict(*rows: Row) -> bool:
        return holds(rows, ("A",))

    assert [verdict(), verdict(impossible), verdict(stopped, impossible), verdict(stopped, escaped)] == [
        False,
        False,
        True,
        False,
    ]


def test_rows_with_unknown_keys_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `wroks`"):
        msgspec.convert({"id": "A1", "title": "x", "attack": ["x"], "wroks": ["x"], "ends": []}, Attack)
