"""Attacks on a sandbox of the user's own machine, each of which has to fail there; for `ringfence doctor`.

They touch nothing that they could harm if they succeeded: a folder of their own beside the workspace, and reading.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

import msgspec

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
from ringfence.sandbox.launch import Sandbox, launch
from ringfence.sandbox.plan import HostFacts, build_plan

_SECONDS = 10.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attack."""

    name: str
    stopped: bool
    detail: str = ""
    """What was seen, where it was not stopped."""


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """A shell script that prints `THROUGH` where it succeeds."""

    name: str
    script: str
    tiers: str = "AB"


SCRIPTS = (
    Attack(name="write outside the workspace", script='echo x > "$OUTSIDE/file" && echo THROUGH'),
    Attack(name="write to system folders", script="touch /usr/bin/rf-x /etc/rf-x && echo THROUGH"),
    Attack(name="read the keys in ~/.ssh", script='ls "$HOME/.ssh" && echo THROUGH'),
    Attack(name="read files of your HOME", script='{ head -c 1 "$WITNESS" || ls "$WITNESS/"; } && echo THROUGH'),
    Attack(name="read a secret beside the workspace", script='cat "$OUTSIDE/secret" && echo THROUGH'),
    Attack(name="read an .env file", script="grep . .env && echo THROUGH", tiers="A"),
    Attack(name="change the mode of a file elsewhere", script='chmod 666 "$OUTSIDE/secret" && echo THROUGH'),
    Attack(name="plant a git hook", script="echo x > .git/hooks/pre-commit && echo THROUGH"),
    Attack(name="replace .git", script="mv .git .git2 && echo THROUGH"),
    Attack(name="plant agent settings", script="mkdir -p .claude && echo x > .claude/settings.json && echo THROUGH"),
    Attack(name="see processes of yours", script='kill -0 "$PARENT" && echo THROUGH'),
    Attack(name="look into process 1", script="cat /proc/1/environ /proc/1/mem && echo THROUGH"),
    Attack(name="new user namespace", script="unshare -Ur true && echo THROUGH"),
    Attack(name="mount something", script="mount -t tmpfs none /tmp && echo THROUGH"),
    Attack(name="have a capability", script="grep -q 'CapEff:.*[1-9a-f]' /proc/self/status && echo THROUGH"),
    Attack(name="change kernel settings", script="echo 1 > /proc/sys/kernel/core_pattern && echo THROUGH"),
    Attack(name="reach the host's loopback", script='exec 3<>"/dev/tcp/127.0.0.1/$PORT" && echo THROUGH'),
)
"""The attacks that need no more than a shell."""


async def attack(facts: HostFacts, folder: str, tier: str) -> tuple[Outcome, ...]:
    """Start a sandbox of a tier with a workspace in `folder` and try everything."""
    workspace, outside = os.path.join(folder, "workspace"), os.path.join(folder, "outside")
    _furnish(workspace, outside, tier)
    plan = build_plan(_policy(), facts=facts, workspace=workspace)
    with socket.create_server(("127.0.0.1", 0)) as host:
        environment = {
            "PATH": _PATH,
            "HOME": facts.home,
            "OUTSIDE": outside,
            "PARENT": str(os.getpid()),
            "PORT": str(host.getsockname()[1]),
            "WITNESS": _witness(facts.home),
        }
        async with launch(plan, tier=tier) as sandbox:
            scripts = [each for each in SCRIPTS if tier in each.tiers]
            outcomes = [await _try(sandbox, each, workspace, environment) for each in scripts]
            outcomes.append(await _escape_by_address(sandbox, workspace, environment))
    return tuple(outcomes)


def _furnish(workspace: str, outside: str, tier: str) -> None:
    os.makedirs(os.path.join(workspace, ".git", "hooks"))
    os.makedirs(outside)
    # Tier B cannot hide a file in a folder that can be written, and refuses such a workspace.
    secrets = [os.path.join(outside, "secret"), *([os.path.join(workspace, ".env")] if tier == "A" else [])]
    for path in secrets:
        with open(path, "w", encoding="ascii") as file:
            file.write("SECRET=1\n")


def _witness(home: str) -> str:
    """Something that lies in HOME and that no sandbox shows."""
    try:
        names = sorted(os.listdir(home))
    except OSError:
        names = []
    hidden = [name for name in names if name in (".ssh", ".bash_history", ".profile", ".bashrc", ".cache", ".aws")]
    return os.path.join(home, (hidden or [".ssh"])[0])


def _policy() -> Policy:
    origin = Origin(layer="built-in", source="doctor")
    rules = ((":workspace", Access.WRITE), ("**/.env", Access.DENY), ("~/.ssh", Access.DENY))
    return Policy(
        preset="doctor",
        filesystem=tuple(PathRule(pattern=pattern, access=access, origin=origin) for pattern, access in rules),
        network=NetworkPolicy(default=Verdict.DENY, default_origin=origin),
        commands=CommandPolicy(),
        environment=EnvironmentPolicy(),
        approvals=ApprovalPolicy(),
        min_tier="A",
        layers=(),
    )


async def _try(sandbox: Sandbox, each: Attack, workspace: str, environment: dict[str, str]) -> Outcome:
    output = await _run(sandbox, each.script, workspace, environment)
    # An attack that did not come to its end was not stopped by the sandbox: that is said too.
    through = "THROUGH" in output or "DONE" not in output
    return Outcome(name=each.name, stopped=not through, detail=output.replace("DONE", "").strip()[:200])


async def _escape_by_address(sandbox: Sandbox, workspace: str, environment: dict[str, str]) -> Outcome:
    """A connection to an outside address has to arrive at our own listener, and nowhere else."""
    arrived: list[bytes] = []
    script = "exec 3<>/dev/tcp/192.0.2.1/443 && head -c 7 <&3"
    loop = asyncio.get_running_loop()
    listener = sandbox.listeners.get("capture4")
    if listener is None:
        sandbox.take_arrivals(lambda kind, made: _greet(made, arrived) if kind.startswith("capture4") else made.close())
        output = await _run(sandbox, script, workspace, environment)
    else:
        loop.add_reader(listener.fileno(), _greeting(listener, arrived))
        try:
            output = await _run(sandbox, script, workspace, environment)
        finally:
            loop.remove_reader(listener.fileno())
    stopped = bool(arrived) and "GATEWAY" in output
    return Outcome(name="connect past the gateway", stopped=stopped, detail=output[:200])


def _greeting(listener: socket.socket, arrived: list[bytes]) -> Callable[[], None]:
    def greet() -> None:
        _greet(listener.accept()[0], arrived)

    return greet


def _greet(connection: socket.socket, arrived: list[bytes]) -> None:
    with connection:
        connection.send(b"GATEWAY")
        arrived.append(b"")


async def _run(sandbox: Sandbox, script: str, workspace: str, environment: dict[str, str]) -> str:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        argv = ("bash", "-c", f"{script}\necho DONE")
        command = await sandbox.spawn(argv, env=environment, cwd=workspace, stdin=null, stdout=writer, stderr=writer)
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
        os.close(null)
    try:
        async with asyncio.timeout(_SECONDS):
            await command.wait()
    except TimeoutError:
        command.signal(9)
        await command.wait()
    # Everything was written before the command ended, and a pipe holds more than these scripts print.
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb") as file:
        return (file.read() or b"").decode(errors="replace")
