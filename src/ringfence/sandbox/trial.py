"""Tries, one after the other, what a sandbox needs of this machine, in a process that is thrown away. Runs like the
launcher, as a fresh interpreter; prints a line for each trial and decides nothing."""

from __future__ import annotations

import _thread
import os
import select

from ringfence.sandbox import landlock, mounts, namespaces, netlink, seccomp, syscalls
from ringfence.sandbox.backends import filter as answering
from ringfence.sandbox.backends.calls import Call, Descriptor
from ringfence.sandbox.syscalls import NODEV, NOSUID

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TRIES = 100
_GET_ACTION_AVAILABLE, _USER_NOTIFICATION = 2, 0x7FC00000


def main() -> None:
    """Run every trial and leave."""
    syscalls.close_range(3)
    uid = 1000 if os.geteuid() == 0 else os.geteuid()
    gid = 1000 if os.geteuid() == 0 else os.getegid()
    _try("landlock", lambda: f"generation {landlock.version()}")
    _try("seccomp", _seccomp)
    _try("landlock truncation", lambda: _generation(landlock.TRUNCATE_SINCE, "files that are cut short"))
    _try("landlock scopes", lambda: _generation(landlock.SCOPES_SINCE, "signals and abstract sockets"))
    _try("user notification", _user_notification)
    _try("calls answered", _calls_answered)
    if _try("namespaces", lambda: namespaces.enter_outer(uid, gid)):
        _try("loopback", netlink.loopback_up)
        _try("every address", lambda: "IPv4 and IPv6" if netlink.take_every_address() else "IPv4 only")
        _try("capture", lambda: netlink.redirect_tcp(1))
        _in_process_one()
    os._exit(0)


def _in_process_one() -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    root = mounts.Root()
    sources = mounts.open_sources([("/usr", "/usr", False, True)], [])
    devices = [(syscalls.open_plain(f"/dev/{name}"), name) for name in mounts.DEVICES]
    if _try("mounts by descriptor", lambda: _mounts(root, sources)):
        _try("overlay", _overlay)
        _try("private proc", lambda: mounts.private_proc(root))
        _try("private devices", lambda: mounts.private_devices(root, devices, "1m"))
        _try("private root", root.enter)
    _try("inner user namespace", lambda: namespaces.enter_inner(os.geteuid(), os.getegid()))
    _try("no capabilities", namespaces.drop_capabilities)
    os._exit(0)


def _mounts(root: mounts.Root, sources: list[tuple[int, str, bool]]) -> None:
    root.begin()
    for source, target, writable in sources:
        root.bind(source, target, writable=writable)


def _overlay() -> None:
    # Two lower layers make a complete, read-only overlay; whether the kernel lets a user mount one is the question.
    os.close(syscalls.new_filesystem("overlay", NOSUID | NODEV, {"lowerdir": "/usr:/etc", "userxattr": ""}))


def _seccomp() -> None:
    child = os.fork()
    if child == 0:
        try:
            syscalls.prctl(38, 1, what="no new privileges")
            seccomp.prepare().install()
        except BaseException:  # noqa: BLE001 - the exit code is all that the parent sees
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise OSError(22, "the filter was not accepted")


def _generation(needed: int, what: str) -> None:
    generation = landlock.version()
    if generation < needed:
        raise OSError(38, f"generation {generation} does not know of {what}")


def _calls_answered() -> None:
    """Answer a call as the supervisor of tier B does: what it reads of a program and puts into it has to be allowed."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _one_call_answered() else 1)
    if os.waitpid(child, 0)[1]:
        raise OSError(1, "a program's call cannot be read and answered")


def _one_call_answered() -> bool:
    listeners: list[int] = []
    opened: list[int] = []
    syscalls.prctl(38, 1, what="no new privileges")

    def ask() -> None:
        # A filter binds the thread that installs it, and this process's first thread answers it.
        listeners.append(answering.prepare().install_with_listener())
        opened.append(os.open(os.devnull, os.O_RDWR))

    _thread.start_new_thread(ask, ())
    for _ in range(_TRIES):
        if listeners:
            break
        select.select([], [], [], 0.01)
    if not listeners or not select.select(listeners, [], [], 1)[0]:
        return False
    call = Call.receive(listeners[0])
    if call is None or call.path(1) != os.fsencode(os.devnull):
        return False
    call.check()
    call.answer(Descriptor(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), close_on_exec=True))
    for _ in range(_TRIES):
        if opened:
            return True
        select.select([], [], [], 0.01)
    return False


def _user_notification() -> None:
    number = seccomp.SECCOMP[os.uname().machine]
    action = _USER_NOTIFICATION.to_bytes(4, "little")
    syscalls.call(number, _GET_ACTION_AVAILABLE, 0, action, what="user notification")


def _try(name: str, trial: Callable[[], object]) -> bool:
    try:
        detail, ok = trial(), True
    except OSError as error:
        detail, ok = f"{error.strerror} (error {error.errno})", False
    except KeyError as error:
        detail, ok = f"the machine type {error} is not supported", False
    line = f"{name}\t{'ok' if ok else 'no'}\t{detail or ''}\n"
    os.write(1, line.encode(errors="replace"))
    return ok
