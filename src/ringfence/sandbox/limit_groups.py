"""A control group of the sandbox's own, where this machine lets us have one (cgroup v2): the kernel then holds memory,
processes and processor share by itself. Where there is none, nothing is said here; others hold the limits instead.

Systemd is asked for a scope where it runs, because it does not like others in its tree; else a folder is made below the
nearest group that we may write in and that hands out what is needed.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence

import msgspec

from ringfence.policy.effective import Limits
from ringfence.sandbox.limits import MIB

_CONTROLLERS = {"memory_mb": "memory", "processes": "pids", "cpu_percent": "cpu"}
_PERIOD = 100_000
"""Microseconds in which a processor share is given."""
PREFIX = "ringfence-"
"""What our groups are called: this, the number of the process that made it, and more."""
_SWAP = "memory.swap.max"
_SYSTEMD = "/run/systemd/system"
_SECONDS = 3.0
_TRIES, _PAUSE = 100, 0.01
_HEADROOM = 16
"""The part of the memory limit, as one of so many, in which programs are slowed down and the watch comes before the
kernel's own killing, which says nothing to anybody."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group that holds the sandbox."""

    path: str
    held: frozenset[str]
    """The keys of the limits that the kernel holds here."""
    ours: bool
    """Whether it is ours to remove."""

    def memory(self) -> int | None:
        """Bytes in use that cannot be given back, which is what the kernel would kill for."""
        found = _pairs(f"{self.path}/memory.stat")
        return found["anon"] + found.get("shmem", 0) + found.get("kernel", 0) if "anon" in found else None

    def killed(self) -> int:
        """How many processes the kernel has ended for want of memory."""
        return _pairs(f"{self.path}/memory.events").get("oom_kill", 0)

    def refused(self) -> int:
        """How often the kernel has refused another process."""
        return _pairs(f"{self.path}/pids.events").get("max", 0)

    def remove(self) -> None:
        """End what is left in the group, and remove it."""
        if not self.ours:
            return
        with contextlib.suppress(OSError):
            _write(f"{self.path}/cgroup.kill", "1")
        for _ in range(_TRIES):
            if not os.path.isdir(self.path) or _remove(self.path):
                return
            # A process that was ended is in its group until somebody has waited for it.
            time.sleep(_PAUSE)


def place(limits: Limits, pid: int, name: str, *, uid: int, tree: str = "", systemd: str = _SYSTEMD) -> Group | None:
    """Put a process that has started nothing yet into a group with these limits; None where there can be none."""
    wanted = frozenset(key for key in _CONTROLLERS if getattr(limits, key) is not None)
    root = tree or mounted()
    if not wanted or not root:
        return None
    if os.path.isdir(systemd) and _scope(limits, wanted, pid, name, uid):
        path = _group_of(pid, root)
        if path is not None and _verified(path, wanted):
            return Group(path=path, held=wanted, ours=False)
    for parent in candidates(pid, root):
        _sweep(parent)
        path = _make(parent, limits, wanted, name)
        if path is None:
            continue
        try:
            _write(f"{path}/cgroup.procs", str(pid))
        except OSError:
            _remove(path)
            continue
        return Group(path=path, held=wanted, ours=True)
    return None


