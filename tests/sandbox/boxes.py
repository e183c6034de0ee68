"""A sandbox for a test: a made-up home with secrets in it, a workspace, and commands that are run to their end."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ringfence.model.decision import Verdict
from ringfence.policy.effective import (
    Access,
    ApprovalPolicy,
    CommandPolicy,
    EnvironmentPolicy,
    NetworkPolicy,
    Origin,
    PathRule,
    Policy,
)
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import HostFacts, Plan, build_plan

ORIGIN = Origin(layer="built-in", source="test:1")
RULES = (
    (":workspace", Access.WRITE),
    ("~/.gitconfig", Access.READ),
    ("**/.env", Access.DENY),
    ("~/.ssh", Access.DENY),
)
SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


def policy(rules: Iterable[tuple[str, Access]] = RULES, host_ports: tuple[int, ...] = ()) -> Policy:
    return Policy(
        preset="workspace",
        filesystem=tuple(PathRule(pattern=pattern, access=access, origin=ORIGIN) for pattern, access in rules),
        network=NetworkPolicy(default=Verdict.DENY, default_origin=ORIGIN, host_ports=host_ports),
        commands=CommandPolicy(),
        environment=EnvironmentPolicy(),
        approvals=ApprovalPolicy(),
        min_tier="A",
        layers=(),
    )


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """The made-up machine of a test."""

    root: Path
    home: Path
    workspace: Path
    state: Path

    def facts(self, path: str = SYSTEM_PATH) -> HostFacts:
        user = pwd.getpwuid(os.getuid()).pw_name
        return HostFacts(
            home=str(self.home),
            uid=os.getuid(),
            gid=os.getgid(),
            user=user,
            hostname="box",
            path=path,
            state=str(self.state),
        )

    def plan(self, rules: Iterable[tuple[str, Access]] = RULES, path: str = SYSTEM_PATH, **more: Any) -> Plan:
        return build_plan(policy(rules), facts=self.facts(path), workspace=str(self.workspace), **more)

    def git(self, *arguments: str) -> str:
        return self.host("git", "-c", "user.name=n", "-c", "user.email=e@x", *arguments)

    def host(self, *argv: str) -> str:
        environment = {"PATH": SYSTEM_PATH, "HOME": str(self.home)}
        done = subprocess.run(argv, cwd=self.workspace, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    def names(self) -> set[str]:
        return {str(path.relative_to(self.workspace)) for path in self.workspace.rglob("*")}


@dataclass
class Box:
    """A running sandbox and the way to run something in it."""

    sandbox: Sandbox
    place: Place

    async def run(self, *argv: str, stdin: int | None = None, env: Mapping[str, str] | None = None) -> Result:
        null = os.open(os.devnull, os.O_RDONLY)
        out, their_out = os.pipe()
        err, their_err = os.pipe()
        try:
            command = await self.sandbox.spawn(
                argv,
                env={"PATH": SYSTEM_PATH, "HOME": str(self.place.home), **(env or {})},
                cwd=str(self.place.workspace),
                stdin=null if stdin is None else stdin,
                stdout=their_out,
                stderr=their_err,
            )
        except BaseException:
            os.close(out)
            os.close(err)
            raise
        finally:
            for each in (null, their_out, their_err):
                os.close(each)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(asyncio.to_thread(_read, out))
            second = group.create_task(asyncio.to_thread(_read, err))
        return Result(await command.wait(), first.result(), second.result())

    async def shell(self, script: str, **more: Any) -> Result:
        return await self.run("bash", "-c", script, **more)

    async def python(self, script: str, **more: Any) -> Result:
        return await self.run("/usr/bin/python3", "-I", "-S", "-c", script, **more)


def _read(descriptor: int) -> str:
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="replace")


async def told_by_guard(box: Box, count: int) -> list[tuple[str, str]]:
    """What the guard says first, so many things, each with the last part of its path."""
    said: list[tuple[str, str]] = []
    box.sandbox.take_guard(lambda what, path: said.append((what, os.path.basename(path))))
    async with asyncio.timeout(20):
        while len(said) < count:
            await asyncio.sleep(0.01)
    return said


async def guard_asleep(box: Box) -> int:
    """How often the guard was woken, once it has nothing left to do."""
    before, count = -1, 0
    async with asyncio.timeout(20):
        while before != count:
            await asyncio.sleep(0.3)
            before, count = count, guard_woken(box)
    return count


def guard_woken(box: Box) -> int:
    with open(f"/proc/{box.sandbox._launcher}/status", encoding="ascii") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("voluntary_ctxt_switches"))
