"""Serves the ssh-agent that programs inside see: each connection has one to the person's own agent, behind the
filter."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Mapping

from ringfence.model.event import WayUsed
from ringfence.model.ports import Recorder
from ringfence.policy.effective import SshAgentWay
from ringfence.session.ways.known_hosts import keys_of
from ringfence.session.ways.relay import connected, receive_exactly
from ringfence.session.ways.ssh_wire import FAILURE, LARGEST, AgentFilter, Forwarded

_KNOWN_HOSTS = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts")
_AGENT_SECONDS = 120.0
"""How long the agent may take: it may ask the person."""


def host_keys(ways: Iterable[SshAgentWay], home: str) -> Mapping[str, tuple[bytes, ...]]:
    """The keys of every host that a rule names, as the person and the machine know them."""
    return own_keys((host for way in ways for host in way.hosts), home)


def own_keys(hosts: Iterable[str], home: str) -> Mapping[str, tuple[bytes, ...]]:
    """The keys of some hosts, as the person and the machine know them."""
    texts = [_read(path.replace("~", home, 1)) for path in _KNOWN_HOSTS]
    return keys_of(dict.fromkeys(hosts), texts)


def permitted(ways: Iterable[SshAgentWay], keys: Mapping[str, tuple[bytes, ...]]) -> Mapping[str, Mapping[bytes, str]]:
    """For each key that may sign the host keys that it may sign for, with the name of the host."""
    found: dict[str, dict[bytes, str]] = {}
    for way in ways:
        for key in way.keys:
            found.setdefault(key, {}).update({blob: host for host in way.hosts for blob in keys.get(host, ())})
    return found


class SshAgent:
    """Answers the connections to the agent."""

    def __init__(self, path: str, permitted: Mapping[str, Mapping[bytes, str]], recorder: Recorder) -> None:
        self._path = path
        self._permitted = permitted
        self._recorder = recorder

    async def answer(self, client: socket.socket) -> None:
        """Answer one connection until it ends."""
        with await connected(self._path) as agent:
            judging = AgentFilter(self._permitted)
            while True:
                request = judging.asked(await _read_message(client))
                if isinstance(request, Forwarded):
                    await _write_message(agent, request.message)
                    async with asyncio.timeout(_AGENT_SECONDS):
                        answer = judging.answered(request, await _read_message(agent))
                    if judging.signing:
                        self._record(judging.signing, "" if answer != FAILURE else "the agent did not sign")
                else:
                    answer = request.answer
                    self._record("a request", request.why)
                await _write_message(client, answer)

    def _record(self, what: str, why: str) -> None:
        self._recorder.record_soon(WayUsed(way="ssh_agent", what=what, allowed=not why, reason=why))


async def _read_message(source: socket.socket) -> bytes:
    length = int.from_bytes(await receive_exactly(source, 4), "big")
    if not 0 < length <= LARGEST:
        raise asyncio.IncompleteReadError(b"", length)
    return await receive_exactly(source, length)


async def _write_message(target: socket.socket, message: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(target, len(message).to_bytes(4, "big") + message)


def _read(path: str) -> str:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            return file.read(1 << 22).decode("utf-8", "replace")
    except OSError:
        return ""