def mounted() -> str:
    """Where cgroup v2 is mounted, or nothing."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                before, _, after = line.partition(" - ")
                if after.startswith("cgroup2 "):
                    return before.split()[4]
    except OSError:
        return ""
    return ""


def candidates(pid: int, root: str) -> Iterator[str]:
    """Groups in which one may be made, nearest first."""
    path = _group_of(pid, root)
    while path is not None and (path == root or path.startswith(root + "/")):
        if os.access(path, os.W_OK) and os.access(f"{path}/cgroup.procs", os.W_OK):
            yield path
        path = None if path == root else os.path.dirname(path)


def _group_of(pid: int, root: str) -> str | None:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            line = next((each for each in file if each.startswith("0::/")), None)
    except OSError:
        return None
    if line is None or "/.." in line:
        return None
    return os.path.normpath(root + line[3:].rstrip("\n"))


def _make(parent: str, limits: Limits, wanted: frozenset[str], name: str) -> str | None:
    needed = {_CONTROLLERS[key] for key in wanted}
    path = f"{parent}/{name}"
    try:
        given = set(_read(f"{parent}/cgroup.subtree_control").split())
        if not needed <= given:
            if not needed <= set(_read(f"{parent}/cgroup.controllers").split()):
                return None
            _write(f"{parent}/cgroup.subtree_control", " ".join(f"+{each}" for each in sorted(needed - given)))
        os.mkdir(path)
    except OSError:
        return None
    try:
        for file, value in settings(limits):
            if file == _SWAP and not os.path.exists(f"{path}/{file}"):
                # A kernel without swap has no such file.
                continue
            _write(f"{path}/{file}", value)
    except OSError:
        _remove(path)
        return None
    return path


def settings(limits: Limits) -> list[tuple[str, str]]:
    """What is written into the files of a group."""
    found = []
    if limits.memory_mb is not None:
        most = limits.memory_mb * MIB
        found += [("memory.max", str(most)), ("memory.high", str(most - most // _HEADROOM)), (_SWAP, "0")]
    if limits.processes is not None:
        found.append(("pids.max", str(limits.processes)))
    if limits.cpu_percent is not None:
        found.append(("cpu.max", f"{limits.cpu_percent * _PERIOD // 100} {_PERIOD}"))
    return found


def scope_call(limits: Limits, pid: int, name: str, *, user: bool, survives: bool) -> tuple[str, ...]:
    """The call that asks systemd for a scope around a process. `survives`: a program that the kernel ends for want of
    memory does not take the others along, which systemd can be told from version 253 on."""
    properties: list[tuple[str, ...]] = [
        ("Description", "s", "a Ringfence sandbox"),
        ("PIDs", "au", "1", str(pid)),
        ("CollectMode", "s", "inactive-or-failed"),
    ]
    if survives:
        properties.append(("OOMPolicy", "s", "continue"))
    if limits.memory_mb is not None:
        most = limits.memory_mb * MIB
        properties += [("MemoryMax", "t", str(most)), ("MemoryHigh", "t", str(most - most // _HEADROOM))]
        properties.append(("MemorySwapMax", "t", "0"))
    if limits.processes is not None:
        properties.append(("TasksMax", "t", str(limits.processes)))
    if limits.cpu_percent is not None:
        properties.append(("CPUQuotaPerSecUSec", "t", str(limits.cpu_percent * 10_000)))
    manager = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
    bus = "--user" if user else "--system"
    flat = [word for each in properties for word in each]
    call = ("StartTransientUnit", "ssa(sv)a(sa(sv))", f"{name}.scope", "fail", str(len(properties)), *flat, "0")
    return ("busctl", bus, "--quiet", "call", *manager, *call)


def _scope(limits: Limits, wanted: frozenset[str], pid: int, name: str, uid: int) -> bool:
    for survives in (True, False):
        if _call(scope_call(limits, pid, name, user=uid != 0, survives=survives), uid):
            return _arrived(pid, f"{name}.scope")
    return False


def _call(argv: Sequence[str], uid: int) -> bool:
    runtime = f"/run/user/{uid}"
    environment = {"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": runtime}
    environment["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={runtime}/bus"
    try:
        done = subprocess.run(
            argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _arrived(pid: int, unit: str) -> bool:
    # The call returns when the job is queued; the process is moved a moment later.
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if _read(f"/proc/{pid}/cgroup").rstrip("\n").endswith(f"/{unit}"):
            return True
        time.sleep(0.002)
    return False


def _verified(path: str, wanted: frozenset[str]) -> bool:
    """Whether the limits are really there: a manager without the controllers makes a scope that limits nothing."""
    files = {"memory_mb": "memory.max", "processes": "pids.max", "cpu_percent": "cpu.max"}
    try:
        return all(not _read(f"{path}/{files[key]}").startswith("max") for key in wanted)
    except OSError:
        return False


def _sweep(parent: str) -> None:
    """Remove the empty groups of sessions that were killed."""
    for name in os.listdir(parent):
        owner = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and owner.isdecimal() and not os.path.exists(f"/proc/{owner}"):
            _remove(f"{parent}/{name}")


def _pairs(path: str) -> dict[str, int]:
    try:
        lines = [line.split() for line in _read(path).splitlines()]
    except OSError:
        return {}
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdecimal()}


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def _remove(path: str) -> bool:
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True
