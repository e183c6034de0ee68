"""The resident supervisor of tier C, where nothing of ours confines: the policy declares that something around the
session does. It starts commands without new privileges and within the limits, and ends all of them with the session.
"""

from __future__ import annotations

import os
from _socket import socket

from ringfence.sandbox import namespaces, syscalls, wire
from ringfence.sandbox.backends.descendants import end_all
from ringfence.sandbox.backends.unshared import PR_SET_CHILD_SUBREAPER, limit, stand_by
from ringfence.sandbox.supervisor import Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def build(control: socket, layout: wire.Request, progress: list[str]) -> NoReturn:
    """Serve the session until it ends."""
    progress.append("privileges")
    namespaces.give_up_privileges()
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1, what="take on orphans")
    progress.append("process 1")
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        stand_by(control, child, reader)
    os.close(writer)
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1, what="take on orphans")
    progress.append("limits")
    limit(layout["limits"])
    supervisor = Declared(control, reader, None, None)
    namespaces.hide_memory()
    facts = [("tier", "C"), ("boundary", layout["boundary"]), ("landlock", "none"), ("seccomp", "none")]
    facts += [("capture", "proxy variables only"), ("namespaces", "none")]
    wire.send(control, ("ready \n" + "\n".join(f"fact {name} {value}" for name, value in facts)).encode())
    supervisor.serve()
    raise AssertionError("the supervisor serves until it ends")


class Declared(Supervisor):
    """The supervisor of tier C."""

    ends_with_launcher = False
    multiplexer = "/dev/ptmx"
    # As in tier B: the loop waits meanwhile, and takes a path for granted at no time.
    threads_part = False

    def bind(self) -> None:
        """Nothing, as for commands."""

    def confine(self, request: wire.Request, streams: tuple[tuple[int, int], ...]) -> None:
        """Nothing: what confines stands around the session."""

    def end(self) -> NoReturn:
        """End every process that was started here, wherever it has gone."""
        end_all()
        os._exit(0)
