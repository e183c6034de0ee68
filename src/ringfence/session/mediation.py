"""Asks for commands that a shell inside starts: a stand-in on PATH hands each command of a program that has profiles
out, with its streams, and this decides about it like about any other.

The stand-in is convenience and no boundary. What it says is judged as what anybody inside might say.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

from ringfence.agents.hook_answer import denial_text
from ringfence.model.decision import Verdict
from ringfence.model.event import CommandEnded, CommandStarted
from ringfence.model.ids import new_id
from ringfence.model.shown import PlacedFile
from ringfence.model.situations import RingfenceError
from ringfence.policy.effective import Policy
from ringfence.policy.profiles import UNCHANGED
from ringfence.sandbox.way_places import PROGRAMS
from ringfence.session.governed import Governed
from ringfence.session.placing import Started

_CLIENT = os.path.join(os.path.dirname(__file__), "command_client.py")
_LARGEST = 2 * 1024 * 1024
_STREAMS = 3
_PROFILE = "/etc/profile"
_READ_SECONDS = 10.0
_DENIED, _NOT_STARTED = 126, 125
_SIGNALS = frozenset({1, 2, 3, 10, 12, 15})


def mediated(policy: Policy) -> tuple[str, ...]:
    """The programs of which some commands have a plan of their own."""
    names = (name for profile in policy.commands.profiles for name in profile.prefix[0])
    return tuple(dict.fromkeys(names))


def stand_ins(policy: Policy, interpreter: str) -> tuple[PlacedFile, ...]:
    """The files that stand inside for those programs."""
    names = mediated(policy)
    if not names:
        return ()
    with open(_CLIENT, "rb") as file:
        content = b"#!" + os.fsencode(interpreter) + b" -IS\n" + file.read()
    programs = [PlacedFile(path=f"{PROGRAMS}/{name}", content=content, mode=0o555, made=True) for name in names]
    return (*programs, *_login_profile())


def _login_profile() -> tuple[PlacedFile, ...]:
    """The machine's settings of login shells, which set PATH anew, with the stand-ins put first again."""
    try:
        with open(_PROFILE, "rb") as file:
            content = file.read(_LARGEST)
    except OSError:
        return ()
    line = f'\nPATH="{PROGRAMS}:$PATH"\nexport PATH\n'
    return (PlacedFile(path=_PROFILE, content=content + line.encode(), mode=0o444, made=True),)


class Mediation:
    """Answers the stand-ins of a session."""

    def __init__(self, governed: Governed) -> None:
        self._governed = governed

    async def answer(self, client: socket.socket) -> None:
        """One command, from its question to its end."""
        streams: list[int] = []
        try:
            async with asyncio.timeout(_READ_SECONDS):
                argv, cwd, environment = _question(await _receive(client, streams))
            if len(streams) != _STREAMS:
                raise ValueError("a command has three streams")
            await self._run(client, argv, cwd, environment, streams)
        except (ValueError, KeyError) as fault:
            await _send(client, {"exit": _NOT_STARTED, "text": f"ringfence: the question cannot be read: {fault}"})
        except RingfenceError as situation:
            await _send(client, {"exit": _NOT_STARTED, "text": f"ringfence: {situation.message}"})
        finally:
            for descriptor in streams:
                os.close(descriptor)

    async def _run(
        self, client: socket.socket, argv: tuple[str, ...], cwd: str, environment: Mapping[str, str], streams: list[int]
    ) -> None:
        governed = self._governed
        own = governed.environment
        changed = {
            name: value for name, value in environment.items() if own.get(name) != value and name not in UNCHANGED
        }
        request = governed.request(argv, cwd=cwd, changed=changed)
        if not request.has_plan:
            await _send(client, {"here": True})
            return
        action = governed.command(argv, cwd=cwd, changed=request.changed)
        async with asyncio.TaskGroup() as tasks:
            deciding = tasks.create_task(governed.decide(action, asked_by="shell", within=request.judge))
            watching = tasks.create_task(_gone(client))
            await asyncio.wait({deciding, watching}, return_when=asyncio.FIRST_COMPLETED)
            # Whoever waits for the answer is gone: nobody is asked for a command that will not run.
            (watching if deciding.done() else deciding).cancel()
        if deciding.cancelled():
            return
        decision = deciding.result()
        if decision.verdict is not Verdict.ALLOW:
            await _send(client, {"exit": _DENIED, "text": denial_text(decision)})
            return
        place = await governed.place(request, argv)
        number, began = new_id(), time.monotonic()
        command = await place.starter.spawn(
            place.argv, env=place.environment, cwd=cwd, stdin=streams[0], stdout=streams[1], stderr=streams[2]
        )
        governed.tally.record_soon(CommandStarted(command=number, argv=action.argv, cwd=action.cwd, pid=command.pid))
        code = await _to_its_end(command, client)
        duration = int((time.monotonic() - began) * 1000)
        governed.tally.record_soon(CommandEnded(command=number, exit_code=code, duration_ms=duration))
        await _send(client, {"exit": code, "text": "\n".join(f"ringfence: note: {text}" for text in request.notices)})


async def _to_its_end(command: Started, client: socket.socket) -> int:
    """Wait, and pass signals on; a command whose stand-in is gone is ended."""

    async def pass_on() -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            while signals := await loop.sock_recv(client, 16):
                for number in signals:
                    if number in _SIGNALS:
                        command.signal(number)
        command.signal(1)
        await asyncio.sleep(1)
        command.signal(9)

    async with asyncio.TaskGroup() as tasks:
        passing = tasks.create_task(pass_on())
        try:
            return await command.wait()
        except asyncio.CancelledError:
            command.signal(9)
            raise
        finally:
            passing.cancel()


def _question(data: bytes) -> tuple[tuple[str, ...], str, dict[str, str]]:
    values = json.loads(data)
    if not isinstance(values, dict):
        raise ValueError("it is no object")
    argv, cwd, environment = values["argv"], values["cwd"], values["env"]
    texts = [*argv, cwd, *environment, *environment.values()] if isinstance(environment, dict) else [None]
    if not isinstance(argv, list) or not argv or not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise ValueError("it has no argument vector, folder and variables")
    if not cwd.startswith("/"):
        raise ValueError("its folder is not absolute")
    return tuple(argv), cwd, environment


async def _receive(client: socket.socket, streams: list[int]) -> bytes:
    """The question; the descriptors that came with it are added to `streams`, whose owner closes them."""
    data = bytearray()
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        await _readable(client)
        part, descriptors, _, _ = socket.recv_fds(client, 1 << 16, 16, socket.MSG_CMSG_CLOEXEC)
        streams += descriptors
        data += part
        # SECURITY: each descriptor is one of ours from here on, and they are not without end.
        if not part or len(data) > _LARGEST or len(streams) > _STREAMS:
            raise ValueError("it is cut off, or too long")
    return bytes(data[4:])


async def _readable(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(client.fileno(), _mark, ready)
    try:
        await ready
    finally:
        loop.remove_reader(client.fileno())


def _mark(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _gone(client: socket.socket) -> None:
    """Return when whoever asked is gone, or was told to end."""
    with suppress(OSError):
        await asyncio.get_running_loop().sock_recv(client, 16)


async def _send(client: socket.socket, answer: Mapping[str, object]) -> None:
    await asyncio.get_running_loop().sock_sendall(client, json.dumps(answer).encode() + b"\n")
