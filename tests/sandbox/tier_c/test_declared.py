"""Tier C: no sandbox of ours. Nothing runs in it unless the policy declares what holds the session, and then what needs
no sandbox still works."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import msgspec
import pytest
from tests.sandbox.boxes import SYSTEM_PATH, Box, Place

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import Limits
from ringfence.sandbox import probe
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.probe import require
from ringfence.sandbox.strongest import start_strongest

BOUNDARY = "the job's own virtual machine"


@pytest.fixture
async def held(place: Place) -> AsyncIterator[Box]:
    plan = msgspec.structs.replace(place.plan(), boundary=BOUNDARY, limits=Limits(open_files=300, file_mb=1))
    sandbox = await Sandbox.start(plan, tier="C")
    yield Box(sandbox, place)
    await sandbox.close()


def test_tier_c_is_refused_unless_it_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_obstacle", "_obstacle_to_b"):
        monkeypatch.setattr(probe, name, lambda: ("the kernel offers nothing", ""))

    with pytest.raises(SandboxUnavailable, match="does not declare what holds the session") as refused:
        require("C")
    assert "`boundary = " in refused.value.remedy
    with pytest.raises(SandboxUnavailable):
        require("B", BOUNDARY)
    assert require("C", BOUNDARY) == ("C",)


def test_a_declaration_never_makes_a_stronger_tier_give_way() -> None:
    assert "C" not in require("A", BOUNDARY)
    assert require("C", BOUNDARY)[-1] == "C"


async def test_the_strongest_tier_is_taken_although_c_is_declared(place: Place) -> None:
    plan = msgspec.structs.replace(place.plan(), boundary=BOUNDARY)
    sandbox = await start_strongest(plan, require("C", BOUNDARY), on_lost=lambda: None)
    try:
        assert dict(sandbox.enforcement)["tier"] == require("C", BOUNDARY)[0]
    finally:
        await sandbox.close()


async def test_it_says_loudly_what_it_is(held: Box) -> None:
    assert held.sandbox.notices[0].startswith("THIS SESSION HAS NO SANDBOX (tier C)")
    assert BOUNDARY in held.sandbox.notices[0]
    assert dict(held.sandbox.enforcement) == {
        "tier": "C",
        "boundary": BOUNDARY,
        "landlock": "none",
        "seccomp": "none",
        "capture": "proxy variables only",
        "namespaces": "none",
        "limits": "open_files by rlimit, file_mb by rlimit",
    }


async def test_programs_run_within_limits_and_find_the_gateway(held: Box) -> None:
    variables = held.sandbox.variables

    shown = await held.shell(
        'ulimit -n; echo "$https_proxy"; cd; pwd; grep NoNewPrivs /proc/self/status', env=dict(variables)
    )

    port = held.sandbox.listeners["proxy"].getsockname()[1]
    assert shown.out == f"300\nhttp://127.0.0.1:{port}\n{variables['HOME']}\nNoNewPrivs:\t1\n"
    connected = await held.shell(f"exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected")
    assert connected.out == "connected\n"


async def test_everything_ends_with_the_session_and_its_folders_go(place: Place) -> None:
    sandbox = await Sandbox.start(msgspec.structs.replace(place.plan(), boundary=BOUNDARY), tier="C")
    home = sandbox.variables["HOME"]
    assert os.path.isdir(home)
    started = await Box(sandbox, place).shell("setsid sleep 30 </dev/null >/dev/null 2>&1 & echo $!")
    pid = int(started.out)
    assert os.path.exists(f"/proc/{pid}")

    await sandbox.close()

    async with asyncio.timeout(5):
        while os.path.exists(f"/proc/{pid}"):
            await asyncio.sleep(0.01)
    assert not os.path.exists(home)


async def test_a_terminal_of_its_own_works(held: Box) -> None:
    pty = await held.sandbox.open_pty(24, 80)
    command = await held.sandbox.spawn(
        ("sh", "-c", "test -t 0 && echo terminal"),
        env={"PATH": SYSTEM_PATH},
        cwd=str(held.place.workspace),
        stdin=pty,
        stdout=pty,
        stderr=pty,
    )

    assert await command.wait() == 0
    assert os.read(pty.master, 100) == b"terminal\r\n"
    os.close(pty.master)
