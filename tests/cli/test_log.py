"""`ringfence sessions` and `ringfence log`, on a real ledger."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.model.golden import EVENTS
from tests.telemetry.recorded import decided, ended, notice, started

from ringfence.cli.entry import main
from ringfence.model.action import ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.model.event import ApprovalTransition
from ringfence.telemetry.ledger import Ledger

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The place of a ledger that does not exist yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TZ", "UTC")
    return str(tmp_path / "ringfence" / "ledger.db")


async def record(path: str, session: str, *, end: bool = True) -> None:
    ledger = await Ledger.start(path, session=session)
    await ledger.record(started("codex"))
    await ledger.record(decided(Verdict.ALLOW))
    await ledger.record(decided(Verdict.DENY, ConnectAction(host="evil.example", port=443)))
    await ledger.record(decided(Verdict.DENY, FileAction(operation=FileOperation.READ, path="/k\x1b[2J")))
    if end:
        await ledger.record(ended(3))
    await ledger.close()


@pytest.fixture
def two_sessions(ledger: str) -> str:
    asyncio.run(record(ledger, "01first"))
    asyncio.run(record(ledger, "02second", end=False))
    return ledger


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    output = capsys.readouterr()
    return code, output.out, output.err


def objects(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_sessions_are_listed_newest_first(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = shown(capsys, "sessions", "--json")

    first, second = objects(out)
    assert code == 0
    assert (first["session"], second["session"]) == ("02second", "01first")
    assert second | {"started_ns": 0, "ended_ns": 0} == {
        "schema": 1,
        "session": "01first",
        "started_ns": 0,
        "ended_ns": 0,
        "agent": "codex",
        "argv": ["agent", "--flag"],
        "workspace": "/w",
        "tier": "A",
        "exit_code": 3,
        "outcome": "exited",
        "events": 5,
        "verdicts": {"allow": 1, "deny": 2},
    }
    assert first["outcome"] == "supervisor_lost"


def test_the_limit_counts_sessions(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(objects(shown(capsys, "sessions", "--json", "--limit", "1")[1])) == 1
    assert len(objects(shown(capsys, "sessions", "--json", "--limit", "0")[1])) == 2


def test_the_table_of_sessions_names_each(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = shown(capsys, "sessions")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["session", "02second", "01first"]
    assert "1 allowed, 2 denied" in out


def test_the_log_is_the_newest_sessions_timeline(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = shown(capsys, "log")

    lines = [re.sub(r"^\d\d:\d\d:\d\d\.\d{3}  ", "", line) for line in out.splitlines()]
    assert code == 0
    assert lines[0] == "session 02second"
    assert lines[2:] == [
        "▶ start    codex: agent --flag  (tier A, in /w)",
        "✓ allow    true  (rule: because)",
        "✗ deny     evil.example:443  (rule: because)",
        r"✗ deny     read /k\x1b[2J  (rule: because)",
        "■ end      supervisor_lost",
    ]
    assert "\x1b" not in out


def test_a_session_is_named_by_the_beginning_of_its_id(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "log", "01")[1].startswith("session 01first\n")


@pytest.mark.parametrize(("name", "found"), [("0", "more than one session"), ("x", "no session")])
def test_an_unclear_session_is_wrong_usage(
    two_sessions: str, capsys: pytest.CaptureFixture[str], name: str, found: str
) -> None:
    code, out, err = shown(capsys, "log", name)

    assert (code, out) == (64, "")
    assert f"{found} begins with `{name}`" in err
    assert "ringfence sessions" in err


@pytest.mark.parametrize(
    ("words", "events"),
    [
        (["--event", "decision"], ["decision"] * 3),
        (["--verdict", "deny"], ["decision"] * 2),
        (["--host", "EVIL.example"], ["decision"]),
        (["--since", "1h"], ["session.started", "decision", "decision", "decision", "session.ended"]),
        (["--since", "2999-01-01"], []),
    ],
)
def test_filters_choose_events(
    two_sessions: str, capsys: pytest.CaptureFixture[str], words: list[str], events: list[str]
) -> None:
    code, out, _ = shown(capsys, "log", "--json", *words)

    assert code == 0
    assert [each["event"] for each in objects(out)] == events


def test_questions_are_found_by_their_verdict(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def ask() -> None:
        writer = await Ledger.start(ledger, session="01asked")
        await writer.record(started())
        await writer.record(EVENTS["approval.requested"])
        await writer.record(decided(Verdict.DENY))
        await writer.close()

    asyncio.run(ask())

    (line,) = objects(shown(capsys, "log", "--json", "--verdict", "ask")[1])

    assert (line["event"], line["verdict"]) == ("approval.requested", "ask")


def test_the_timeline_leaves_out_what_it_has_said(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def answer() -> None:
        writer = await Ledger.start(ledger, session="01asked")
        await writer.record(started())
        for after in ("approved", "consumed"):
            await writer.record(
                ApprovalTransition(request="r", before="pending", after=after, actor="person:ada", channel="terminal")
            )
        await writer.close()

    asyncio.run(answer())

    timeline = shown(capsys, "log")[1]
    everything = objects(shown(capsys, "log", "--json", "--event", "approval.transition")[1])

    assert "is approved, by person:ada" in timeline
    assert "consumed" not in timeline
    assert len(everything) == 2


def test_a_json_line_has_its_place_and_the_whole_event(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = objects(shown(capsys, "log", "01", "--json", "--host", "evil.example")[1])

    assert (line["schema"], line["sequence"], line["session"], line["event"]) == (1, 2, "01first", "decision")
    body = line["body"]
    assert isinstance(body, dict)
    assert body["decision"]["action"]["host"] == "evil.example"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--event", "decisions"], "did you mean `decision`?"),
        (["--since", "yesterday"], "`yesterday` is not a moment"),
    ],
)
def test_a_filter_that_means_nothing_is_wrong_usage(
    two_sessions: str, capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    code, _, err = shown(capsys, "log", *words)

    assert code == 64
    assert text in err


@pytest.mark.parametrize("words", [["log"], ["sessions"], ["log", "verify"], ["log", "export"], ["log", "prove", "1"]])
def test_no_ledger_yet_says_how_to_get_one(ledger: str, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    code, out, err = shown(capsys, *words)

    assert (code, out) == (125, "")
    assert "there is no ledger" in err
    assert "ringfence run" in err
    assert not os.path.exists(ledger)


def test_verify_says_in_one_line_that_it_holds(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "log", "verify") == (0, "verified: 10 entries, 2 checkpoints\n", "")

    code, out, _ = shown(capsys, "log", "verify", "--json")
    (report,) = objects(out)
    assert (code, report["verified"], report["sealed"], report["faults"]) == (0, True, 10, [])


def test_verify_says_what_does_not_hold_and_where(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(two_sessions) as database:
        database.execute("DELETE FROM entry WHERE sequence = 6")
    database.close()

    code, out, err = shown(capsys, "log", "verify")
    as_json = shown(capsys, "log", "verify", "--json")

    assert code == 1
    assert "entry 6: entry 6 is missing" in err
    assert out.startswith("NOT verified: ")
    assert "only the first 5 entries are known to be as they were sealed" in out
    (report,) = objects(as_json[1])
    assert (as_json[0], report["verified"]) == (1, False)


def test_an_entry_whose_content_was_changed_is_not_among_those_that_are_as_sealed(
    two_sessions: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(two_sessions) as database:
        database.execute("UPDATE entry SET content = replace(content, 'because', 'becausE') WHERE sequence = 3")
    database.close()

    code, out, err = shown(capsys, "log", "verify")

    assert (code, err) == (1, "entry 3: the content of `decision` is not what was recorded\n")
    assert out == (
        "NOT verified: 1 fault in 10 entries; only the first 3 entries are known to be as they were sealed\n"
    )


def test_a_fault_that_runs_through_the_whole_record_is_told_where_it_begins(
    two_sessions: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(two_sessions) as database:
        database.execute("UPDATE entry SET content = content || ' '")
    database.close()

    _, out, err = shown(capsys, "log", "verify")

    assert err.splitlines()[0] == "entry 0: the content of `session.started` is not what was recorded"
    assert err.splitlines()[5:] == ["and 5 more, which `--json` lists"]
    assert out.startswith("NOT verified: 10 faults in 10 entries; only the first 0 entries")


def test_verify_of_a_file_that_is_no_ledger_fails(ledger: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(ledger).parent.mkdir()
    Path(ledger).write_text("something else " * 100)

    code, out, _ = shown(capsys, "log", "verify")

    assert code == 1
    assert out.startswith("NOT verified")


def test_a_proof_is_verified_and_a_changed_one_is_not(
    two_sessions: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = tmp_path / "proof.json"
    proof.write_text(shown(capsys, "log", "prove", "2")[1])
    good = shown(capsys, "log", "verify", "--proof", str(proof))
    proof.write_text(proof.read_text().replace("evil.example", "good.example"))
    bad = shown(capsys, "log", "verify", "--proof", str(proof))

    assert (good[0], good[1].split(":")[0]) == (0, "verified")
    assert (bad[0], bad[1].split(":")[0]) == (1, "NOT verified")


def test_an_event_that_does_not_exist_cannot_be_proved(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = shown(capsys, "log", "prove", "999")

    assert code == 64
    assert "no event is called `999`" in err


def test_the_export_is_the_whole_record(two_sessions: str, capsys: pytest.CaptureFixture[str]) -> None:
    everything = objects(shown(capsys, "log", "export", "--format", "jsonl")[1])
    one = objects(shown(capsys, "log", "export", "--session", "01")[1])

    assert [each["sequence"] for each in everything] == list(range(10))
    assert {each["session"] for each in one} == {"01first"}


@pytest.mark.slow
def test_following_shows_what_comes_and_stops_when_the_session_ends(ledger: str) -> None:
    async def follow() -> str:
        recorder = await Ledger.start(ledger, session="01live")
        await recorder.record(started())
        program = (sys.executable, "-m", "ringfence", "log", "--follow")
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
        process = await asyncio.create_subprocess_exec(*program, stdout=subprocess.PIPE, env=environment)
        assert process.stdout is not None
        try:
            head = (await process.stdout.readuntil(b"tier A")).decode()
            await recorder.record(notice("while you look"))
            seen = (await process.stdout.readuntil(b"while you look")).decode()
            await recorder.record(ended())
            await recorder.close()
            rest = (await process.stdout.read()).decode()
        except BaseException:
            process.kill()
            raise
        finally:
            await process.wait()
        return head + seen + rest

    async def within(seconds: float) -> str:
        async with asyncio.timeout(seconds):
            return await follow()

    text = asyncio.run(within(15))

    assert [line[14] for line in text.splitlines()[2:]] == ["▶", "!", "■"]


def test_a_file_that_holds_no_proof_is_named_with_how_to_make_one(
    two_sessions: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "proof.json"

    assert shown(capsys, "log", "verify", "--proof", str(missing)) == (
        64,
        "",
        f"ringfence: `{missing}` cannot be read: No such file or directory\n"
        "  what to do: make one with `ringfence log prove EVENT > FILE`\n",
    )
