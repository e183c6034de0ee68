"""Starts a sandbox and speaks with its process 1: the session's side of the control socket. asyncio, and no policy.

A sandbox ends when it is closed, when this process dies, or when either process of its own does; then nothing inside is
left, and its listeners have nobody to serve.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec

from ringfence.model.situations import ProgramNotFound, RingfenceError, SandboxLost, SandboxUnavailable, TierUnavailable
from ringfence.sandbox import limit_keepers, stubs, wire
from ringfence.sandbox.git_private import PrivateGit
from ringfence.sandbox.head_start import Launcher
from ringfence.sandbox.limit_groups import PREFIX, Group, place
from ringfence.sandbox.limit_watch import Inside, Usage, Watch
from ringfence.sandbox.limits import Keeper, Outcome, Reached, told
from ringfence.sandbox.plan import Plan
from ringfence.sandbox.probe import fix_for
from ringfence.sandbox.processes import Table
from ringfence.sandbox.survey import survey
from ringfence.sandbox.survey_unshared import survey_declared, survey_unshared

_SURVEYS = {"A": survey, "B": survey_unshared, "C": survey_declared}
_START_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_ENOENT, _EACCES = 2, 13
_SIGXFSZ = 25
_NO_MEMORY = (errno.ENOBUFS, errno.ENOMEM)
_AGAIN_SECONDS = 0.05
_DEAD_MOUNT = frozenset({errno.ENOTCONN, errno.ESTALE, errno.EIO})
_TRIALS = {"landlock": "landlock", "namespaces": "namespaces", "network": "capture", "privileges": "no capabilities"}
"""Which trial of the probe speaks of a step of the set-up."""


class Pty(msgspec.Struct, frozen=True, kw_only=True):
    """A terminal of the sandbox's own. The session reads, writes and resizes the master, and closes it."""

    master: int
    name: str
    """Its path inside."""


class Command:
    """A command that was started inside."""

    def __init__(self, sandbox: Sandbox, number: int, pid: int, ended: asyncio.Future[int]) -> None:
        self.pid = pid
        """The process id inside the sandbox."""
        self._sandbox = sandbox
        self._number = number
        self._ended = ended

    async def wait(self) -> int:
        """The exit code; 128+N when signal N ended it. `SandboxLost` if the sandbox ended first."""
        if not self._ended.done():
            # Not a shield, which costs two more turns of the loop; whoever stops waiting must not end the command.
            woken: asyncio.Future[None] = self._ended.get_loop().create_future()
            self._ended.add_done_callback(lambda _: _mark(woken))
            await woken
        return self._ended.result()

    def signal(self, signum: int) -> None:
        """Send a signal to the command's process group; nothing happens when it has ended."""
        self._sandbox.send_signal(self._number, signum)


