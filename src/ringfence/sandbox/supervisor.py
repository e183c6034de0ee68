"""Process 1 of a sandbox: starts commands on the session's word, reaps everything, reports how commands ended.

Lives until the session or the launcher is gone; then the kernel ends everything inside with it. Decides nothing.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an enum of every signal at start
import _thread
import fcntl
import gc
import os
import select
from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket
from _struct import pack, unpack

from ringfence.sandbox import landlock, seccomp, syscalls, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

_SIGINT, _SIGKILL, _SIGPIPE, _SIGCHLD, _SIGXFSZ = 2, 9, 13, 17, 25
_PR_SET_PDEATHSIG = 1
_TIOCGPTN, _TIOCSPTLCK, _TIOCSWINSZ = 0x80045430, 0x40045431, 0x5414
_ENOENT, _EACCES, _ENOEXEC, _ENOTDIR, _EINVAL, _EBADFD = 2, 13, 8, 20, 22, 77
_REGULAR, _FIFO, _CHARACTER, _SOCKET, _TYPE = 0o100000, 0o010000, 0o020000, 0o140000, 0o170000
_READ, _WRITE = landlock.READ_FILE, landlock.WRITE_FILE | landlock.TRUNCATE
_LOOPBACK = {AF_INET: "127.0.0.1", AF_INET6: "::1"}
_NULL = os.makedev(1, 3)
_MODES = {os.O_RDONLY: _READ, os.O_WRONLY: _WRITE, os.O_RDWR: _READ | _WRITE}


class Refused(Exception):
    """A request that cannot be carried out, with the error number and the words for it."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number
        self.text = text


class Usage:
    """What this process and those that it waited for have used up, and the places that only it sees. The files are
    opened before anything is restricted."""

    def __init__(self, places: tuple[str, ...]) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC
        self._places = [os.open(each, os.O_PATH | os.O_CLOEXEC) for each in places]
        self._io = os.open("/proc/self/io", flags)
        self._segments = os.open("/proc/sysvipc/shm", flags) if places and os.path.exists("/proc/sysvipc/shm") else -1

    def text(self) -> str:
        """Bytes written to disks, in the private folders, and in shared memory segments."""
        lines = os.pread(self._io, 4096, 0).decode().splitlines()
        written = next((line.split()[1] for line in lines if line.startswith("write_bytes:")), "0")
        found = [os.fstatvfs(each) for each in self._places]
        places = sum((each.f_blocks - each.f_bfree) * each.f_frsize for each in found)
        return f"{written} {places} {self._shared()}"

    def _shared(self) -> int:
        if self._segments < 0:
            return 0
        os.lseek(self._segments, 0, os.SEEK_SET)
        text = b"".join(iter(lambda: os.read(self._segments, 65_536), b"")).decode()
        # The column before the last is what lies in memory.
        return sum(int(line.split()[-2]) for line in text.splitlines()[1:])


class Starter:
    """A thread that waits to start one command."""

    def __init__(self, part: Callable[[], None]) -> None:
        self._part = part
        self._run: Callable[[BaseException | None], None] | None = None
        self._go = _thread.allocate_lock()
        self._go.acquire()
        _thread.start_new_thread(self._wait, ())

    def start(self, run: Callable[[BaseException | None], None]) -> None:
        """Start it; `run` is given what went wrong before, or nothing."""
        self._run = run
        self._go.release()

    def _wait(self) -> None:
        failure: BaseException | None = None
        try:
            self._part()
        except BaseException as error:  # noqa: BLE001 - told when there is somebody to be told
            failure = error
        self._go.acquire()
        assert self._run is not None, "a starter starts what it was given"
        self._run(failure)


