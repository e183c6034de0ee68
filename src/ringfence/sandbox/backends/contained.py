"""Starts a container by an OCI runtime, in namespaces and with a root file system of ours: the launcher's side.

The runtime itself runs in a user namespace, so it has no right over the host, and sees only what it needs in `/run`.
The gateway's listeners are made here, in the network that the container gets, and handed in with the control socket.
"""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import re
import resource
import sys
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair

from ringfence.sandbox import inside, listeners, mounts, namespaces, syscalls, wire
from ringfence.sandbox.backends import oci

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_BUNDLE, _STATE, _ROOT = "/run/bundle", "/run/state", "/tmp"  # noqa: S108 - of a mount namespace of ours
_ERRORS, FIRST_PASSED, _HIGH = 2, 3, 600
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from ringfence.sandbox.backends.container import main; main()"


def build(control: socket, layout: wire.Request, progress: list[str]) -> NoReturn:
    """Start the container, and stand by until it ends."""
    # Imported here for what it loads: the libraries of this process are those that the container's supervisor needs.
    from ringfence.sandbox.backends import container  # noqa: F401

    progress.append("namespaces")
    user = os.geteuid()
    namespaces.enter_outer(0, 0)
    reader, writer = os.pipe()
    started, starting = socketpair(AF_UNIX, SOCK_SEQPACKET)
    errors = os.memfd_create("errors", os.MFD_CLOEXEC)
    guarding, guard_end = socketpair(AF_UNIX, SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        os.close(writer)
        started.close()
        guarding.close()
        _become(control, layout, progress, (reader, starting.fileno(), errors), guard_end, user)
    os.close(reader)
    starting.close()
    guard_end.close()
    begun, descriptors = wire.receive(started)
    if begun:
        control.close()
        _stand_guard(layout, child, guarding, descriptors)
    _, status = os.waitpid(child, 0)
    if not begun:
        said = os.pread(errors, 2000, 0).decode(errors="replace").strip().splitlines()
        text = said[-1] if said else f"it ended with {os.waitstatus_to_exitcode(status)}"
        wire.send(control, f"failed 0 container: `{layout['runtime'][0]}` started none: {text}".encode())
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _stand_guard(layout: wire.Request, child: int, guarding: socket, mounts_of: tuple[int, ...]) -> None:
    if not mounts_of:
        namespaces.give_up_privileges()
        guarding.send(b"none the runtime's own kernel does the container's mounts")
        return
    # What the container sees is mounted in its own namespace; nothing of the session's runs in it yet.
    namespaces.join_mounts(mounts_of[0])
    namespaces.keep_mounting(namespaces.last_capability())
    namespaces.hide_memory()
    inside.guarded(layout, child, guarding)


def _become(
    control: socket, layout: wire.Request, progress: list[str], ends: tuple[int, int, int], guard_end: socket, user: int
) -> NoReturn:
    """Build everything and turn into the runtime, which is process 1 of the outer namespace: all ends with it."""
    errors = ends[2]
    try:
        syscalls.prctl(_PR_SET_PDEATHSIG, _SIGKILL, what="end with the launcher")
        progress.append("network")
        sockets, facts = inside.network(layout["host_ports"])
        progress.append("files")
        notices, ways, argv = _files(layout)
        if not inside.bound_numbers(layout["limits"]) and user == 0 and not layout["limits"]["processes"]:
            notices.append(inside.UNBOUNDED)
        sockets |= {**ways, "guard": guard_end}
        name, program = layout["runtime"]
        told = _told(layout, tuple(sockets), facts, notices, own_kernel=name in oci.WITHOUT_KERNEL)
        passed = (control.fileno(), ends[0], ends[1], told, *(each.fileno() for each in sockets.values()))
        progress.append("runtime")
        description = oci.config(layout, root=_ROOT, argv=argv, ceilings=_ceilings())
        _write(f"{_BUNDLE}/config.json", json.dumps(description).encode())
        count = _place(passed, errors)
        named = f"ringfence-{os.urandom(8).hex()}"
        command = oci.command(name, program, _BUNDLE, _STATE, descriptors=count, named=named)
        environment = {"PATH": os.path.dirname(program), "XDG_RUNTIME_DIR": "/run"}
        os.execve(program, command, environment)  # noqa: S606 - this process is the runtime from here on
    except BaseException as error:  # noqa: BLE001 - whatever it was, the session has to hear it
        os.write(errors, f"{progress[-1]}: {error}".encode(errors="replace"))
        os._exit(70)


def _files(layout: wire.Request) -> tuple[list[str], dict[str, socket], tuple[str, ...]]:
    """The root file system, in place of `/tmp`, and the runtime's own folder; how the supervisor is started in it."""
    root = mounts.Root()
    sources = inside.Sources(layout, root)
    program, argv = _program()
    opened = [(syscalls.open_plain(source), target) for source, target in program]
    _new_processes()
    root.begin()
    for source, target in opened:
        root.bind(source, target, writable=False)
        os.close(source)
    ways = inside.fill(root, layout, sources)
    ways["hook"] = root.listen(listeners.HOOK_PATH, listeners.BACKLOG)
    for name in ("/dev", "/proc"):
        root.folder(name)
    root.seal(os.path.dirname(listeners.HOOK_PATH))
    _own_place()
    return root.notices, ways, argv


def _new_processes() -> None:
    """What a runtime looks at: the processes of this namespace, and control groups of one generation."""
    # Read-only, because the session's group is made already, and one of the runtime's would be left when it is killed.
    for path, kind, more in (("/proc", "proc", 0), ("/sys/fs/cgroup", "cgroup2", syscalls.RDONLY)):
        tree = syscalls.new_filesystem(kind, syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC | more, {})
        place = syscalls.open_plain(path, os.O_PATH | os.O_DIRECTORY)
        syscalls.attach(tree, place, f"attach {kind}")
        os.close(place)
        os.close(tree)


def _own_place() -> None:
    tree = syscalls.new_filesystem("tmpfs", syscalls.NOSUID | syscalls.NODEV, {"mode": "0700", "size": "16m"})
    place = syscalls.open_plain("/run", os.O_PATH | os.O_DIRECTORY)
    syscalls.attach(tree, place, "attach the runtime's folder")
    os.close(place)
    os.close(tree)
    for each in (_BUNDLE, _STATE):
        os.mkdir(each, 0o700)


def _program() -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """The interpreter with all that it loads, from where to where, because an image need not have one; and its
    arguments."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    standard = os.path.realpath(os.path.dirname(os.__file__))
    package = os.path.realpath(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    places = [(standard, f"{oci.OWN}/lib/{version}"), (package, f"{oci.OWN}/source/ringfence")]
    interpreter = os.path.realpath("/proc/self/exe")
    places.append((interpreter, f"{oci.OWN}/bin/{version}"))
    loader = ""
    for path in _mapped():
        if path == interpreter or path.startswith(f"{standard}/"):
            continue
        name, _, version_of_it = os.path.basename(path).partition(".so")
        numbers = version_of_it.split(".")
        # A library is asked for by a shorter name than its file's: `libz.so.1` for `libz.so.1.2.13`.
        names = [f"{name}.so{'.'.join(numbers[:count])}" for count in range(1, len(numbers) + 1)]
        places += [(path, f"{oci.OWN}/libraries/{each}") for each in names]
        if name.startswith(("ld-", "ld64")):
            loader = f"{oci.OWN}/libraries/{names[-1]}"
    start = (f"{oci.OWN}/bin/{version}", "-I", "-S", "-c", _CODE, f"{oci.OWN}/source")
    if not loader:
        return places, start
    return places, (loader, "--inhibit-cache", "--library-path", f"{oci.OWN}/libraries", *start)


def _mapped() -> list[str]:
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        found = {match[1] for line in maps if (match := re.search(r" (/.*\.so(?:\.[0-9.]+)?)$", line.rstrip("\n")))}
    return sorted(found)


def _told(
    layout: wire.Request, names: tuple[str, ...], facts: list[tuple[str, str]], notices: list[str], *, own_kernel: bool
) -> int:
    """A memory file with what the supervisor has to know."""
    wanted = ("uid", "gid", "limits", "private", "writable", "sockets")
    told = {each: layout[each] for each in wanted}
    told |= {"names": list(names), "facts": facts, "notices": notices, "own_kernel": own_kernel}
    told["runtime"] = layout["runtime"][0]
    file = os.memfd_create("told", os.MFD_CLOEXEC)
    os.write(file, marshal.dumps(told))
    os.lseek(file, 0, os.SEEK_SET)
    return file


def _ceilings() -> dict[str, int]:
    kinds = {"RLIMIT_NOFILE": resource.RLIMIT_NOFILE, "RLIMIT_FSIZE": resource.RLIMIT_FSIZE}
    return {name: resource.getrlimit(kind)[1] for name, kind in kinds.items()}


def _place(passed: tuple[int, ...], errors: int) -> int:
    """Give the descriptors the numbers that the container finds them at, and close all others; how many there are."""
    high = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _HIGH) for each in passed]
    os.dup2(errors, _ERRORS)
    for number, each in enumerate(high, FIRST_PASSED):
        os.dup2(each, number, inheritable=True)
    syscalls.close_range(FIRST_PASSED + len(high))
    return len(high)


def _write(path: str, content: bytes) -> None:
    file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with os.fdopen(file, "wb") as writer:
        writer.write(content)
