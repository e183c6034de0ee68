"""The first program of a container that an OCI runtime made: the supervisor, without the steps that the runtime and the
launcher have taken. What each command gets is what it gets in every sandbox, unless the container's kernel is the
runtime's own.
"""

from __future__ import annotations

import encodings.ascii  # noqa: F401 - as in every sandbox
import gc
import marshal
import os
import resource
from _socket import AF_UNIX, SOCK_SEQPACKET, socket

from ringfence.sandbox import landlock, namespaces, seccomp, syscalls, wire
from ringfence.sandbox.rlimits import bound, pin
from ringfence.sandbox.supervisor import Supervisor, Usage

_CONTROL, _LIFELINE, _STARTED, _TOLD, _LISTENERS = 3, 4, 5, 6, 7
_PROCESSES = 16384


class OwnKernel(Supervisor):
    """The supervisor under a runtime with a kernel of its own, which confines and knows none of our rules."""

    def bind(self) -> None:
        """Nothing, as for commands."""

    def confine(self, request: wire.Request, streams: tuple[tuple[int, int], ...]) -> None:
        """Nothing: the runtime's kernel stands between a command and the host."""


def main() -> None:
    """Serve the session until it ends."""
    gc.disable()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(2):
        os.dup2(null, number)
    os.close(null)
    with os.fdopen(_TOLD, "rb") as file:
        told: wire.Request = marshal.loads(file.read())  # noqa: S302 - the launcher wrote it
    control = socket(AF_UNIX, SOCK_SEQPACKET, 0, _CONTROL)
    found = {name: _LISTENERS + number for number, name in enumerate(told["names"])}
    for each in (_CONTROL, _LIFELINE, _STARTED, *found.values()):
        os.set_inheritable(each, False)
    syscalls.close_range(_LISTENERS + len(found))
    shown = () if told["own_kernel"] else (os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC),)
    supervisor, lines = _prepare(control, told)
    procfs = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    text = "\n".join([" ".join((*found, "procfs")), *lines])
    wire.send(control, ("ready " + text).encode(errors="replace")[: wire.PACKET], (*found.values(), procfs))
    for each in (*found.values(), procfs):
        os.close(each)
    started = socket(AF_UNIX, SOCK_SEQPACKET, 0, _STARTED)
    wire.send(started, b"+", shown)
    started.close()
    for each in shown:
        os.close(each)
    os.dup2(1, 2)
    supervisor.serve()


def _prepare(control: socket, told: wire.Request) -> tuple[Supervisor, list[str]]:
    limits = told["limits"]
    usage = Usage((*(path for path, _, _ in told["private"]), "/dev/shm"))  # noqa: S108
    bound(resource.RLIMIT_NPROC, limits["processes"] or _PROCESSES)
    pin(limits["processors"])
    facts = [("tier", "A"), ("runtime", told["runtime"]), *map(tuple, told["facts"])]
    facts.append(("namespaces", "user net mnt pid ipc uts cgroup"))
    if told["own_kernel"]:
        namespaces.give_up_privileges()
        facts += [("landlock", "none, the runtime has a kernel of its own"), ("seccomp", "none of ours")]
        supervisor: Supervisor = OwnKernel(control, _LIFELINE, None, None, usage)
    else:
        abi = landlock.version()
        program = seccomp.prepare(pinned=bool(limits["processors"]), nested=False)
        namespaces.enter_inner(told["uid"], told["gid"], outer=(0, 0))
        namespaces.drop_capabilities()
        landlock.stay_within(abi)
        reached = [path for _, path in told["sockets"]]
        paths = landlock.over_mounts(abi, tuple(told["writable"]), ("/dev", "/dev/null"), reached)
        facts += [("landlock", str(abi)), ("seccomp", "filter")]
        supervisor = Supervisor(control, _LIFELINE, landlock.Ruleset(abi, paths), program, usage)
    namespaces.hide_memory()
    return supervisor, [f"fact {name} {value}" for name, value in facts] + [
        f"notice {text}" for text in told["notices"]
    ]
