"""Signals where Landlock does not keep them inside, before Linux 6.12: the supervisor sends them, and only to processes
that come from it.

What a signal is for stands in registers, which nobody changes while the call waits. Whom a number means can change:
so a process is held by descriptor first, and then it is seen whether it is one of ours.
"""

from __future__ import annotations

import os

from ringfence.sandbox import syscalls
from ringfence.sandbox.backends.calls import Kernels
from ringfence.sandbox.backends.descendants import descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence.sandbox.backends.calls import Answer, Call

_EPERM, _ESRCH, _EINVAL = 1, 3, 22
_PIDFD_SEND_SIGNAL = 424
_TGKILL = {"x86_64": 234, "aarch64": 131}
_INFORMATION = 128
_UNHANDLED = (9, 19)
_ROUNDS = 100


class Signals:
    """Serves the calls that send signals."""

    def __init__(self) -> None:
        self._own = os.getpid()
        self._tgkill = _TGKILL[os.uname().machine]
        self.handlers: dict[str, Callable[[Call], Answer]] = {
            "kill": self._kill,
            "tkill": self._tkill,
            "tgkill": self._tgkill_call,
            "rt_sigqueueinfo": self._queue,
            "rt_tgsigqueueinfo": lambda c: Kernels() if c.number_at(0) == _process(c.thread) else -_EPERM,
            "pidfd_send_signal": self._by_descriptor,
        }

    def _kill(self, call: Call) -> Answer:
        target, signal = call.number_at(0), call.number_at(1)
        # The caller is there as long as it waits, and its group holds nobody from outside: a command begins a session.
        if target in (0, _process(call.thread)):
            return Kernels()
        if target > 0:
            return self._send(target, signal)
        group = None if target == -1 else -target
        sent: dict[int, int] = {}
        # The kernel signals a whole group at once. One by one, a member may start another before its own end comes:
        # so it is looked again. What can be handled is sent once, as whoever handles it may start processes on purpose.
        for _ in range(_ROUNDS if signal in _UNHANDLED else 1):
            found = [pid for pid in descendants() if pid not in sent and (group is None or _group(pid) == group)]
            if group is None:
                # As with the kernel, everybody but whoever asks.
                found = [pid for pid in found if pid != _process(call.thread)]
            if not found:
                break
            sent |= {pid: self._send(pid, signal) for pid in found}
        if 0 in sent.values():
            return 0
        return -_EPERM if group is not None and _is_a_group(group) and not sent else -_ESRCH

    def _tkill(self, call: Call) -> Answer:
        process = _process(call.thread)
        if os.path.exists(f"/proc/{process}/task/{call.number_at(0)}"):
            # Of the caller's own process, which is there; should the thread end meanwhile, the kernel finds none.
            syscalls.call(self._tgkill, process, call.number_at(0), call.number_at(1), what="signal a thread")
            return 0
        return -_EPERM

    def _tgkill_call(self, call: Call) -> Answer:
        process, thread, signal = (call.number_at(index) for index in range(3))
        if process == _process(call.thread):
            return Kernels()
        held = self._hold(process)
        try:
            # Held and alive, its number is its own.
            _check(held)
            syscalls.call(self._tgkill, process, thread, signal, what="signal a thread")
        finally:
            os.close(held)
        return 0

    def _queue(self, call: Call) -> Answer:
        target, signal = call.number_at(0), call.number_at(1)
        if target == _process(call.thread):
            return Kernels()
        return self._send(target, signal, call.memory(call.arguments[2], _INFORMATION))

    def _by_descriptor(self, call: Call) -> Answer:
        number, signal = call.number_at(0), call.number_at(1)
        process = _meant(call, number)
        held = self._hold(process)
        try:
            if _meant(call, number) != process:
                return -_ESRCH
            information = call.memory(call.arguments[2], _INFORMATION) if call.arguments[2] else None
            if call.number_at(3):
                return -_EINVAL
            return _signal(held, signal, information)
        finally:
            os.close(held)

    def _send(self, process: int, signal: int, information: bytes | None = None) -> int:
        try:
            held = self._hold(process)
        except OSError as error:
            return -(error.errno or _ESRCH)
        try:
            return _signal(held, signal, information)
        except OSError as error:
            return -(error.errno or _ESRCH)
        finally:
            os.close(held)

    def _hold(self, process: int) -> int:
        """A process by descriptor, if it comes from us."""
        held = os.pidfd_open(process)
        # SECURITY: a parent that ends gives its child to another, so a chain that is the same twice was true in
        # between; and whose end has not come is still the one that was looked at.
        try:
            first = self._chain(process)
            if first is None or self._chain(process) != first:
                raise PermissionError(_EPERM, "not a process of the sandbox")
            _check(held)
        except OSError:
            os.close(held)
            raise
        return held

    def _chain(self, process: int) -> tuple[int, ...] | None:
        chain = [process]
        while chain[-1] > 1:
            above = _field(chain[-1], 1)
            if above == self._own:
                return tuple(chain)
            if above is None or above in chain:
                return None
            chain.append(above)
        return None


def _signal(held: int, signal: int, information: bytes | None) -> int:
    syscalls.call(_PIDFD_SEND_SIGNAL, held, signal, information, 0, what="signal a process")
    return 0


def _check(held: int) -> None:
    """`ProcessLookupError` where it has ended."""
    _signal(held, 0, None)


def _process(thread: int) -> int:
    """The process that a thread belongs to."""
    with open(f"/proc/{thread}/status", "rb") as file:
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line.split()[1])
    raise ProcessLookupError(_ESRCH, "no such thread")


def _meant(call: Call, number: int) -> int:
    """The process that a descriptor of the caller's is for."""
    with open(f"/proc/{call.thread}/fdinfo/{number}", "rb") as file:
        for line in file:
            if line.startswith(b"Pid:"):
                found = int(line.split()[1])
                if found > 0:
                    return found
                raise ProcessLookupError(_ESRCH, "it has ended")
    raise OSError(9, "not a descriptor of a process")


def _group(process: int) -> int | None:
    return _field(process, 2)


def _is_a_group(group: int) -> bool:
    return any(_group(int(name)) == group for name in os.listdir("/proc") if name.isdecimal())


def _field(process: int, index: int) -> int | None:
    """A number behind a process's name in its `stat`: 1 is its parent, 2 its group."""
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[index])
    except OSError:
        return None
