"""All ways of one sandbox: what they need before it starts, and what serves them while it runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial

from ringfence.model.event import NoticeGiven, WayUsed
from ringfence.model.ports import Recorder
from ringfence.model.shown import PlacedFile
from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import Policy, WayPolicy
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.survey import INSIDE_ROOT
from ringfence.sandbox.way_places import KNOWN_HOSTS, SSH_AGENT, SSH_AGENT_NAME, bus_name, bus_path, socket_name
from ringfence.session.ways.dbus import Bus, address_of, filtered_bus
from ringfence.session.ways.known_hosts import lines_for
from ringfence.session.ways.known_servers import known_servers
from ringfence.session.ways.publish import Publisher, listen
from ringfence.session.ways.relay import connected, relay, serve
from ringfence.session.ways.ssh_agent import SshAgent, host_keys, permitted

_MACHINES = frozenset({"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "libvirt-sock", "unix.socket"})
"""Sockets of daemons that start whatever they are asked to, with rights of their own."""

Start = Callable[[Coroutine[object, object, None]], None]


def way_variables(ways: WayPolicy) -> dict[str, str]:
    """The variables by which programs inside find what was opened."""
    found = {"SSH_AUTH_SOCK": SSH_AGENT} if ways.ssh_agent else {}
    return found | {f"DBUS_{way.bus.upper()}_BUS_ADDRESS": f"unix:path={bus_path(way.bus)}" for way in ways.dbus}


def way_files(policy: Policy, home: str) -> tuple[PlacedFile, ...]:
    """The files that programs inside need to use what was opened: the keys of the SSH servers that rules name, so that
    nobody has to be asked about them inside."""
    keys = known_servers(policy.network.rules, home)
    for host, found in host_keys(policy.ways.ssh_agent, home).items():
        keys[host] = (*keys.get(host, ()), *found)
    if not keys and not policy.ways.ssh_agent:
        return ()
    each = {host: tuple(dict.fromkeys(found)) for host, found in keys.items()}
    return (PlacedFile(path=KNOWN_HOSTS, content=lines_for(each), mode=0o444, made=True),)


class Ways:
    """Serves the ways of a sandbox."""

    def __init__(
        self, ways: WayPolicy, sandbox: Sandbox, recorder: Recorder, environ: Mapping[str, str], home: str
    ) -> None:
        self._ways = ways
        self._sandbox = sandbox
        self._recorder = recorder
        self._environ = environ
        self._home = home
        self.notices: list[str] = []
        """What a person has to be told."""

    async def open(self, stack: AsyncExitStack, start: Start) -> None:
        """Open everything; `SandboxUnavailable` where something cannot be had."""
        for path in self._ways.sockets:
            self._check_socket(path)
            start(serve(self._sandbox.listeners[socket_name(path)], partial(self._carry, path)))
        if self._ways.ssh_agent:
            self._open_agent(start)
        for bus in sorted({way.bus for way in self._ways.dbus}):
            await self._open_bus(stack, start, bus)
        for port in self._ways.publish:
            for listener in listen(port):
                start(serve(listener, Publisher(port, self._sandbox.connect, self._recorder).answer))
            self._say(f"port {port.inside} of the sandbox is at http://127.0.0.1:{port.host}/ of this machine")
        if self._ways.nested_namespaces:
            self._say(
                "programs inside may make user namespaces (sandbox.nested_namespaces): "
                "mounts alone hold the file policy, and more of the kernel is within their reach"
            )

    def _check_socket(self, path: str) -> None:
        agent = self._environ.get("SSH_AUTH_SOCK")
        if agent and os.path.realpath(path) == os.path.realpath(agent):
            raise SandboxUnavailable(
                f"`{path}` is your ssh-agent, which would sign anything",
                remedy="open single keys for single hosts with `[[sandbox.ssh_agent]]`",
            )
        if os.path.basename(path) in _MACHINES:
            self._say(f"whoever reaches `{path}` has this machine: containers that it starts are outside the sandbox")

    def _open_agent(self, start: Start) -> None:
        path = self._environ.get("SSH_AUTH_SOCK")
        if not path:
            raise SandboxUnavailable(
                "`sandbox.ssh_agent` opens keys of your ssh-agent, and `SSH_AUTH_SOCK` names none",
                remedy="start one with `eval $(ssh-agent)` and `ssh-add`, or leave `sandbox.ssh_agent` out",
            )
        keys = host_keys(self._ways.ssh_agent, self._home)
        for host in (host for host, found in keys.items() if not found):
            self._say(f"no key signs for `{host}`: your `known_hosts` has no key of it; connect to it once yourself")
        agent = SshAgent(path, permitted(self._ways.ssh_agent, keys), self._recorder)
        start(serve(self._sandbox.listeners[SSH_AGENT_NAME], agent.answer))

    async def _open_bus(self, stack: AsyncExitStack, start: Start, bus: str) -> None:
        ways = [way for way in self._ways.dbus if way.bus == bus]
        path = await stack.enter_async_context(
            filtered_bus(address_of(bus, self._environ), ways, search=self._environ.get("PATH"))
        )
        outside = os.getuid()
        answering = Bus(path, inside=outside or INSIDE_ROOT, outside=outside)
        start(serve(self._sandbox.listeners[bus_name(bus)], answering.answer))

    async def _carry(self, path: str, client: socket.socket) -> None:
        try:
            host = await connected(path)
        except OSError as error:
            self._recorder.record_soon(
                WayUsed(way="sockets", what=path, allowed=False, reason=(error.strerror or str(error)).lower())
            )
            raise
        self._recorder.record_soon(WayUsed(way="sockets", what=path, allowed=True))
        with host:
            await relay(client, host)

    def _say(self, text: str) -> None:
        self.notices.append(text)
        self._recorder.record_soon(NoticeGiven(topic="way", text=text))
