"""The Python API, as a platform builder meets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import ringfence
from ringfence.model.decision import Verdict
from ringfence.model.situations import ProgramNotFound, SandboxUnavailable, UsageInvalid
from ringfence.session.sources import places
from ringfence.telemetry.reader import LedgerReader, Wanted

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return home / "project"


@pytest.fixture
async def session(project: Path) -> AsyncIterator[ringfence.Session]:
    async with ringfence.Session(workspace=project) as session:
        yield session


async def test_a_command_gives_its_streams_and_exit_code(session: ringfence.Session) -> None:
    result = await session.exec(["sh", "-c", "cat; echo err >&2; exit 3"], input="given")

    assert (result.exit_code, result.stdout, result.stderr) == (3, "given", "err\n")
    assert not result.denied


async def test_a_denial_is_a_value_and_nothing_runs(session: ringfence.Session, project: Path) -> None:
    result = await session.exec(["sudo", "touch", str(project / "ran")])

    assert (result.denied, result.exit_code, result.decision.verdict) == (True, 126, Verdict.DENY)
    assert not (project / "ran").exists()


async def test_commands_run_at_once(session: ringfence.Session) -> None:
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(session.exec(["sh", "-c", f"sleep 0.1; echo {n}"])) for n in range(20)]

    assert [one.result().stdout for one in running] == [f"{n}\n" for n in range(20)]


async def test_a_time_out_ends_the_command_and_what_it_started(session: ringfence.Session, project: Path) -> None:
    waiting = "until [ -e now ]; do sleep 0.05; done; touch late"
    result = await session.exec(["sh", "-c", f"({waiting}) & sleep 100"], timeout=0.3)
    (project / "now").touch()
    await asyncio.sleep(0.5)

    assert (result.timed_out, result.exit_code) == (True, 128 + 9)
    assert not (project / "late").exists()


async def test_output_that_is_larger_than_a_pipe_arrives_whole(session: ringfence.Session) -> None:
    result = await session.exec(["cat"], input=b"x" * 3_000_000)

    assert len(result.stdout) == 3_000_000


async def test_a_program_that_is_not_there_is_a_situation(session: ringfence.Session) -> None:
    with pytest.raises(ProgramNotFound, match="no-such-program"):
        await session.exec(["no-such-program"])
    assert (await session.exec(["true"])).exit_code == 0


async def test_questions_about_actions_are_decided_without_running_them(session: ringfence.Session) -> None:
    verdicts = [
        (await session.may_write("inside.txt")).verdict,
        (await session.may_read("~/.ssh/id_rsa")).verdict,
        (await session.may_connect("169.254.169.254", 80)).verdict,
    ]

    assert verdicts == [Verdict.ALLOW, Verdict.DENY, Verdict.DENY]


async def test_an_error_of_the_caller_comes_back_as_it_was(project: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with ringfence.Session(workspace=project) as session:
            await session.exec(["true"])
            raise ZeroDivisionError


async def test_everything_that_ran_is_on_record_with_its_end(project: Path) -> None:
    async with ringfence.Session(workspace=project) as session:
        await session.exec(["true"])
        number = session.id

    reader = LedgerReader(places({"HOME": str(project.parent)}).ledger)
    names = [found.event for found in reader.events(Wanted(session=number))]
    reader.close()
    assert names == ["session.started", "decision", "command.started", "command.ended", "session.ended"]


async def test_a_session_that_is_not_open_says_so(project: Path) -> None:
    with pytest.raises(UsageInvalid, match="not open"):
        await ringfence.Session(workspace=project).exec(["true"])


async def test_a_workspace_that_does_not_exist_is_refused(project: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="does not exist"):
        async with ringfence.Session(workspace=project / "nowhere"):
            pass