class Sandbox:
    """A running sandbox."""

    def __init__(self, launcher: int, control: socket.socket, on_lost: Callable[[], None] | None) -> None:
        self.listeners: Mapping[str, socket.socket] = {}
        """`proxy`, `capture4`, `capture6`, `dns_udp`, `dns_tcp`, `dns_udp6`, `dns_tcp6`, `hook`, `host:PORT`,
        `host6:PORT`: non-blocking, bound inside, to be served outside. Those of IPv6 only where the kernel has it."""
        self.enforcement: tuple[tuple[str, str], ...] = ()
        """What the kernel gave, for the record."""
        self.notices: tuple[str, ...] = ()
        """What the user has to be told."""
        self._launcher = launcher
        self._control = control
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._answers: dict[int, asyncio.Future[tuple[str, tuple[int, ...]]]] = {}
        self._ends: dict[int, asyncio.Future[int]] = {}
        self._waiting: dict[int, tuple[dict[str, object], tuple[int, ...]]] = {}
        """Requests that there is no room for yet, by number, in their order."""
        self._full = False
        self._last = 0
        self._closed = False
        self._reaped = False
        self._lost = False
        self._release: Callable[[], None] = lambda: None
        self.private_git: PrivateGit | None = None
        """What Git wrote in copies; there until the sandbox is closed."""
        self.before_release: Callable[[PrivateGit], None] = lambda _: None
        """Called when everything inside has ended and the copies are still there."""
        self._arrived: list[tuple[str, socket.socket]] = []
        self._on_arrival: Callable[[str, socket.socket], None] | None = None
        self._guard: socket.socket | None = None
        self._guard_said: list[tuple[str, str]] = []
        self._held: list[str] = []
        self._on_guard: Callable[[str, str], None] | None = None
        self._plan: Plan | None = None
        self._keepers: dict[str, Keeper] = {}
        self._group: Group | None = None
        self._procfs = -1
        self._on_limit: Callable[[Reached], None] = lambda _: None
        self.variables: Mapping[str, str] = {}
        """What commands find in their environment because of where things lie in this sandbox."""

    @classmethod
    async def start(
        cls,
        plan: Plan,
        *,
        tier: str = "A",
        on_lost: Callable[[], None] | None = None,
        launcher: Launcher | None = None,
    ) -> Sandbox:
        """Start a sandbox of a tier. `SandboxUnavailable` names the step that failed; then nothing is left behind.

        `on_lost` is called once, if the sandbox ends without having been closed. `launcher` is one that was given a
        head start; it is ended with the sandbox.
        """
        try:
            # The launcher first: its interpreter starts while this process looks at the disk.
            launcher = launcher or Launcher()
        except OSError as error:
            raise SandboxUnavailable(f"the sandbox's launcher did not start: {error}") from error
        control = launcher.take()
        sandbox = cls(launcher.pid, control, on_lost)
        made: Mapping[str, socket.socket] = {}
        try:
            sandbox._loop.add_reader(control.fileno(), sandbox._receive)
            surveyed = _SURVEYS[tier](plan, str(launcher.pid))
            made = surveyed.listeners
            sandbox._release = surveyed.release
            sandbox.private_git = surveyed.private_git
            sandbox.variables = surveyed.variables
            await sandbox._limit(plan, tier)
            limits = limit_keepers.layout(plan.limits, sandbox._keepers)
            wire.send_request(control, {**surveyed.layout, "limits": limits})
            async with asyncio.timeout(_START_SECONDS):
                await sandbox._ready
        except BaseException as error:
            await sandbox.close()
            for listener in made.values():
                listener.close()
            if isinstance(error, TimeoutError | OSError):
                raise SandboxUnavailable(
                    f"the sandbox did not start: {error or 'no answer'}",
                    remedy="`ringfence doctor` tries each step; a full disk has to have some space again first",
                ) from error
            raise
        sandbox.notices = (*surveyed.notices, *sandbox.notices)
        sandbox.listeners = {**sandbox.listeners, **surveyed.listeners}
        if plan.image is not None:
            sandbox.enforcement += (("image", f"{plan.image.name} {plan.image.digest}"),)
        return sandbox

    async def watch(self, on_limit: Callable[[Reached], None]) -> None:
        """Watch over the limits of the plan until it is cancelled; `on_limit` is told about each that is reached.

        Where nothing has to be watched it returns at once. `SandboxLost` when the sandbox is gone.
        """
        self._on_limit = on_limit
        plan = self._plan
        if plan is None or not limit_keepers.needs_watch(plan.limits):
            return
        own = self._procfs >= 0
        folder = self._procfs if own else os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            await Watch(
                Table(folder, ancestor=None if own else self._launcher),
                plan.limits,
                self._keepers,
                inside=Inside(usage=self._usage, handle=self._handle, tell=self._reached),
                group=self._group,
                origins=plan.limit_origins,
            ).run()
        finally:
            if not own:
                os.close(folder)

    async def _limit(self, plan: Plan, tier: str) -> None:
        """Decide who holds each limit, before anything is started."""
        self._plan = plan
        name = f"{PREFIX}{os.getpid()}-{self._launcher}"
        self._group = await asyncio.to_thread(place, plan.limits, self._launcher, name, uid=os.getuid())
        self._keepers = limit_keepers.keepers(
            plan.limits, held=self._group.held if self._group else frozenset(), tier=tier, root=os.getuid() == 0
        )

    async def _usage(self) -> Usage:
        answer, _ = await self._ask(self._next(), {"op": "usage"}, ())
        written, places, shared = map(int, answer.split())
        return Usage(written=written, places=places, shared=shared)

    async def _handle(self, pid: int) -> int:
        try:
            _, descriptors = await self._ask(self._next(), {"op": "handle", "pid": pid}, ())
        except SandboxUnavailable as gone:
            raise ProcessLookupError(pid) from gone
        return descriptors[0]

    def _reached(self, reached: Reached) -> None:
        self._on_limit(reached)

    def take_arrivals(self, on_arrival: Callable[[str, socket.socket], None]) -> None:
        """Be given each connection that was made inside, and what it is: in a sandbox without a network of its own
        nothing arrives at listeners. Those that came before are given now."""
        self._on_arrival = on_arrival
        arrived, self._arrived = self._arrived, []
        for kind, made in arrived:
            on_arrival(kind, made)

    def take_guard(self, on_guard: Callable[[str, str], None]) -> None:
        """Be told when something protected was replaced outside: `again` and `held` where it is protected again, `lost`
        where it is not, `none` where nobody watches; and the path, or the reason."""
        self._on_guard = on_guard
        said, self._guard_said = self._guard_said, []
        for what, path in said:
            on_guard(what, path)

    def _hold(self, path: str) -> None:
        """Remember a place holder that the guard has made, for whoever sweeps up after a session that is killed too."""
        self._held.append(path)
        if self._plan is None or self._plan.staging is not None:
            return
        with contextlib.suppress(OSError):
            stubs.note(_state(self._plan), path, str(self._launcher))

    def _hear_guard(self) -> None:
        assert self._guard is not None
        try:
            data = self._guard.recv(8192)
        except OSError:
            return
        if not data:
            self._loop.remove_reader(self._guard.fileno())
            return
        what, _, path = data.decode(errors="replace").partition(" ")
        if what == "held":
            self._hold(path)
        if self._on_guard is None:
            self._guard_said.append((what, path))
        else:
            self._on_guard(what, path)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: int | Pty,
        stdout: int | Pty,
        stderr: int | Pty,
        umask: int = 0o022,
    ) -> Command:
        """Start a command. The program is looked up inside, with the PATH of `env`.

        A stream is a descriptor, which stays the caller's to close, or a terminal, which becomes the controlling one.
        """
        descriptors: list[int] = []
        streams: list[int | str] = []
        for stream in (stdin, stdout, stderr):
            if isinstance(stream, Pty):
                streams.append(stream.name)
            else:
                if stream not in descriptors:
                    descriptors.append(stream)
                streams.append(descriptors.index(stream))
        number = self._next()
        ended: asyncio.Future[int] = self._loop.create_future()
        self._ends[number] = ended
        request: dict[str, object] = {"op": "spawn", "argv": list(argv), "env": dict(env), "cwd": cwd, "umask": umask}
        try:
            answer, _ = await self._ask(number, {**request, "streams": streams}, tuple(descriptors))
        except BaseException:
            self._ends.pop(number, None)
            raise
        return Command(self, number, int(answer), ended)

    async def open_pty(self, rows: int, columns: int) -> Pty:
        """Open a terminal of the sandbox's own."""
        answer, descriptors = await self._ask(self._next(), {"op": "pty", "rows": rows, "columns": columns}, ())
        return Pty(master=descriptors[0], name=answer)

    async def connect(self, port: int) -> socket.socket:
        """A connection to a port of the sandbox's loopback; `ConnectionRefusedError` where nothing listens there."""
        for family in (socket.AF_INET, socket.AF_INET6):
            request = {"op": "connect", "family": int(family), "port": port}
            try:
                _, descriptors = await self._ask(self._next(), request, ())
            except SandboxUnavailable:
                continue
            made = socket.socket(fileno=descriptors[0])
            made.setblocking(False)
            try:
                if await self._is_connected(made):
                    return made
            except BaseException:
                made.close()
                raise
            made.close()
        raise ConnectionRefusedError(f"nothing listens on port {port} in the sandbox")

    async def _is_connected(self, made: socket.socket) -> bool:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(made.fileno(), _mark, ready)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await ready
        except TimeoutError:
            return False
        finally:
            self._loop.remove_writer(made.fileno())
        return made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0

    def send_signal(self, command: int, signum: int) -> None:
        """Send a signal to the process group of a command, by its number."""
        self._request(self._next(), {"op": "signal", "command": command, "signal": int(signum)}, ())

    def _request(self, number: int, request: dict[str, object], descriptors: tuple[int, ...]) -> None:
        """Send a request, as soon as process 1 has room for it; the descriptors stay open until it is answered."""
        if self._lost or self._closed:
            return
        self._waiting[number] = ({**request, "id": number}, descriptors)
        if not self._full:
            self._send_waiting()

    def _send_waiting(self) -> None:
        """Send what waits. Of more starts at once than the socket has room for, none is refused."""
        while self._waiting and not self._closed:
            number, (request, descriptors) = next(iter(self._waiting.items()))
            try:
                wire.send_request(self._control, request, descriptors)
            except BlockingIOError:
                self._full = True
                self._loop.add_writer(self._control.fileno(), self._send_waiting)
                return
            except ConnectionError:
                self._lose()
                return
            except OSError as error:
                if error.errno in _NO_MEMORY:
                    # Nothing tells when there is some again.
                    self._full = True
                    self._loop.call_later(_AGAIN_SECONDS, self._send_waiting)
                    return
                # A stream that is closed, or too many under way: this request's fault, and no other's.
                if number in self._answers:
                    _fail(self._answers[number], SandboxUnavailable(f"the command was not started: {error.strerror}"))
            del self._waiting[number]
        if self._full and not self._closed:
            self._full = False
            self._loop.remove_writer(self._control.fileno())

    def end(self) -> None:
        """End everything inside, without waiting for it. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_writer(self._control.fileno())
        self._control.close()
        if self._guard is not None:
            self._loop.remove_reader(self._guard.fileno())
            self._guard.close()
        for listener in self.listeners.values():
            listener.close()
        for _, made in self._arrived:
            made.close()
        self._fail_everything()

    async def close(self) -> None:
        """End everything inside, wait for it, and remove what was left on the host. May be called again."""
        self.end()
        if self._reaped:
            return
        self._reaped = True
        try:
            await _reap(self._launcher)
            if self.private_git is not None:
                self.before_release(self.private_git)
        finally:
            if self._procfs >= 0:
                os.close(self._procfs)
            if self._group is not None:
                await asyncio.to_thread(self._group.remove)
            self._release()
            shared = None if self._plan is None or self._plan.staging is not None else _state(self._plan)
            for path in self._held:
                stubs.remove_untouched(path, shared)

    def _next(self) -> int:
        self._last += 1
        return self._last

    async def _ask(
        self, number: int, request: dict[str, object], descriptors: tuple[int, ...]
    ) -> tuple[str, tuple[int, ...]]:
        if self._lost or self._closed:
            raise SandboxLost("the sandbox has ended")
        answer: asyncio.Future[tuple[str, tuple[int, ...]]] = self._loop.create_future()
        self._answers[number] = answer
        try:
            self._request(number, request, descriptors)
            return await answer
        finally:
            self._answers.pop(number, None)
            self._waiting.pop(number, None)

    def _receive(self) -> None:
        try:
            data, descriptors = wire.receive(self._control)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", ()
        if not data:
            self._lose()
            return
        word, _, rest = data.decode(errors="replace").partition(" ")
        match word:
            case "ready":
                self._take_listeners(rest, descriptors)
            case "failed":
                if not self._ready.done():
                    self._ready.set_exception(_failed(rest))
            case "exit":
                number, _, code = rest.partition(" ")
                ended = self._ends.pop(int(number), None)
                self._explain(int(code))
                if ended is not None and not ended.done():
                    ended.set_result(int(code))
            case "arrived":
                self._take_arrival(rest, descriptors)
            case _:
                self._take_answer(word, rest, descriptors)

    def _explain(self, code: int) -> None:
        """Tell about a limit that shows only in how a command ended."""
        most = self._plan.limits.file_mb if self._plan is not None else None
        if most is not None and code == 128 + _SIGXFSZ:
            keeper = Keeper.RLIMIT
            self._reached(Reached(limit="file_mb", allowed=most, seen=most, outcome=Outcome.KILLED, keeper=keeper))

    def _take_answer(self, word: str, rest: str, descriptors: tuple[int, ...]) -> None:
        number, _, text = rest.partition(" ")
        answer = self._answers.get(int(number))
        if answer is None or answer.done():
            for descriptor in descriptors:
                os.close(descriptor)
            if word == "spawned":
                # Whoever wanted it waits no longer, and nobody else knows of it.
                self.send_signal(int(number), signal.SIGKILL)
        elif word == "refused":
            answer.set_exception(_refused(text))
        else:
            answer.set_result((text, descriptors))

    def _take_arrival(self, kind: str, descriptors: tuple[int, ...]) -> None:
        for descriptor in descriptors:
            made = socket.socket(fileno=descriptor)
            made.setblocking(False)
            if self._on_arrival is not None:
                self._on_arrival(kind, made)
            else:
                self._arrived.append((kind, made))

    def _take_listeners(self, text: str, descriptors: tuple[int, ...]) -> None:
        names, *lines = text.split("\n")
        found = dict(zip(names.split(), descriptors, strict=True))
        self._procfs = found.pop("procfs", -1)
        self.listeners = {name: socket.socket(fileno=each) for name, each in found.items()}
        for listener in self.listeners.values():
            listener.setblocking(False)
        guard = dict(self.listeners)
        self._guard = guard.pop("guard", None)
        self.listeners = guard
        if self._guard is not None:
            self._loop.add_reader(self._guard.fileno(), self._hear_guard)
        facts = [line.split(" ", 2) for line in lines if line.startswith("fact ")]
        measured = {"tier": "A", **{name: value for _, name, value in facts}}
        measured["limits"] = told(self._keepers)
        self.enforcement = tuple(measured.items())
        self.notices = tuple(line[7:] for line in lines if line.startswith("notice "))
        self._ready.set_result(None)

    def _lose(self) -> None:
        if self._lost or self._closed:
            return
        self._lost = True
        self._loop.remove_reader(self._control.fileno())
        self._loop.remove_writer(self._control.fileno())
        self._fail_everything()
        if self._on_lost is not None:
            self._on_lost()

    def _fail_everything(self) -> None:
        lost: RingfenceError = SandboxLost("the sandbox ended")
        _fail(self._ready, SandboxUnavailable("the sandbox ended while it was being set up"))
        for answer in self._answers.values():
            _fail(answer, lost)
        self._waiting.clear()
        for ended in self._ends.values():
            _fail(ended, lost)
        self._ends.clear()


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # Nobody may be waiting, which is no fault worth a warning.
        future.exception()


@contextlib.asynccontextmanager
async def launch(plan: Plan, *, tier: str = "A", on_lost: Callable[[], None] | None = None) -> AsyncIterator[Sandbox]:
    """A sandbox for the length of a block."""
    sandbox = await Sandbox.start(plan, tier=tier, on_lost=on_lost)
    try:
        yield sandbox
    finally:
        await sandbox.close()


def _state(plan: Plan) -> str:
    """Where it is kept what is made on the host."""
    return plan.facts.state or stubs.usual_state(plan.facts.home)


async def _reap(pid: int) -> None:
    loop = asyncio.get_running_loop()
    handle = os.pidfd_open(pid)
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(handle, _mark, ended)
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await ended
    except TimeoutError:
        os.kill(pid, 9)
    finally:
        loop.remove_reader(handle)
        os.close(handle)
        os.waitpid(pid, 0)  # noqa: ASYNC222 - it has ended already


def _mark(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _failed(text: str) -> SandboxUnavailable:
    number, _, what = text.partition(" ")
    step = what.partition(":")[0]
    if step == "files" and number.isdecimal() and int(number) in _DEAD_MOUNT:
        return SandboxUnavailable(
            f"the sandbox cannot be set up; it failed at {what} (error {number})",
            remedy="something is mounted in the workspace, or in what a rule opens, that does not answer any more:"
            " unmount it (`findmnt` lists the mounts), or mount it again",
        )
    remedy = "`ringfence doctor` shows what this machine can enforce, and how to get the rest"
    if step in _TRIALS:
        remedy = f"{fix_for(_TRIALS[step])}; {remedy}"
    return TierUnavailable(f"the sandbox cannot be set up; it failed at {what} (error {number})", remedy=remedy)


def _refused(text: str) -> RingfenceError:
    number, _, what = text.partition(" ")
    if int(number) in (_ENOENT, _EACCES):
        remedy = "check the name, and that the program lies on PATH or in a readable folder"
        if re.match(r"the program `[^`]*\s", what):
            remedy = "a command line for a shell is run with `sh -c '...'`; else each word is an argument of its own"
        return ProgramNotFound(what, remedy=remedy)
    return SandboxUnavailable(f"the command was not started: {what}")
