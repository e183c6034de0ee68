"""Runs our own command line in processes that need not load it first: four fifths of the time of a short command.

A process is started once and loads everything; for each run it forks, becomes what the run asks for (account, streams,
folder, variables, network), and goes on as the command line does. What needs more than that is started anew, see
`run.py`.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from typing import Self

import msgspec

from ringfence.policy.context import Context
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset
from ringfence.verify import no_namespaces

MAIN = "import sys; from ringfence.cli.entry import main; sys.exit(main())"
COLD = (sys.executable, "-c", MAIN)
"""How our command line is started anew."""
WITHOUT_NAMESPACES = (sys.executable, str(no_namespaces.__file__))
"""What forbids namespaces to the command line behind it."""

_LOADED = (
    "cli.exec",
    "cli.conduct",
    "cli.failure",
    "session.opening",
    "session.governed",
    "session.asking",
    "policy.tools.code",
)
_MOST = 1 << 20
_STATUS = struct.Struct("=i")
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """A run: the words of the command line, and what the process has to be before it reads them."""

    words: tuple[str, ...]
    environment: dict[str, str]
    cwd: str
    uid: int
    gid: int
    namespaces: bool
    """False: forbidden, as in a container."""
    network: int
    """The process whose network it enters; 0: none."""


class Running:
    """A run under way: the outermost process, and its end."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self.pid = _number(link)

    def wait(self, seconds: float) -> int:
        """The status as `subprocess` counts it; TimeoutError where it takes longer."""
        self._link.settimeout(seconds)
        try:
            return os.waitstatus_to_exitcode(_number(self._link))
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._link.settimeout(None)
            _number(self._link)
            raise
        finally:
            self._link.close()


class Warm:
    """The process that has everything loaded."""

    def __init__(self) -> None:
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        program = "import sys; from ringfence.verify.warm import serve; serve(int(sys.argv[1]))"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path)}
        self._process = subprocess.Popen(
            (sys.executable, "-c", program, str(theirs.fileno())), pass_fds=(theirs.fileno(),), env=environment
        )
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._link.close()
        self._process.wait()

    def start(self, start: Start, streams: tuple[int, int, int]) -> Running:
        """Begin a run with these standard streams."""
        ours, theirs = socket.socketpair()
        socket.send_fds(self._link, [msgspec.json.encode(start)], [*streams, theirs.fileno()])
        theirs.close()
        return Running(ours)


def words_of(argv: tuple[str, ...]) -> tuple[tuple[str, ...], bool] | None:
    """The words of our command line in an argv, and whether namespaces are allowed; None for another program."""
    namespaces = argv[:2] != WITHOUT_NAMESPACES
    rest = argv if namespaces else argv[2:]
    return (rest[3:], namespaces) if rest[:3] == COLD else None


def serve(descriptor: int) -> None:
    """Load everything, then run what is asked for until nobody asks any more."""
    for name in _LOADED:
        __import__(f"ringfence.{name}")
    _compile_a_policy()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    link = socket.socket(fileno=descriptor)
    while True:
        data, descriptors, _, _ = socket.recv_fds(link, _MOST, 4)
        if not data:
            return
        if os.fork() == 0:
            link.close()
            _keep(msgspec.json.decode(data, type=Start), descriptors)
        for each in descriptors:
            os.close(each)


def _compile_a_policy() -> None:
    """For what stays behind: the shipped documents and their patterns. It knows no person, no machine and no file."""
    policy = merge((preset("workspace"),), facts=Facts(home="/home", workspace="/home/project"))
    Evaluator(policy, Context(home="/home", workspace="/home/project"))


def _keep(start: Start, descriptors: list[int]) -> None:
    """Run it in a process of its own, and report that one's number and end. Does not return."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, report = descriptors
    runner = os.fork()
    if runner == 0:
        os.close(report)
        os._exit(_run(start, streams))
    for each in streams:
        os.close(each)
    with suppress(OSError):
        os.write(report, _STATUS.pack(runner))
        _, status = os.waitpid(runner, 0)
        os.write(report, _STATUS.pack(status))
    os._exit(0)


def _run(start: Start, streams: list[int]) -> int:
    os.setsid()
    for number, each in enumerate(streams):
        os.dup2(each, number)
        os.close(each)
    if start.network:
        _enter(start.network)
    if (start.uid, start.gid) != (os.getuid(), os.getgid()):
        os.setgroups([])
        os.setresgid(start.gid, start.gid, start.gid)
        os.setresuid(start.uid, start.uid, start.uid)
    _as_after_exec()
    os.environ.clear()
    os.environ.update(start.environment)
    os.chdir(start.cwd)
    if not start.namespaces:
        no_namespaces.forbid()
    # By name and as late as the command line itself: what is attacked lies above this package.
    main = import_module("ringfence.cli.entry").main
    sys.argv = ["ringfence", *start.words]
    try:
        code: int = main(start.words)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a program
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def _enter(process: int) -> None:
    """The network of that process, and its user namespace where that takes one."""
    libc = ctypes.CDLL(None, use_errno=True)
    kinds = ((_NEW_NETWORK, "net"),) if os.getuid() == 0 else ((_NEW_USER, "user"), (_NEW_NETWORK, "net"))
    for kind, name in kinds:
        opened = os.open(f"/proc/{process}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(opened, kind):
            raise OSError(ctypes.get_errno(), f"the network of process {process} cannot be entered")
        os.close(opened)


def _as_after_exec() -> None:
    """A program that is started has no rights left from how it came here, and may look at itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.getuid() != 0:
        head, none = struct.pack("=II", 0x20080522, 0), bytes(24)
        if libc.capset(ctypes.create_string_buffer(head), ctypes.create_string_buffer(none)):
            raise OSError(ctypes.get_errno(), "rights cannot be given up")
    libc.prctl(4, 1, 0, 0, 0)


def _number(link: socket.socket) -> int:
    data = b""
    while len(data) < _STATUS.size:
        part = link.recv(_STATUS.size - len(data))
        if not part:
            raise ConnectionError("the process that runs the battery's commands ended")
        data += part
    number: int = _STATUS.unpack(data)[0]
    return number
