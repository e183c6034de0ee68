"""The first program of a sandbox: builds it around itself, step by step, and ends as its process 1.

Started as a fresh interpreter, so that nothing of the session's memory is in it. Everything it needs is imported before
the host's files disappear. A step that fails ends everything, with the step's name as the answer.
"""

from __future__ import annotations

import encodings.ascii  # noqa: F401 - needed when its file is not there any more: an image need not have Python
import gc
import os
import resource
from _socket import AF_UNIX, SOCK_SEQPACKET, socket, socketpair

from ringfence.sandbox import guard, landlock, listeners, mounts, namespaces, netlink, seccomp, syscalls, wire
from ringfence.sandbox.rlimits import bound, pin
from ringfence.sandbox.supervisor import Nested, Supervisor, Usage

_PROCESSES = 16384
"""How many processes and threads a sandbox may have."""
_NEVER_AGAIN = 300
"""The lowest process numbers, which the kernel gives out once."""
_OWN_NUMBERS_SINCE = (6, 14)
"""The kernel from which on each process namespace has a highest process number of its own."""

UNBOUNDED = "the number of processes is not limited: for root that takes Linux 6.14 and a `/proc/sys` to write to"

CONTROL = 3
"""The descriptor of the control socket."""


def main() -> None:
    """Build the sandbox and serve it until the session ends."""
    gc.disable()
    syscalls.close_range(CONTROL + 1)
    control = socket(AF_UNIX, SOCK_SEQPACKET, 0, CONTROL)
    os.set_inheritable(CONTROL, False)
    progress = ["read the layout"]
    try:
        layout, _ = wire.receive_request(control)
        if layout is None:
            os._exit(0)
        if layout.get("tier") == "B":
            # Imported here, because nothing disappears in that tier.
            from ringfence.sandbox.backends import unshared

            unshared.build(control, layout, progress)
        if layout.get("tier") == "C":
            from ringfence.sandbox.backends import declared

            declared.build(control, layout, progress)
        if layout.get("runtime"):
            from ringfence.sandbox.backends import contained

            contained.build(control, layout, progress)
        _build(control, layout, progress)
    except BaseException as error:  # noqa: BLE001 - whatever it was, the session has to hear it
        number = error.errno if isinstance(error, OSError) else 0
        text = error.strerror if isinstance(error, OSError) else repr(error)
        wire.send(control, f"failed {number or 0} {progress[-1]}: {text}".encode(errors="replace"))
        os._exit(70)


def _build(control: socket, layout: wire.Request, progress: list[str]) -> None:
    inside_uid, inside_gid = layout["uid"], layout["gid"]
    progress.append("landlock")
    abi = landlock.version()
    limits, nested = layout["limits"], layout["nested"]
    program = seccomp.prepare(pinned=bool(limits["processors"]), nested=nested)
    user = os.geteuid()
    progress.append("namespaces")
    namespaces.enter_outer(inside_uid, inside_gid, nested=nested)
    reader, writer = os.pipe()
    progress.append("process 1")
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    mounted, finished = os.pipe()
    child = os.fork()
    if child:
        theirs.close()
        os.close(finished)
        _stand_by(control, child, reader, layout, ours, mounted)
    ours.close()
    os.close(mounted)
    os.close(writer)
    progress.append("network")
    sockets, facts = network(layout["host_ports"])
    progress.append("process numbers")
    bounded = bound_numbers(limits)
    progress.append("files")
    notices, ways = _files(layout)
    os.write(finished, b"+")
    os.close(finished)
    if user == 0 and not bounded and not limits["processes"]:
        # The limit of an account does not hold for root, whatever its number in here.
        notices.append(UNBOUNDED)
    progress.append("hook socket")
    sockets |= {"hook": listeners.hook(), "guard": theirs, **ways}
    progress.append("usage")
    sockets_and_more = {name: each.fileno() for name, each in sockets.items()}
    sockets_and_more["procfs"] = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    usage = Usage((*(path for path, _, _ in layout["private"]), "/dev/shm"))  # noqa: S108
    progress.append("privileges")
    _limit(limits)
    _seal(layout["hostname"], inside_uid, inside_gid)
    progress.append("rules")
    landlock.stay_within(abi, nested=nested)
    reached = [path for _, path in layout["sockets"]]
    rules = landlock.Ruleset(abi, landlock.over_mounts(abi, tuple(layout["writable"]), ("/dev", "/dev/null"), reached))
    facts += [("landlock", f"{abi}, scopes only" if nested else str(abi)), ("seccomp", "filter")]
    facts += [("namespaces", "user net mnt pid ipc uts cgroup" + (", nested allowed" if nested else ""))]
    lines = [" ".join(sockets_and_more)]
    lines += [f"fact {name} {value}" for name, value in facts]
    lines += [f"notice {text}" for text in notices]
    descriptors = tuple(sockets_and_more.values())
    wire.send(control, ("ready " + "\n".join(lines)).encode(errors="replace")[: wire.PACKET], descriptors)
    for each in sockets.values():
        each.close()
    os.close(sockets_and_more["procfs"])
    (Nested if nested else Supervisor)(control, reader, rules, program, usage).serve()


