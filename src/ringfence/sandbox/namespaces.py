"""The two nested user namespaces of a sandbox, and the way to no capabilities.

The outer one owns the mounts and the network and is left behind before anything foreign runs; in the inner one nothing
has rights over them.
"""

from __future__ import annotations

import os
from _struct import pack

from ringfence.sandbox import syscalls
from ringfence.sandbox.syscalls import prctl

_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 24, 28, 38, 47
_CAP_SYS_ADMIN, _CAP_WAKE_ALARM = 21, 35
_SECUREBITS_LOCKED = 0xEF
"""No root privileges, no keeping or raising of capabilities, and no way back."""
_NESTED = 1024
"""How many user namespaces there may be at once where nested ones are allowed."""
_MAX_USER_NAMESPACES = "/proc/sys/user/max_user_namespaces"


def enter_outer(inside_uid: int, inside_gid: int, *, nested: bool = False) -> None:
    """Leave the host's namespaces, as one user only. `nested` lets what runs inside make namespaces in its turn."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        os.setgroups([])
    kinds = syscalls.NEWNET | syscalls.NEWNS | syscalls.NEWPID | syscalls.NEWIPC | syscalls.NEWUTS | syscalls.NEWCGROUP
    syscalls.unshare(syscalls.NEWUSER | kinds, "new namespaces")
    _map(inside_uid, uid, inside_gid, gid)
    syscalls.checked(syscalls.LIBC.mount(b"none", b"/", None, 0x4000 | 0x40000, None), "make the mounts private")
    # One namespace may still follow: the inner one. Everything below it finds the number used up.
    _write(_MAX_USER_NAMESPACES, str(_NESTED) if nested else "1")


def enter_inner(inside_uid: int, inside_gid: int, *, outer: tuple[int, int] | None = None) -> None:
    """Leave the outer user namespace, which owns the mounts and the network. `outer`: the numbers that user and group
    have there, where they are others."""
    uid, gid = outer or (inside_uid, inside_gid)
    syscalls.unshare(syscalls.NEWUSER, "inner user namespace")
    _map(inside_uid, uid, inside_gid, gid)


def join_mounts(descriptor: int) -> None:
    """Go over to another mount namespace, whose root is the root from then on."""
    syscalls.checked(syscalls.LIBC.setns(descriptor, syscalls.NEWNS), "go over to the container's mounts")
    os.close(descriptor)


def drop_capabilities() -> None:
    """Give up every capability, and every way to get one, but for the mark by which the kernel tells process 1 from
    what it starts."""
    last = last_capability()
    prctl(_PR_CAP_AMBIENT, 4, what="clear ambient capabilities")
    for capability in range(last + 1):
        prctl(_PR_CAPBSET_DROP, capability, what="empty the bounding set")
    prctl(_PR_SET_SECUREBITS, _SECUREBITS_LOCKED, what="lock the secure bits")
    # SECURITY: of the same user, a command could put process 1 behind all others, and the watch over limits with it
    # (T24). The kernel lets nobody change the order of one who may have a capability more. This one is good for
    # nothing: it counts in the machine's own user namespace alone, is never in effect, and no program starts with it.
    data = pack("=IIIIII", 0, 0, 0, 0, 1 << (_CAP_WAKE_ALARM - 32), 0)
    syscalls.call(syscalls.older("capset"), pack("=Ii", 0x20080522, 0), data, what="drop capabilities")
    prctl(_PR_SET_NO_NEW_PRIVS, 1, what="no new privileges")


def last_capability() -> int:
    """The highest number of a capability that the kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        return int(file.read())


def keep_mounting(last: int) -> None:
    """Give up every capability up to the last but the one that mounting takes, and every way to get another."""
    prctl(_PR_CAP_AMBIENT, 4, what="clear ambient capabilities")
    for capability in range(last + 1):
        if capability != _CAP_SYS_ADMIN:
            prctl(_PR_CAPBSET_DROP, capability, what="empty the bounding set")
    prctl(_PR_SET_SECUREBITS, _SECUREBITS_LOCKED, what="lock the secure bits")
    kept = 1 << _CAP_SYS_ADMIN
    data = pack("=IIIIII", kept, kept, 0, 0, 0, 0)
    syscalls.call(syscalls.older("capset"), pack("=Ii", 0x20080522, 0), data, what="drop capabilities")
    prctl(_PR_SET_NO_NEW_PRIVS, 1, what="no new privileges")


def give_up_privileges() -> None:
    """Give up every capability, by a process that may not be allowed to empty the bounding set. Without new privileges
    nothing that it starts gets one either, whoever it runs as."""
    prctl(_PR_CAP_AMBIENT, 4, what="clear ambient capabilities")
    prctl(_PR_SET_NO_NEW_PRIVS, 1, what="no new privileges")
    syscalls.call(syscalls.older("capset"), pack("=Ii", 0x20080522, 0), bytes(24), what="drop capabilities")


def hide_memory() -> None:
    """Nobody of the same user may look into this process."""
    prctl(_PR_SET_DUMPABLE, 0, what="hide the memory")


def _map(inside_uid: int, uid: int, inside_gid: int, gid: int) -> None:
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{inside_uid} {uid} 1")
    _write("/proc/self/gid_map", f"{inside_gid} {gid} 1")


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"write `{path}`: {error.strerror}") from error
    finally:
        os.close(file)
