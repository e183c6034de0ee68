"""The Python API: a session as an asynchronous context, commands as awaitables, denials as values."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType

import msgspec

from ringfence.model.action import Action, ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import CommandEnded, CommandStarted
from ringfence.model.ids import new_id
from ringfence.model.situations import UsageInvalid
from ringfence.policy.effective import WorkspaceMode
from ringfence.session.governed import Governed
from ringfence.session.opening import open_session
from ringfence.session.options import Ask, Options
from ringfence.session.placing import Started
from ringfence.session.sources import working_folder

OUTPUT_LIMIT = 16 * 1024 * 1024
"""How much of each stream of a command is kept; what comes after is read and thrown away, and `truncated` says so."""
_DENIED = 126
_PIPE = 65_536
_DRAIN_SECONDS = 0.5
"""How long what a killed command left in its pipes is read."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command."""

    decision: Decision
    exit_code: int
    """The command's own; 128+N when signal N ended it; 126 where it was denied."""
    stdout: str = ""
    stderr: str = ""
    duration_ms: int = 0
    timed_out: bool = False
    truncated: bool = False
    """Whether a stream was longer than `OUTPUT_LIMIT`."""

    @property
    def denied(self) -> bool:
        """Whether it was not run, because the policy or a reviewer said so."""
        return self.decision.verdict is not Verdict.ALLOW


class Session:
    """A governed session in a workspace.

        async with ringfence.Session(workspace=".", policy="workspace") as session:
            result = await session.exec(["pytest", "-q"])

    Entering it starts the sandbox, the gateway and the record; leaving it ends everything that still runs inside.
    Raises `PolicyInvalid`, `SandboxUnavailable`, `UsageInvalid` or `LedgerBroken` when it cannot be opened, or when it
    is lost. A denial is not an exception: see `Result.denied`. One session may run many commands, also at once.
    """

    def __init__(
        self,
        *,
        workspace: str | os.PathLike[str] | None = None,
        policy: str | os.PathLike[str] | None = None,
        ask: Ask | str = Ask.DENY,
        allow_hosts: Sequence[str] = (),
        read: Sequence[str] = (),
        write: Sequence[str] = (),
        environment: Sequence[str] = (),
        min_tier: str | None = None,
        workspace_mode: WorkspaceMode | str | None = None,
        image: str | None = None,
        oci_runtime: str | None = None,
    ) -> None:
        """`workspace`: the folder to work in (default: the Git top level, else the working directory).
        `policy`: a preset's name or a file (default: the user's own policy). `ask`: who answers questions; nobody by
        default, so that an `ask` is a deny. The rest opens more for this session, still under requirements:
        `allow_hosts` destinations, `read` and `write` paths, `environment` names of variables that are passed on.
        `image`: a container image, or the folder of an unpacked one, that programs come from.
        `oci_runtime`: make the sandbox a container of this OCI runtime: `runsc`, `crun` or `runc`.
        """
        self._options = Options(
            workspace=None if workspace is None else os.fspath(workspace),
            policy=None if policy is None else os.fspath(policy),
            min_tier=min_tier,
            image=image,
            oci_runtime=oci_runtime,
            allow_hosts=tuple(allow_hosts),
            read=tuple(read),
            write=tuple(write),
            environment=tuple(environment),
            workspace_mode=None if workspace_mode is None else WorkspaceMode(workspace_mode),
            ask=Ask(ask),
        )
        self._opened: AbstractAsyncContextManager[Governed] | None = None
        self._governed: Governed | None = None

    async def __aenter__(self) -> Session:
        if self._opened is not None:
            raise UsageInvalid("this session was opened before", remedy="make a new `Session` for each block")
        self._opened = open_session(
            self._options,
            argv=("ringfence-api",),
            environ=os.environ,
            cwd=working_folder(),
            whole_agent=False,
            on_denial=lambda _: None,
            announce=lambda _: None,
        )
        self._governed = await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._opened is not None
        if self._governed is not None:
            self._governed.exit_code = 0 if kind is None else 1
        await self._opened.__aexit__(kind, value, trace)
        self._governed = None

    @property
    def id(self) -> str:
        """The session's id, as `ringfence log` takes it."""
        return self._live.session

    @property
    def workspace(self) -> str:
        """The absolute path of the workspace, the same inside and outside."""
        return self._live.workspace

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should be told about this session: inactive policy lines, limits that were met."""
        return self._live.notices

    async def exec(
        self,
        argv: Sequence[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        input: str | bytes | None = None,  # noqa: A002 - as in `subprocess.run`
        timeout: float | None = None,
    ) -> Result:
        """Decide about a command, run it inside, and collect its output.

        `argv`: program and arguments; there is no shell. `cwd`: relative to the session's folder. `env`: variables that
        this command changes. `input`: what it reads. `timeout`: seconds, after which it is killed, and its output taken
        as it is then; what it detached from itself ends with the session. A cancelled call kills the command as well.
        `ProgramNotFound` where the program cannot be seen inside.
        """
        live = self._live
        folder = None if cwd is None else os.fspath(cwd)
        # INVARIANT: what is decided is what runs, so the caller's own list and mapping are read once, here.
        words, changed = _checked(argv, env or {}, folder)
        request = live.request(words, cwd=folder, changed=changed)
        action = live.command(words, cwd=folder, changed=request.changed)
        decision = await live.decide(action, asked_by="api", within=request.judge)
        if decision.verdict is not Verdict.ALLOW:
            return Result(decision=decision, exit_code=_DENIED, stderr=decision.message)
        place = await live.place(request, words)
        number, started = new_id(), time.monotonic()
        with ExitStack() as pipes:
            streams = _Streams(pipes, input)
            command = await place.starter.spawn(
                place.argv,
                env=place.environment,
                cwd=os.path.join(live.cwd, folder) if folder else live.cwd,
                stdin=streams.theirs[0],
                stdout=streams.theirs[1],
                stderr=streams.theirs[2],
            )
            streams.hand_over()
            live.tally.record_soon(
                CommandStarted(command=number, argv=action.argv, cwd=action.cwd, pid=command.pid), None
            )
            code, duration = _DENIED, 0
            try:
                code, timed_out = await _to_its_end(command, streams, timeout)
            except asyncio.CancelledError:
                command.signal(signal.SIGKILL)
                code = await command.wait()
                raise
            finally:
                duration = int((time.monotonic() - started) * 1000)
                live.tally.record_soon(CommandEnded(command=number, exit_code=code, duration_ms=duration), None)
        return Result(
            decision=decision,
            exit_code=code,
            stdout=streams.output.decode(errors="replace"),
            stderr=streams.errors.decode(errors="replace"),
            duration_ms=duration,
            timed_out=timed_out,
            truncated=streams.truncated,
        )

    async def decide(self, action: Action) -> Decision:
        """Decide about any action, without running it; on record like every other."""
        return await self._live.decide(action, asked_by="api")

    async def may_connect(self, host: str, port: int = 443) -> Decision:
        """Decide about a connection."""
        return await self.decide(ConnectAction(host=host, port=port))

    async def may_read(self, path: str) -> Decision:
        """Decide about reading a file."""
        return await self.decide(FileAction(operation=FileOperation.READ, path=self._path(path)))

    async def may_write(self, path: str) -> Decision:
        """Decide about writing a file."""
        return await self.decide(FileAction(operation=FileOperation.WRITE, path=self._path(path)))

    def _path(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._live.cwd, os.path.expanduser(path)))

    @property
    def _live(self) -> Governed:
        if self._governed is None:
            raise UsageInvalid("the session is not open", remedy="use it inside `async with`")
        return self._governed


async def _to_its_end(command: Started, streams: _Streams, timeout: float | None) -> tuple[int, bool]:
    """Wait for the command and for what it writes: the exit code, and whether the time was not enough."""
    timed_out = False
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(streams.collect())
        try:
            async with asyncio.timeout(timeout):
                code = await command.wait()
                await asyncio.wait({reading})
        except TimeoutError:
            timed_out = True
            command.signal(signal.SIGKILL)
            code = await command.wait()
            # SECURITY: a child that detached itself may hold the pipes open for ever.
            await asyncio.wait({reading}, timeout=_DRAIN_SECONDS)
            streams.truncated |= not reading.done()
            reading.cancel()
    return code, timed_out


def _checked(argv: Sequence[str], env: Mapping[str, str], cwd: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
    """The caller's words and variables, as values of our own; `UsageInvalid` where no program could be given them."""
    words, changed = () if isinstance(argv, str | bytes) else tuple(argv), dict(env)
    if not words:
        raise UsageInvalid(
            "a command is a sequence of at least the name of a program", remedy='write `["ls", "-l"]`, not `"ls -l"`'
        )
    texts = (*words, *changed, *changed.values(), *(() if cwd is None else (cwd,)))
    if not all(isinstance(text, str) and "\0" not in text for text in texts):
        raise UsageInvalid("arguments, variables and folders are texts without a NUL character")
    if any(not name or "=" in name for name in changed):
        raise UsageInvalid("the name of a variable is not empty and has no `=`")
    return words, changed


