"""Where the ways that a policy opens appear inside: sockets at their own place, devices below `/dev`, and the sockets
of ours that stand for an agent of keys or a message bus. Looks at the disk; opens nothing."""

from __future__ import annotations

import os
import stat

from ringfence.model.shown import Bind
from ringfence.model.situations import SandboxUnavailable, TierUnavailable
from ringfence.policy.effective import WayPolicy
from ringfence.sandbox.plan import covers

FOLDER = "/run/ringfence-ways"
SSH_AGENT = f"{FOLDER}/ssh-agent"
SSH_AGENT_NAME = "way:ssh-agent"
COMMANDS = f"{FOLDER}/commands"
COMMANDS_NAME = "way:commands"
PROGRAMS = "/run/ringfence/bin"
"""Where stand-ins for programs lie of which some commands have a plan of their own."""
KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
"""Where the keys of hosts stand; where the machine's own `/etc/ssh` is shown, that one stands."""
_NEVER = ("/proc", "/sys", "/dev", "/run/ringfence", FOLDER, "/.ringfence")


def bus_path(bus: str) -> str:
    """Where a message bus is called inside."""
    return f"{FOLDER}/{bus}-bus"


def bus_name(bus: str) -> str:
    """The name of the listener for a message bus."""
    return f"way:bus:{bus}"


def socket_name(path: str) -> str:
    """The name of the listener that stands for a socket of the host."""
    # Names travel in one line, separated by spaces.
    return f"way:socket:{path.encode().hex()}"


def way_places(ways: WayPolicy, binds: list[Bind], *, commands: bool) -> dict[str, object]:
    """The part of a layout that is about ways; `SandboxUnavailable` where one cannot be as it is written."""
    places = [(socket_name(path), _socket(path, binds)) for path in ways.sockets]
    if ways.ssh_agent:
        places.append((SSH_AGENT_NAME, SSH_AGENT))
    if commands:
        places.append((COMMANDS_NAME, COMMANDS))
    places += [(bus_name(bus), bus_path(bus)) for bus in sorted({way.bus for way in ways.dbus})]
    return {
        "sockets": places,
        "devices": [_device(path).removeprefix("/dev/") for path in ways.devices],
        "nested": ways.nested_namespaces,
    }


def check_no_ways(ways: WayPolicy) -> None:
    """In a sandbox without namespaces of its own none of them can be kept apart from the rest of the host."""
    named = [name for name in WayPolicy.__struct_fields__ if name != "outside" and getattr(ways, name)]
    if named:
        listed = ", ".join(f"`sandbox.{name}`" for name in named)
        raise TierUnavailable(f"{listed} cannot be kept without namespaces: that takes tier A")


def _socket(path: str, binds: list[Bind]) -> str:
    place = os.path.normpath(path)
    if any(covers(each, place) for each in _NEVER):
        raise SandboxUnavailable(
            f"the socket `{path}` cannot be opened: every sandbox has that place to itself",
            remedy="remove it from `sandbox.sockets`",
        )
    # SECURITY: a link may lead to where something inside can write, and then on to another socket (T2).
    real = os.path.realpath(place)
    shown = next((bind for bind in binds if covers(bind.target, place) or covers(bind.source, real)), None)
    if shown is not None:
        raise SandboxUnavailable(
            f"the socket `{path}` cannot be opened: `{shown.target}` is shown as it is on this machine",
            remedy=f"name it in `filesystem.write`, which opens the socket itself: `--write {path}`",
        )
    return place


def _device(path: str) -> str:
    try:
        found = os.lstat(path)
    except OSError as error:
        raise SandboxUnavailable(
            f"the device `{path}` cannot be opened: {(error.strerror or '').lower()}",
            remedy="`sandbox.devices` names devices that are there; `ls /dev/dri /dev/nvidia*` shows some",
        ) from error
    # SECURITY: a link there would be another device, and a disk is everybody's files.
    if not stat.S_ISCHR(found.st_mode):
        raise SandboxUnavailable(f"`{path}` is no character device", remedy="remove it from `sandbox.devices`")
    return path
