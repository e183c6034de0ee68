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
    from typing import NoReturn

_SIGINT, _SIGKILL, _SIGPIPE, _SIGCHLD, _SIGXFSZ = 2, 9, 13, 17, 25
_PR_SET_PDEATHSIG = 1
_TIOCGPTN, _TIOCSPTLCK, _TIOCSWINSZ = 0x80045430, 0x40045431, 0x5414
_ENOENT, _ENOEXEC, _EAGAIN, _EACCES, _ENOTDIR, _EINVAL = 2, 8, 11, 13, 20, 22
_REGULAR, _FIFO, _CHARACTER, _SOCKET, _TYPE = 0o100000, 0o010000, 0o020000, 0o140000, 0o170000
_READ, _WRITE = landlock.READ_FILE, landlock.WRITE_FILE | landlock.TRUNCATE
_LOOPBACK = {AF_INET: "127.0.0.1", AF_INET6: "::1"}
_TAKERS = 2
"""Threads that wait for requests. Landlock binds a thread and what it starts: each starts one command, without a fork
of the interpreter, and the next one is there already."""
_RETRY_MILLISECONDS = 50
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


class Supervisor:
    """The resident process: it takes the session's requests, and reports how children end. What another tier does
    otherwise, its own supervisor overrides."""

    terminal_flags = os.O_RDWR
    """How a command's terminal is opened."""
    ends_with_launcher = True
    """Whether the kernel may end this process with the launcher: as process 1, it takes everything inside along."""
    multiplexer = "/dev/pts/ptmx"
    """Where terminals come from."""
    threads_part = True
    """Whether a thread can have a working directory of its own, and may so start a command while the loop goes on."""

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
        self._null = os.stat("/dev/null")
        self._commands: dict[int, int] = {}
        self._pids: dict[int, int] = {}
        self._table = _thread.allocate_lock()
        """Held from before a command is started until it is in the tables: nobody is reaped meanwhile."""
        self._turn = _thread.allocate_lock()
        """Held by the thread that takes the session's next request."""
        self._takers = 0
        self._stands_in = False
        self._wake = -1

    def serve(self) -> None:
        """Serve until the session or the launcher is gone; does not return."""
        if self.ends_with_launcher:
            syscalls.prctl(_PR_SET_PDEATHSIG, _SIGKILL, what="end with the launcher")
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.signal(_SIGINT, _signal.SIG_DFL)
        _signal.signal(_SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        events = self.events
        for descriptor in (self._lifeline, woken):
            events.register(descriptor, select.POLLIN)
        self.bind()
        self._wake = wake
        gc.collect()
        gc.freeze()
        gc.enable()
        while True:
            self._make_ready()
            for descriptor, event in events.poll(self.patience()):
                if descriptor == self._lifeline:
                    self.end()
                if descriptor == woken:
                    os.read(woken, 4096)
                elif descriptor == self._control.fileno():
                    self._take_request(_used_up() if self.threads_part else None)
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
        return _RETRY_MILLISECONDS if self.threads_part and self._takers < _TAKERS else None

    def take(self, descriptor: int, event: int) -> None:
        """Something happened at a descriptor that is not the loop's own."""

    def end(self) -> NoReturn:
        """Leave, and take everything along that was started; does not return."""
        os._exit(0)

    def _make_ready(self) -> None:
        """Have threads wait for requests: one that takes the next, and one for those after it. Where there are none,
        this thread takes them."""
        # INVARIANT: made by the first thread alone, which nothing binds: a thread has what binds the one that made it.
        while self.threads_part and self._takers < _TAKERS:
            try:
                _thread.start_new_thread(self._take_requests, ())
            except RuntimeError:
                # What runs inside has used up the processes: tried again soon.
                break
            with self._table:
                self._takers += 1
        stands_in = not self._takers
        if stands_in and not self._stands_in:
            self.events.register(self._control.fileno(), select.POLLIN)
        elif self._stands_in and not stands_in:
            self.events.unregister(self._control.fileno())
        self._stands_in = stands_in

    def _take_requests(self) -> None:
        """Take requests up to the first that starts a command: the thread is bound from then on, and ends."""
        try:
            failure: OSError | None = None
            try:
                self.part()
            except OSError as error:
                # Told when a command is to be started.
                failure = error
            started = False
            while not started:
                with self._turn:
                    started = self._take_request(failure)
            with self._table:
                self._takers -= 1
        except BaseException:  # noqa: BLE001 - as where nothing else runs: process 1 ends, and the sandbox with it
            self.end()
        try:
            os.write(self._wake, b"+")
        except BlockingIOError:
            # So full that the loop is woken anyway.
            return

    def _take_request(self, failure: OSError | None) -> bool:
        """Take one request, and say whether it was one for a command; `failure`: why none can be started here."""
        try:
            request, descriptors = wire.receive_request(self._control)
        except OSError:
            self.end()
        if request is None:
            self.end()
        try:
            self._answer(request, descriptors, failure)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return bool(request["op"] == "spawn")

    def _answer(self, request: wire.Request, descriptors: tuple[int, ...], failure: OSError | None) -> None:
        number = request["id"]
        try:
            match request["op"]:
                case "spawn":
                    if failure is not None:
                        raise failure
                    with self._table:
                        pid = self._spawn(request, descriptors)
                        self._commands[pid], self._pids[number] = number, pid
                        self.send(f"spawned {number} {pid}")
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
        except Exception as error:  # noqa: BLE001 - whatever one request asks for must not end the others
            self.send(f"refused {number} 0 {error}")

    def send(self, text: str, descriptors: tuple[int, ...] = ()) -> None:
        wire.send(self._control, text.encode(errors="replace")[: wire.PACKET], descriptors)

    def _reap(self) -> None:
        while True:
            with self._table:
                try:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                except ChildProcessError:
                    return
                number = self._commands.pop(pid, None)
                if number is not None:
                    del self._pids[number]
            if pid == 0:
                return
            if number is not None:
                code = os.waitstatus_to_exitcode(status)
                self.send(f"exit {number} {code if code >= 0 else 128 - code}")

    def _signal(self, command: int, number: int) -> None:
        # INVARIANT: a command is in the table exactly as long as its process id cannot be given to another.
        with self._table:
            pid = self._pids.get(command)
            if pid is not None:
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:
                    return

    def _spawn(self, request: wire.Request, descriptors: tuple[int, ...]) -> int:
        actions = self._stream_actions(request["streams"], descriptors)
        streams = tuple(each for descriptor in set(descriptors) for each in self.stream_rule(descriptor))
        return self.start(request, actions, streams)

    def start(self, request: wire.Request, actions: list[tuple[int, ...]], streams: tuple[tuple[int, int], ...]) -> int:
        """Bind the calling thread and start a command from it; `Refused` or an `OSError` when it cannot be."""
        cwd = request["cwd"]
        try:
            os.chdir(cwd)
        except OSError as error:
            raise Refused(
                0, f"the working directory `{cwd}` cannot be entered in the sandbox: {error.strerror}"
            ) from error
        os.umask(request["umask"])
        argv, environment = request["argv"], request["env"]
        if not argv:
            raise Refused(_EINVAL, "a command line is empty, and has to name a program")
        # INVARIANT: looked for before the thread is bound: in tier B it could not even look, because whoever would have
        # to answer waits for it.
        candidates = _candidates(argv[0], environment.get("PATH", "/usr/bin:/bin"))
        self.confine(request, streams)
        return _execute(candidates, argv, environment, actions)

    def part(self) -> None:
        """Give the calling thread a working directory of its own."""
        syscalls.unshare(syscalls.CLONE_FS, "own working directory")

    def confine(self, request: wire.Request, streams: tuple[tuple[int, int], ...]) -> None:
        """Bind the calling thread, and the command that it is about to start."""
        assert self._rules is not None, "a supervisor without rules says how it confines"
        self._rules.restrict(streams)

    def stream_rule(self, descriptor: int) -> list[tuple[int, int]]:
        """What a command may do with the file behind one of its streams."""
        return _stream_rule(descriptor, self._null)

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
        return _stream_rule(descriptor, self._null)


def _used_up() -> OSError:
    return OSError(_EAGAIN, "no process can be started: as many as are allowed run already")


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
    """Where a program may lie, and whether there is something."""
    if "/" in program:
        return [(program, os.access(program, os.F_OK))]
    named = [f"{folder or '.'}/{program}" for folder in path.split(":")]
    # Looking costs a thousandth of trying: each folder of PATH without the program would cost a process.
    return [(each, True) for each in named if os.access(each, os.F_OK)]


def _stream_rule(descriptor: int, null: os.stat_result) -> list[tuple[int, int]]:
    about = os.fstat(descriptor)
    kind = about.st_mode & _TYPE
    if kind == _SOCKET or (kind == _CHARACTER and os.path.samestat(about, null)):
        # `/dev/null` is the file that every command may open by itself: a rule set of its own costs the kernel more
        # than all other rules.
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


def _open_terminal(multiplexer: str, rows: int, columns: int) -> tuple[int, str]:
    master = os.open(multiplexer, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    fcntl.ioctl(master, _TIOCSPTLCK, pack("i", 0))
    (number,) = unpack("i", fcntl.ioctl(master, _TIOCGPTN, bytes(4)))
    fcntl.ioctl(master, _TIOCSWINSZ, pack("HHHH", rows, columns, 0, 0))
    return master, f"/dev/pts/{number}"