class _Streams:
    """The three pipes of one command, and what came out of them."""

    def __init__(self, pipes: ExitStack, given: str | bytes | None) -> None:
        self._given = given.encode() if isinstance(given, str) else given or b""
        self._open: set[int] = set()
        pipes.callback(self._close)
        stdin, self._feed = self._pipe()
        self._output, stdout = self._pipe()
        self._errors, stderr = self._pipe()
        self.theirs = (stdin, stdout, stderr)
        self.output, self.errors = bytearray(), bytearray()
        self.truncated = False

    def hand_over(self) -> None:
        """The command has its ends; ours of them would keep the pipes open."""
        for descriptor in self.theirs:
            self._shut(descriptor)

    async def collect(self) -> None:
        """Feed the input and read both outputs to their end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write())
            tasks.create_task(self._read(self._output, self.output))
            tasks.create_task(self._read(self._errors, self.errors))

    async def _write(self) -> None:
        os.set_blocking(self._feed, False)
        left = memoryview(self._given)
        while left:
            try:
                left = left[os.write(self._feed, left) :]
            except BlockingIOError:
                await _ready(self._feed, writable=True)
            except BrokenPipeError:
                break
        self._shut(self._feed)

    async def _read(self, descriptor: int, kept: bytearray) -> None:
        os.set_blocking(descriptor, False)
        while True:
            try:
                data = os.read(descriptor, _PIPE)
            except BlockingIOError:
                await _ready(descriptor, writable=False)
                continue
            if not data:
                return
            self.truncated |= len(kept) + len(data) > OUTPUT_LIMIT
            kept += data[: OUTPUT_LIMIT - len(kept)]

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def _shut(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.discard(descriptor)
            os.close(descriptor)

    def _close(self) -> None:
        for descriptor in tuple(self._open):
            self._shut(descriptor)


async def _ready(descriptor: int, *, writable: bool) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    watch, ignore = (loop.add_writer, loop.remove_writer) if writable else (loop.add_reader, loop.remove_reader)

    def set_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    watch(descriptor, set_ready)
    try:
        await ready
    finally:
        ignore(descriptor)