class Supervisor:
    """The resident process: one loop over the session's requests and the ends of children. What another tier does
    otherwise, its own supervisor overrides."""

    terminal_flags = os.O_RDWR
    """How a command's terminal is opened."""
    ends_with_launcher = True
    """Whether the kernel may end this process with the launcher: as process 1, it takes everything inside along."""
    multiplexer = "/dev/pts/ptmx"
    """Where terminals come from."""

    def __init__(
        self,
        control: socket,
        lifeline: int,
        rules: landlock.Ruleset | None,
        program: seccomp.Filter | None,
        usage: Usage | None = None,
    ) -> None:
        self._control = control
        self._lifeline = lifeline
        self._rules = rules
        self._program = program
        self.events = select.poll()
        self._usage = usage or Usage(())
        self._starter: Starter | None = None
        self._commands: dict[int, int] = {}
        self._pids: dict[int, int] = {}

    def serve(self) -> None:
        """Serve until the session or the launcher is gone; does not return."""
        if self.ends_with_launcher:
            syscalls.prctl(_PR_SET_PDEATHSIG, _SIGKILL, what="end with the launcher")
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.signal(_SIGINT, _signal.SIG_DFL)
        _signal.signal(_SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        events = self.events
        for descriptor in (self._control.fileno(), self._lifeline, woken):
            events.register(descriptor, select.POLLIN)
        self.bind()
        self.make_ready()
        gc.collect()
        gc.freeze()
        gc.enable()
        while True:
            for descriptor, event in events.poll(self.patience()):
                if descriptor == self._lifeline:
                    self.end()
                if descriptor == woken:
                    os.read(woken, 4096)
                elif descriptor == self._control.fileno():
                    self._take_request()
                else:
                    self.take(descriptor, event)
            self._reap()

    def bind(self) -> None:
        """Take on what every command inherits."""
        # The filter is the same for all and cannot be taken off, and to install it costs the kernel a third of a
        # command's start. This process needs nothing that it refuses.
        assert self._program is not None, "a supervisor without a filter says so"
        self._program.install()

    def patience(self) -> int | None:
        """For how many milliseconds nothing has to be done, if nothing happens."""
        return None

    def take(self, descriptor: int, event: int) -> None:
        """Something happened at a descriptor that is not the loop's own."""

    def end(self) -> NoReturn:
        """Leave, and take everything along that was started; does not return."""
        os._exit(0)

    def _take_request(self) -> None:
        try:
            request, descriptors = wire.receive_request(self._control)
        except OSError:
            self.end()
        if request is None:
            self.end()
        try:
            self._answer(request, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _answer(self, request: wire.Request, descriptors: tuple[int, ...]) -> None:
        number = request["id"]
        try:
            match request["op"]:
                case "spawn":
                    pid = self._spawn(request, descriptors)
                    self._commands[pid], self._pids[number] = number, pid
                    self.send(f"spawned {number} {pid}")
                    self.make_ready()
                case "pty":
                    master, name = _open_terminal(self.multiplexer, request["rows"], request["columns"])
                    self.send(f"pty {number} {name}", (master,))
                    os.close(master)
                case "connect":
                    made = _connect(request["family"], request["port"])
                    self.send(f"connected {number} ", (made.fileno(),))
                    made.close()
                case "usage":
                    self.send(f"usage {number} {self._usage.text()}")
                case "handle":
                    handle = os.pidfd_open(request["pid"])
                    self.send(f"handle {number} {request['pid']}", (handle,))
                    os.close(handle)
                case "signal":
                    self._signal(request["command"], request["signal"])
                case _:
                    raise Refused(_EINVAL, "no such request")
        except Refused as refused:
            self.send(f"refused {number} {refused.number} {refused.text}")
        except OSError as error:
            self.send(f"refused {number} {error.errno or 0} {error.strerror}")
        except ValueError as error:
            # A NUL, or a character that no program can be given: one command's fault must not end the others.
            self.send(f"refused {number} 0 {error}")

    def send(self, text: str, descriptors: tuple[int, ...] = ()) -> None:
        wire.send(self._control, text.encode(errors="replace"), descriptors)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._commands.pop(pid, None)
            if number is not None:
                del self._pids[number]
                code = os.waitstatus_to_exitcode(status)
                self.send(f"exit {number} {code if code >= 0 else 128 - code}")

    def _signal(self, command: int, number: int) -> None:
        # INVARIANT: a command is in the table exactly as long as its process id cannot be given to another.
        pid = self._pids.get(command)
        if pid is not None:
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                return

    def _spawn(self, request: wire.Request, descriptors: tuple[int, ...]) -> int:
        actions = self._stream_actions(request["streams"], descriptors)
        streams = tuple(each for descriptor in set(descriptors) for each in self.stream_rule(descriptor))
        outcome: list[int | BaseException] = []
        done = _thread.allocate_lock()
        done.acquire()

        def run(failure: BaseException | None) -> None:
            try:
                if failure is not None:
                    raise failure
                outcome.append(self._start(request, actions, streams))
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                outcome.append(error)
            finally:
                done.release()

        # Landlock binds a thread and what it starts: a short-lived one takes it on and starts the command, without a
        # fork of the interpreter.
        self.in_thread(run)
        done.acquire()
        result = outcome[0]
        if isinstance(result, BaseException):
            raise result
        return result

    def _start(
        self, request: wire.Request, actions: list[tuple[int, ...]], streams: tuple[tuple[int, int], ...]
    ) -> int:
        cwd = request["cwd"]
        try:
            os.chdir(cwd)
        except OSError as error:
            raise Refused(
                0, f"the working directory `{cwd}` cannot be entered in the sandbox: {error.strerror}"
            ) from error
        os.umask(request["umask"])
        argv, environment = request["argv"], request["env"]
        # INVARIANT: looked for before the thread is bound: in tier B it could not even look, because whoever would have
        # to answer waits for it.
        candidates = _candidates(argv[0], environment.get("PATH", "/usr/bin:/bin"))
        self.confine(request, streams)
        return _execute(candidates, argv, environment, actions)

    def part(self) -> None:
        """Give the calling thread a working directory of its own."""
        syscalls.unshare(syscalls.CLONE_FS, "own working directory")

    def in_thread(self, run: Callable[[BaseException | None], None]) -> None:
        """Have a thread of its own start a command."""
        starter, self._starter = self._starter or Starter(self.part), None
        starter.start(run)

    def make_ready(self) -> None:
        """Have a thread wait for the next command, so that the command does not wait for a thread."""
        if self._starter is None:
            self._starter = Starter(self.part)

    def confine(self, request: wire.Request, streams: tuple[tuple[int, int], ...]) -> None:
        """Bind the calling thread, and the command that it is about to start."""
        assert self._rules is not None, "a supervisor without rules says how it confines"
        self._rules.restrict(streams)

    def stream_rule(self, descriptor: int) -> list[tuple[int, int]]:
        """What a command may do with the file behind one of its streams."""
        return _stream_rule(descriptor)

    def _stream_actions(self, streams: list[int | str], descriptors: tuple[int, ...]) -> list[tuple[int, ...]]:
        actions: list[tuple[int, ...]] = []
        for number, stream in enumerate(streams):
            if isinstance(stream, int):
                actions.append((os.POSIX_SPAWN_DUP2, descriptors[stream], number))
            else:
                # Opened by path in the new session, a terminal becomes its controlling terminal.
                flags = self.terminal_flags
                actions.append((os.POSIX_SPAWN_OPEN, number, stream, flags, 0))  # type: ignore[arg-type]
        return actions


class Nested(Supervisor):
    """One whose commands may make namespaces. The kernel lets nobody mount who is bound by Landlock's file rules, so
    that mounts alone hold the file policy: nothing but the scopes of Landlock binds the commands."""

    def confine(self, request: wire.Request, streams: tuple[tuple[int, int], ...]) -> None:
        """Nothing more: the filter binds this process and all that it starts."""

    def stream_rule(self, descriptor: int) -> list[tuple[int, int]]:
        """No file can be a stream: `/proc/self/fd/0` would open it anew, for writing too."""
        if os.fstat(descriptor).st_mode & _TYPE == _REGULAR:
            text = "a file cannot be a stream where nested namespaces are allowed: use a pipe, such as `cat FILE |`"
            raise Refused(_EINVAL, text)
        return _stream_rule(descriptor)


def _connect(family: int, port: int) -> socket:
    """A connection to a port of the sandbox's loopback, begun and not waited for."""
    made = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
    try:
        made.connect((_LOOPBACK[family], port))
    except BlockingIOError:
        pass
    except OSError:
        made.close()
        raise
    return made


def _execute(
    candidates: list[tuple[str, bool]], argv: list[str], environment: dict[str, str], actions: list[tuple[int, ...]]
) -> int:
    refused = _ENOENT
    for path, exists in candidates:
        try:
            return _posix_spawn(path, argv, environment, actions)
        except OSError as error:
            if error.errno == _ENOEXEC:
                return _posix_spawn("/bin/sh", ["sh", path, *argv[1:]], environment, actions)
            if error.errno not in (_ENOENT, _EACCES, _ENOTDIR):
                raise Refused(error.errno or 0, f"`{path}` cannot be started: {error.strerror}") from error
            if error.errno == _ENOENT and exists:
                raise Refused(_ENOENT, f"the interpreter that `{path}` names is not in the sandbox") from error
            if error.errno == _EACCES and exists:
                refused = _EACCES
    why = "cannot be executed" if refused == _EACCES else "is not in the sandbox"
    raise Refused(refused, f"the program `{argv[0]}` {why}")


def _posix_spawn(path: str, argv: list[str], environment: dict[str, str], actions: list[tuple[int, ...]]) -> int:
    return os.posix_spawn(
        path,
        argv,
        environment,
        file_actions=actions,
        setsid=True,
        setsigmask=[],
        setsigdef=[_SIGINT, _SIGPIPE, _SIGCHLD, _SIGXFSZ],
    )


def _candidates(program: str, path: str) -> list[tuple[str, bool]]:
    """Where a program may lie, and whether there is something, a link that leads nowhere apart."""
    if "/" in program:
        return [(program, os.path.exists(program))]
    named = [os.path.join(folder or ".", program) for folder in path.split(":")]
    # Looking costs a thousandth of trying: each folder of PATH without the program would cost a process.
    return [(each, os.path.exists(each)) for each in named if os.path.lexists(each)]


def _stream_rule(descriptor: int) -> list[tuple[int, int]]:
    about = os.fstat(descriptor)
    kind = about.st_mode & _TYPE
    if kind == _SOCKET or (kind == _CHARACTER and about.st_rdev == _NULL and _is_null(about)):
        return []
    if kind not in (_REGULAR, _FIFO, _CHARACTER):
        # SECURITY: a folder among the streams is a way around every mount: `/proc/self/fd/0/..`.
        raise Refused(_EINVAL, "a folder or a block device cannot be a stream of a sandboxed command")
    if kind == _FIFO and os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:"):
        return []
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if flags & os.O_PATH:
        raise Refused(_EINVAL, "a descriptor without access cannot be a stream of a sandboxed command")
    rights = _MODES[flags & os.O_ACCMODE]
    return [(descriptor, rights | (landlock.IOCTL_DEV if kind == _CHARACTER else 0))]


def _is_null(about: os.stat_result) -> bool:
    # The same file as the one inside, which every command may open by itself: a rule set of its own costs the kernel
    # more than all other rules.
    own = os.stat("/dev/null")
    return (own.st_dev, own.st_ino) == (about.st_dev, about.st_ino)


def _open_terminal(multiplexer: str, rows: int, columns: int) -> tuple[int, str]:
    master = os.open(multiplexer, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, pack("i", 0))
    (number,) = unpack("i", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))
    fcntl.ioctl(master, _TIOCSWINSZ, pack("HHHH", rows, columns, 0, 0))
    return master, f"/dev/pts/{number}"
