"""The resident supervisor of tier B, and the process that stands by it.

It is not inside: no namespace parts it from the programs that it starts, so each of them gets a Landlock domain and a
filter, and the calls that the filter does not decide are decided here. If it dies, those calls fail, and whoever stands
by ends everything that was started.
"""

from __future__ import annotations

import _thread
import os
import resource
import select
import time
from _socket import socket

from ringfence.sandbox import landlock, namespaces, syscalls, wire
from ringfence.sandbox.backends import filter as calls_filter
from ringfence.sandbox.backends.calls import Call, take_turns
from ringfence.sandbox.backends.descendants import end_all
from ringfence.sandbox.backends.files import RENAMEAT2, Files
from ringfence.sandbox.backends.guard import Guard
from ringfence.sandbox.backends.shown import Shown
from ringfence.sandbox.backends.signals import Signals
from ringfence.sandbox.backends.sockets import Sockets
from ringfence.sandbox.backends.spares import Spares
from ringfence.sandbox.rlimits import bound, pin
from ringfence.sandbox.supervisor import Refused, Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from ringfence.sandbox import seccomp

PR_SET_CHILD_SUBREAPER = 36
_ENOSYS, _EACCES, _EINVAL = 38, 13, 22
_OWN_ADDRESS_BYTES = 3
_TICK_MILLISECONDS = 20
_SOL_SOCKET, _SO_TYPE, _SOCK_STREAM = 1, 3, 1
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_SOCKET_TYPE, _TYPE = 0o140000, 0o170000
_DESCRIPTORS = 65_536
_PROCESSES = 16_384


def build(control: socket, layout: wire.Request, progress: list[str]) -> NoReturn:
    """Set the sandbox up and serve it until the session ends."""
    progress.append("landlock")
    abi = min(landlock.version(), layout["generation"])
    if abi < landlock.TRUNCATE_SINCE:
        raise OSError(_ENOSYS, "tier B needs Landlock's third generation (Linux 6.2), which keeps files from being cut")
    signals = abi < landlock.SCOPES_SINCE
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
    limits = layout["limits"]
    limit(limits)
    progress.append("rules")
    rules = landlock.Ruleset(abi, _rules(abi, layout), network=True)
    prepared = calls_filter.prepare(pinned=bool(limits["processors"]), shows=bool(layout["shown"]), signals=signals)
    supervisor = Unshared(control, reader, rules, prepared, abi)
    progress.append("calls")
    supervisor.prepare(layout)
    namespaces.hide_memory()
    kept = "files" + (", tcp" if abi >= landlock.NETWORK_SINCE else "") + ("" if signals else ", scopes")
    facts = [("tier", "B"), ("landlock", f"{abi}, {kept}"), ("seccomp", "filter and supervisor")]
    facts += [("capture", "tcp by the supervisor, udp none but dns"), ("namespaces", "none")]
    lines = [""] + [f"fact {name} {value}" for name, value in facts]
    if os.geteuid() == 0 and not limits["processes"]:
        lines.append("notice the number of processes is not limited: for root that takes a process namespace")
    wire.send(control, ("ready " + "\n".join(lines)).encode())
    supervisor.serve()
    raise AssertionError("the supervisor serves until it ends")


