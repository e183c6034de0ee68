"""`[sandbox]`: how strong it has to be, and the ways between it and the host, each of which is shut by default."""

from __future__ import annotations

import re
from enum import StrEnum

import msgspec

from ringfence.policy.effective import BusWay, Origin, PublishedPort, SshAgentWay
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped

MAX_ENTRIES = 50
_BOUNDARY = 200

DEVICES = re.compile(
    r"/dev/(dri/renderD[0-9]{1,3}|nvidia[0-9]{1,2}|nvidiactl|nvidia-uvm|nvidia-uvm-tools|nvidia-modeset|kfd|dxg|kvm"
    r"|accel/accel[0-9]{1,2}|mali[0-9]|davinci[0-9]{1,2}|davinci_manager|hisi_hdc|devmm_svm)"
)
"""What computes. Disks, memory, terminals, input and network devices are none of them: with those a sandbox is none."""

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?|\[[a-z0-9](?:[a-z0-9._:-]{0,252}[a-z0-9])?\]:[0-9]{1,5}")
_BUS_NAME = re.compile(r"(?=.{3,255}$)[A-Za-z_-][A-Za-z0-9_-]*(?:\.[A-Za-z_-][A-Za-z0-9_-]*)+(?:\.\*)?")
_FILTERED = (
    (re.compile(r"/run/user/[0-9]+/bus$|/dbus/system_bus_socket$"), "is a message bus: `[[sandbox.dbus]]` opens names"),
    (re.compile(r"/\.X11-unix/|/run/user/[0-9]+/wayland-"), "is the screen and keyboard of everything else you run"),
    (re.compile(r"/systemd/(?:private|.*/io\.systemd)|/run/user/[0-9]+/systemd/"), "starts any program outside"),
)
"""SECURITY: sockets for which there is a filter, or that open everything whoever asks."""
_NEVER_CALLED = ("org.freedesktop.systemd1", "org.freedesktop.DBus", "org.freedesktop.Flatpak", "org.gnome.Shell")
"""SECURITY: services that start any program for whoever calls them."""
_PORTS = re.compile(r"([0-9]{1,5}):([0-9]{1,5})")


class Tier(StrEnum):
    """The strength of a sandbox, strongest first."""

    A = "A"
    B = "B"
    C = "C"


class Bus(StrEnum):
    """A message bus of the host."""

    SESSION = "session"
    SYSTEM = "system"


class Way(StrEnum):
    """A kind of way, as `forbid` names it."""

    SOCKETS = "sockets"
    DEVICES = "devices"
    PUBLISH = "publish"
    SSH_AGENT = "ssh_agent"
    DBUS = "dbus"
    NESTED_NAMESPACES = "nested_namespaces"
    OUTSIDE = "outside"
    PROFILES = "profiles"


class SandboxSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about the sandbox."""

    min_tier: tuple[str, Origin] | None = None
    sockets: tuple[tuple[str, Origin], ...] = ()
    devices: tuple[tuple[str, Origin], ...] = ()
    publish: tuple[tuple[PublishedPort, Origin], ...] = ()
    ssh_agent: tuple[SshAgentWay, ...] = ()
    dbus: tuple[BusWay, ...] = ()
    nested_namespaces: tuple[bool, Origin] | None = None
    outside: tuple[bool, Origin] | None = None
    forbid: tuple[tuple[str, Origin], ...] = ()
    boundary: tuple[str, Origin] | None = None


def section(table: Table, layer: Layer) -> SandboxSection:
    """Read `[sandbox]`."""
    tier = table.take_choice("min_tier", Tier, about="In a sandbox weaker than this nothing runs.")
    sockets = _sockets(table)
    devices = _devices(table)
    publish = _ports(table)
    agents = tuple(
        filter(None, map(_agent, _tables(table, "ssh_agent", "Keys of your ssh-agent that may sign inside.")))
    )
    buses = tuple(filter(None, map(_bus, _tables(table, "dbus", "Names on a message bus that may be called."))))
    about = "Whether programs inside may make user namespaces, as agents with a sandbox of their own do."
    nested = table.take_flag("nested_namespaces", about=about)
    outside = table.take_flag("outside", about="Whether a command's profile may run it outside, without a sandbox.")
    forbid = _forbid(table)
    boundary = _boundary(table)
    table.finish()
    if layer is Layer.REQUIREMENTS:
        opened = [way for way in Way if way is not Way.PROFILES and table.has(way.value)]
        for way in opened:
            table.fault(
                way.value,
                f'`{way.value}` opens a way, and requirements only tighten; they have `forbid = ["{way.value}"]`',
            )
    return SandboxSection(
        min_tier=None if tier is None else (tier.value, table.faults.origin(table.at("min_tier"))),
        sockets=sockets,
        devices=devices,
        publish=publish,
        ssh_agent=agents,
        dbus=buses,
        nested_namespaces=None if nested is None else (nested, table.faults.origin(table.at("nested_namespaces"))),
        outside=None if outside is None else (outside, table.faults.origin(table.at("outside"))),
        forbid=forbid,
        boundary=None if boundary is None else (boundary, table.faults.origin(table.at("boundary"))),
    )


def published_port(text: str) -> PublishedPort | str:
    """A port as a person writes it, `3000` or `HOST:INSIDE`; else what is wrong with it."""
    found = _PORTS.fullmatch(text if ":" in text else f"{text}:{text}")
    if found is None or not all(0 < int(one) < 65536 for one in found.groups()):
        return f"`{escaped(text)}` is not a port: write `3000`, or `8080:3000` for port 8080 of this machine"
    host, inside = map(int, found.groups())
    if host < 1024:
        return f"port {host} of this machine is privileged: choose one from 1024 on, such as `8{host:03d}:{inside}`"
    return PublishedPort(host=host, inside=inside)


def _boundary(table: Table) -> str | None:
    about = (
        "For tier C: what holds the session instead of a sandbox, in your words (`the CI job's own VM`). Without it "
        "nothing runs in that tier."
    )
    boundary = table.take_text("boundary", about=about)
    if boundary is not None and (not boundary.strip() or not boundary.isprintable() or len(boundary) > _BOUNDARY):
        text = f"`boundary` is one line of at most {_BOUNDARY} characters that says what holds the session"
        table.fault("boundary", text)
        return None
    return boundary


def _tables(table: Table, key: str, about: str) -> tuple[Table, ...]:
    return table.take_tables(key, most=MAX_ENTRIES, about=about)


def _sockets(table: Table) -> tuple[tuple[str, Origin], ...]:
    found = []
    about = "Unix sockets of this machine, by absolute path or `~/`, that appear inside at the same place."
    for path, text in table.take_texts("sockets", about=about):
        plain = text.startswith(("/", "~/")) and ".." not in text.split("/") and not any(c in text for c in "*?[\0\n")
        filtered = next((why for form, why in _FILTERED if form.search(text)), None)
        if plain and filtered is not None:
            table.faults.add(path, f"`{escaped(text)}` {filtered}")
        elif plain and not text.endswith("/") and len(text) < 100:
            found.append((text, table.faults.origin(path)))
        else:
            table.faults.add(
                path, f"`{escaped(text)}` is not the path of one socket, written whole, below 100 characters"
            )
    return tuple(found)


def _devices(table: Table) -> tuple[tuple[str, Origin], ...]:
    found = []
    for path, text in table.take_texts("devices", about="Device nodes that compute, such as `/dev/dri/renderD128`."):
        if DEVICES.fullmatch(text):
            found.append((text, table.faults.origin(path)))
        else:
            what = "is not a device that can be opened: only those that compute, such as `/dev/dri/renderD128`"
            table.faults.add(path, f"`{escaped(text)}` {what}")
    return tuple(found)


def _ports(table: Table) -> tuple[tuple[PublishedPort, Origin], ...]:
    found = []
    about = "Ports of the sandbox that appear on this machine's loopback: `3000`, or `8080:3000` for another number."
    for path, text in table.take_texts("publish", about=about):
        port = published_port(text)
        if isinstance(port, str):
            table.faults.add(path, port)
        else:
            found.append((port, table.faults.origin(path)))
    return tuple(found)


def _agent(table: Table) -> SshAgentWay | None:
    keys = _texts(table, "keys", _FINGERPRINT, "the fingerprint of a key, as `ssh-add -l` shows it: `SHA256:...`")
    hosts = _texts(
        table, "hosts", _HOST, "a host as `known_hosts` names it, in lower case: `github.com`, `[h.test]:2222`"
    )
    complete = table.require("keys", "hosts")
    table.finish()
    if not complete or not keys or not hosts:
        return None
    return SshAgentWay(keys=keys, hosts=hosts, origin=table.faults.origin(table.path))


def _bus(table: Table) -> BusWay | None:
    bus = table.take_choice("bus", Bus, about="Which bus; your session's, where it is not written.") or Bus.SESSION
    names = _texts(table, "talk", _BUS_NAME, "the name of a service: `org.freedesktop.Notifications`, `org.example.*`")
    complete = table.require("talk")
    table.finish()
    for name in names:
        never = next((one for one in _NEVER_CALLED if one == name or one.startswith(name.removesuffix("*"))), None)
        if never is not None:
            table.fault("talk", f"`{name}` opens `{never}`, which starts programs outside the sandbox")
    if not complete or not names:
        return None
    return BusWay(bus=bus.value, talk=names, origin=table.faults.origin(table.path))


def _texts(table: Table, key: str, form: re.Pattern[str], what: str) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts(key, about=f"Each is {what}."):
        if form.fullmatch(text):
            found.append(text)
        else:
            table.faults.add(path, f"`{escaped(text)}` is not {what}")
    if table.is_empty(key):
        table.fault(key, f"`{key}` is empty; name at least one")
    return tuple(found)


def _forbid(table: Table) -> tuple[tuple[str, Origin], ...]:
    found = []
    about = f"Ways that nobody opens: {', '.join(f'`{way}`' for way in Way)}."
    for path, text in table.take_texts("forbid", about=about):
        if text in set(Way):
            found.append((text, table.faults.origin(path)))
        else:
            listed = ", ".join(f"`{way}`" for way in Way)
            table.faults.add(path, f"`{escaped(text)}` is not a way; the ways are {listed}")
    return tuple(found)