def _stand_by(control: socket, child: int, reader: int, layout: wire.Request, guarding: socket, mounted: int) -> None:
    # The writing end of the pipe stays open here and nowhere else: when this process dies, process 1 sees the end of
    # it.
    control.close()
    os.close(reader)
    namespaces.keep_mounting(namespaces.last_capability())
    namespaces.hide_memory()
    if os.read(mounted, 1):
        guarded(layout, child, guarding)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def guarded(layout: wire.Request, child: int, link: socket) -> None:
    """Guard what is protected, until the child ends."""
    try:
        standing = guard.Guard(layout, link)
    except OSError as error:
        link.send(f"none {error.strerror}".encode(errors="replace"))
        return
    standing.serve(child)


def network(host_ports: list[int]) -> tuple[dict[str, socket], list[tuple[str, str]]]:
    """Set the network up: the listeners in it, and how its traffic gets to them."""
    netlink.loopback_up()
    ipv6 = netlink.take_every_address()
    netlink.redirect_tcp(listeners.CAPTURE_PORT)
    return listeners.network(host_ports, ipv6=ipv6), [("capture", "all tcp, v4 and v6" if ipv6 else "all tcp, v4")]


def bound_numbers(limits: wire.Request) -> bool:
    """Whether the kernel keeps the sandbox's processes below a number; nothing else in it does for root."""
    most = limits["processes"] + _NEVER_AGAIN if limits["processes"] else _PROCESSES
    # SECURITY: an older kernel has one such setting for the whole machine, and the host's root would change it.
    major, minor, *_ = os.uname().release.replace("-", ".").replace("+", ".").split(".")
    if (int(major), int(minor)) < _OWN_NUMBERS_SINCE:
        return False
    try:
        setting = os.open("/proc/sys/kernel/pid_max", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(setting, str(most).encode())
    finally:
        os.close(setting)
    return True


def _files(layout: wire.Request) -> tuple[list[str], dict[str, socket]]:
    root = mounts.Root()
    sources = Sources(layout, root)
    devices = [(syscalls.open_plain(f"/dev/{name}"), name) for name in (*mounts.DEVICES, *layout["devices"])]
    root.begin()
    mounts.private_proc(root, whole=layout["whole_proc"])
    mounts.private_devices(root, devices, layout["shared_memory"])
    ways = fill(root, layout, sources)
    root.seal("/dev")
    root.enter()
    return root.notices, ways


class Sources:
    """What is shown of the host, opened before the new root covers anything."""

    def __init__(self, layout: wire.Request, root: mounts.Root) -> None:
        self.binds = mounts.open_sources(layout["binds"], root.notices)
        self.staged = [(to, _four(*map(syscalls.open_plain, layers))) for to, layers in layout.get("overlays", ())]


def fill(root: mounts.Root, layout: wire.Request, sources: Sources) -> dict[str, socket]:
    """Put everything into a new root but for processes and devices, and protect it; the listeners that stand in it."""
    work: list[tuple[str, tuple[int, bool] | tuple[int, str] | tuple[int, int, int, int]]]
    work = [(target, (fd, rw)) for fd, target, rw in sources.binds]
    work += [(path, (mode, size)) for path, mode, size in layout["private"]]
    work += sources.staged
    for target, what in sorted(work, key=lambda each: each[0].count("/")):
        if len(what) == 4:
            root.overlay(target, what)
            continue
        number, detail = what
        if isinstance(detail, str):
            options = {"mode": f"{number:o}", "size": detail, "nr_inodes": "500000"}
            root.filesystem(target, "tmpfs", syscalls.NOSUID | syscalls.NODEV, options)
        else:
            root.bind(number, target, writable=detail)
            os.close(number)
    root.filesystem(os.path.dirname(listeners.HOOK_PATH), "tmpfs", syscalls.NOSUID | syscalls.NODEV, {"mode": "0755"})
    for path, target in layout["links"]:
        root.link(path, target)
    for path, content, mode in layout["files"]:
        root.write(path, content, mode)
    _protect(root, layout)
    return {name: root.listen(path, listeners.BACKLOG) for name, path in layout["sockets"]}


def _four(lower: int, holders: int, upper: int, work: int) -> tuple[int, int, int, int]:
    return lower, holders, upper, work


def _protect(root: mounts.Root, layout: wire.Request) -> None:
    for name in layout["pinned"]:
        root.rebind(name, 0)
    for name in layout["read_only"]:
        root.rebind(name, syscalls.RDONLY)
    for path, leads_to in layout.get("settings", ()):
        root.stand_in(path, leads_to)
    for name, with_what in layout["stubs"]:
        root.cover(name, with_what)
    for path in layout["masked"]:
        try:
            root.cover(path)
        except OSError as error:
            if error.errno not in (2, 20):
                raise


def _limit(limits: wire.Request) -> None:
    """What every process inside inherits and none can raise."""
    # Processes are counted within the namespaces, so this bounds a fork bomb and not the user's other programs.
    bound(resource.RLIMIT_NPROC, limits["processes"] or _PROCESSES)
    bound(resource.RLIMIT_NOFILE, limits["open_files"])
    bound(resource.RLIMIT_FSIZE, limits["file_mb"] and limits["file_mb"] * 1024 * 1024)
    pin(limits["processors"])


def _seal(hostname: str, inside_uid: int, inside_gid: int) -> None:
    syscalls.checked(syscalls.LIBC.sethostname(hostname.encode(), len(hostname.encode())), "set the host name")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    hooks = syscalls.open_plain(os.path.dirname(listeners.HOOK_PATH))
    syscalls.set_attributes(hooks, syscalls.RDONLY, recursive=False, what="seal the hook folder")
    os.close(hooks)
    namespaces.enter_inner(inside_uid, inside_gid)
    namespaces.drop_capabilities()
    namespaces.hide_memory()