def stand_by(control: socket, child: int, reader: int) -> NoReturn:
    """Wait for the supervisor, and end what it leaves."""
    # As in the other tier, the pipe tells the supervisor when this process dies; and when the supervisor dies, what it
    # started becomes this one's to end.
    control.close()
    os.close(reader)
    namespaces.hide_memory()
    _, status = os.waitpid(child, 0)
    end_all()
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def limit(limits: wire.Request) -> None:
    """What this process and every command have at most."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The account's other processes count too, where there is no namespace of ours; and root's do not. What the policy
    # allows is therefore the watch's to hold.
    bound(resource.RLIMIT_NPROC, _PROCESSES)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Ours are the listeners and the sockets that wait; a command gets what the user has.
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if most < _DESCRIPTORS else min(_DESCRIPTORS, most), most))
    bound(resource.RLIMIT_NOFILE, limits["open_files"])
    bound(resource.RLIMIT_FSIZE, limits["file_mb"] and limits["file_mb"] * 1024 * 1024)
    pin(limits["processors"])


def _rules(abi: int, layout: wire.Request) -> list[tuple[str, int]]:
    everything = landlock.handled(abi) & ~landlock.IOCTL_DEV
    device = landlock.READ_FILE | landlock.WRITE_FILE | landlock.TRUNCATE | landlock.IOCTL_DEV
    rules = [(path, landlock.READ) for path in layout["read"]]
    rules += [(path, landlock.READ_DIR) for path in layout["listed"]]
    for store in layout["stores"].values():
        rules += [(f"{store}/{name}", landlock.READ) for name in os.listdir(store)]
    rules += [(path, everything) for path in layout["private"]]
    rules += [(f"/dev/{name}", device) for name in _DEVICES]
    return [(path, rights) for path, rights in rules if os.path.lexists(path)]


class Unshared(Supervisor):
    """The supervisor of tier B: it answers the calls of its commands as well."""

    terminal_flags = calls_filter.OWN_TERMINAL
    ends_with_launcher = False
    multiplexer = "/dev/ptmx"
    # Containers forbid `unshare`, whatever it is to part. The loop waits meanwhile, and takes a path for granted at no
    # time.
    threads_part = False

    def __init__(
        self, control: socket, lifeline: int, rules: landlock.Ruleset, program: seccomp.Filter, abi: int
    ) -> None:
        super().__init__(control, lifeline, rules, program)
        self._filter = program
        self._file_rules = rules
        self._names: dict[int, str] = {}
        self._handlers: dict[str, Callable[[Call], object]] = {}
        self._listeners: set[int] = set()
        self._polled: set[int] = set()
        self._starting: list[Callable[[], None]] = []
        self._wanted = _thread.allocate_lock()
        self._wanted.acquire()
        self._abi = abi

    def prepare(self, layout: wire.Request) -> None:
        """Make what calls are answered with."""
        signals = self._abi < landlock.SCOPES_SINCE
        self._names = calls_filter.served(os.uname().machine, shows=bool(layout["shown"]), signals=signals)
        guard = Guard(layout["roots"], layout["private"], layout["closed"], layout["pinned"])
        stores, levels = layout["stores"], layout["levels"]
        spares = Spares(stores, levels, layout["read"], RENAMEAT2[os.uname().machine]) if stores else None
        files = Files(guard, [path for path in layout["closed"] if path not in stores.values()], spares)
        own = "127." + ".".join(str(1 + each % 254) for each in os.urandom(_OWN_ADDRESS_BYTES))
        self._sockets = Sockets(files, own, layout["hook"], layout["host_ports"], self._deliver)
        self._handlers = {**files.handlers, **self._sockets.handlers}
        if layout["shown"]:
            self._handlers |= Shown(layout["shown"], files.handlers).handlers
        if signals:
            self._handlers |= Signals().handlers
        self.events.register(self._sockets.gate.fileno(), select.POLLIN)
        ready = _thread.allocate_lock()
        ready.acquire()
        failed: list[BaseException] = []
        _thread.start_new_thread(self._start_commands, (ready, failed))
        ready.acquire()
        if failed:
            raise failed[0]

    def bind(self) -> None:
        """Nothing: this process does what its commands may not, and each of them has a listener of its own."""

    def patience(self) -> int | None:
        """Connections that somebody waits for are looked after in between."""
        return _TICK_MILLISECONDS if self._sockets.waiting else None

    def take(self, descriptor: int, event: int) -> None:
        """A call, the end of a command's last process, or a connection."""
        if descriptor in self._listeners:
            if event & select.POLLIN:
                self._serve(descriptor)
            elif event & (select.POLLHUP | select.POLLERR):
                self._listeners.discard(descriptor)
                self.events.unregister(descriptor)
                os.close(descriptor)
        elif descriptor == self._sockets.gate.fileno():
            self._sockets.accept()
        elif descriptor in self._sockets.waiting:
            self._sockets.settle(descriptor, time.monotonic())
        self._watch_waiting()

    def end(self) -> NoReturn:
        """End every process that was started here, wherever it has gone."""
        end_all()
        os._exit(0)

    def start(self, request: wire.Request, actions: list[tuple[int, ...]], streams: tuple[tuple[int, int], ...]) -> int:
        """The same in a thread that is in the domain all commands share; waits for it."""
        outcome: list[int | BaseException] = []
        done = _thread.allocate_lock()
        done.acquire()
        begin = super().start

        def run() -> None:
            try:
                outcome.append(begin(request, actions, streams))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                outcome.append(error)
            finally:
                done.release()

        self._starting.append(run)
        self._wanted.release()
        done.acquire()
        result = outcome[0]
        if isinstance(result, BaseException):
            raise result
        return result

    def confine(self, request: wire.Request, streams: tuple[tuple[int, int], ...]) -> None:
        """Bind the calling thread; its calls are served from now on, but it makes none before it starts its command."""
        terminals = {each for each in request["streams"] if isinstance(each, str)}
        opened = [os.open(each, os.O_PATH | os.O_CLOEXEC) for each in terminals]
        rights = landlock.READ_FILE | landlock.WRITE_FILE | landlock.IOCTL_DEV
        self._file_rules.restrict((*streams, *((each, rights) for each in opened)))
        for each in opened:
            os.close(each)
        listener = self._filter.install_with_listener()
        take_turns(listener)
        self._listeners.add(listener)
        self.events.register(listener, select.POLLIN)

    def stream_rule(self, descriptor: int) -> list[tuple[int, int]]:
        """As in the other tier; and no socket that could send a message to whom it likes."""
        if os.fstat(descriptor).st_mode & _TYPE == _SOCKET_TYPE:
            given = socket(fileno=os.dup(descriptor))
            kind = given.getsockopt(_SOL_SOCKET, _SO_TYPE)
            given.close()
            if kind != _SOCK_STREAM:
                raise Refused(_EINVAL, "in tier B, a socket that takes addresses cannot be a stream of a command")
        return super().stream_rule(descriptor)

    def _start_commands(self, ready: _thread.LockType, failed: list[BaseException]) -> None:
        try:
            landlock.stay_within(self._abi)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failed.append(error)
            return
        finally:
            ready.release()
        while True:
            self._wanted.acquire()
            _thread.start_new_thread(self._starting.pop(0), ())

    def _serve(self, listener: int) -> None:
        call = Call.receive(listener)
        if call is None:
            return
        try:
            handler = self._handlers.get(self._names.get(call.number, ""))
            answer = handler(call) if handler is not None else -_ENOSYS
        except OSError as error:
            answer = -(error.errno or _EACCES)
        except Exception:  # noqa: BLE001 - one program's call must not end the others
            answer = -_EACCES
        call.answer(answer)  # type: ignore[arg-type]

    def _deliver(self, kind: str, made: socket) -> None:
        self.send(f"arrived {kind}", (made.fileno(),))

    def _watch_waiting(self) -> None:
        self._sockets.expire(time.monotonic())
        waited = {each for each, waiting in self._sockets.waiting.items() if waiting.retry is None}
        for gone in self._polled - waited:
            try:
                self.events.unregister(gone)
            except KeyError:
                continue
        for each in waited - self._polled:
            self.events.register(each, select.POLLOUT)
        self._polled = waited
