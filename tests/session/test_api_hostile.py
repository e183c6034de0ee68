"""The Python API at its edges: commands that outlive their time, callers that change their mind, impossible words."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import ringfence
from ringfence.model.situations import UsageInvalid

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "home" / "project"
    folder.mkdir(parents=True)
    for name in [each for each in os.environ if each.startswith("XDG_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(folder)
    yield folder


async def test_a_detached_child_does_not_hold_a_call_longer_than_its_time(project: Path) -> None:
    async with ringfence.Session() as session:
        began = time.monotonic()

        result = await session.exec(["sh", "-c", "echo before; setsid sleep 60 & sleep 60"], timeout=0.5)

        assert time.monotonic() - began < 40
        assert (result.stdout, result.timed_out, result.truncated) == ("before\n", True, True)


async def test_a_cancelled_call_kills_its_command(project: Path) -> None:
    async with ringfence.Session() as session:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await session.exec(["sh", "-c", "touch started; sleep 1; touch went-on"])
        await session.exec(["sleep", "1"])

    assert (project / "started").exists()
    assert not (project / "went-on").exists()


async def test_what_was_decided_runs_although_the_caller_changes_its_list(project: Path) -> None:
    words = ["echo", "decided"]

    async with ringfence.Session() as session, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.exec(words))
        await asyncio.sleep(0)
        words[1] = "changed"

    assert running.result().stdout == "decided\n"


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        ("ls -l", {}),
        ([], {}),
        (["echo", "a\0b"], {}),
        (["echo"], {"env": {"A": "b\0c"}}),
        (["echo"], {"env": {"A=B": "c"}}),
        (["echo"], {"env": {"A": 1}}),
        (["echo"], {"cwd": "a\0b"}),
    ],
)
async def test_words_that_no_program_can_be_given_are_refused_and_the_session_goes_on(
    argv: object, options: dict[str, object], project: Path
) -> None:
    async with ringfence.Session() as session:
        with pytest.raises(UsageInvalid):
            await session.exec(argv, **options)  # type: ignore[arg-type]

        assert (await session.exec(["echo", "fine"])).stdout == "fine\n"
