"""The kernel's calls that Python does not offer, by number and with errors as `OSError`. No policy.

Importable without site-packages and without the heavier half of the standard library: the process inside the sandbox
starts with it, and each import is paid for by every session.
"""

from __future__ import annotations

import ctypes
import errno
import os
from _collections_abc import Callable
from _struct import pack

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
LIBC.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4

# These numbers are the same on every architecture (since 424); those below are older.
OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT = 428, 429, 430, 431, 432
CLOSE_RANGE, OPENAT2, MOUNT_SETATTR = 436, 437, 442
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
OLDER = {"x86_64": {"pivot_root": 155, "capset": 126}, "aarch64": {"pivot_root": 41, "capset": 91}}

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET, CLONE_FS = 0x10000000, 0x20000000, 0x40000000, 0x00000200
_OF_NO_CALL = 0x01
"""A flag that means nothing where namespaces are left."""

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
"""Attributes of `mount_setattr` and `fsmount`."""

NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x02, 0x04, 0x08
"""Rules of path resolution for `openat2`."""

_AT_EMPTY_PATH, _AT_RECURSIVE, _OPEN_TREE_CLONE, _CLOEXEC = 0x1000, 0x8000, 1, 0o2000000
_MOVE_FROM_EMPTY, _MOVE_TO_EMPTY = 0x04, 0x40


def call(number: int, *arguments: object, what: str) -> int:
    """A system call by its number."""
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(int(LIBC.syscall(ctypes.c_long(number), *words)), what)


def checked(result: int, what: str) -> int:
    """The result of a C call, or the error it left."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def older(name: str) -> int:
    """The number of a call from before the tables were unified."""
    machine = os.uname().machine
    if machine not in OLDER:
        raise OSError(38, f"{name}: the machine type `{machine}` is not supported")
    return OLDER[machine][name]


def refusal_of_namespaces(leave: Callable[[int], int] = LIBC.unshare) -> str:
    """How a filter of system calls around this process refuses a namespace, as a container's does; empty where none
    does. Nothing is made: the kernel itself knows no call with both flags, and says so. `OSError` where it is told that
    something was: this process may have left its namespace then, or what it is told is not true."""
    if leave(NEWUSER | _OF_NO_CALL) == 0:
        raise OSError(errno.ENOTRECOVERABLE, "`unshare` with a flag that no kernel knows is said to have worked")
    number = ctypes.get_errno()
    return "" if number == errno.EINVAL else os.strerror(number)


def unshare(flags: int, what: str) -> None:
    """Leave namespaces, or other things that a process shares."""
    checked(LIBC.unshare(flags), what)


def prctl(option: int, first: int = 0, second: int = 0, *, what: str) -> int:
    """A process control call."""
    return checked(LIBC.prctl(option, first, second, 0, 0), what)


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Close descriptors, whoever left them open."""
    if last >= first:
        call(CLOSE_RANGE, first, last, 0, what="close_range")


def open_beneath(folder: int, path: str, flags: int = os.O_PATH) -> int:
    """Open a path below a folder; neither a symbolic link nor `..` leads anywhere else."""
    # SECURITY: every component is checked by the kernel in one call, so that nothing planted in a writable tree, now or
    # by an earlier session, can redirect what is mounted or created.
    return _openat2(folder, path, flags, NO_SYMLINKS | NO_MAGICLINKS | BENEATH)


def open_plain(path: str, flags: int = os.O_PATH) -> int:
    """Open an absolute path in which no component is a symbolic link."""
    return _openat2(-100, path, flags, NO_SYMLINKS | NO_MAGICLINKS)


def open_as_seen(folder: int, path: bytes, flags: int = os.O_PATH) -> int:
    """Open a path as a program would, symbolic links and all, but for the links of `/proc`, which lead elsewhere for
    everybody who follows them."""
    return _openat2(folder, path, flags, NO_MAGICLINKS)


def _openat2(folder: int, path: str | bytes, flags: int, resolve: int) -> int:
    how = pack("QQQ", flags | os.O_CLOEXEC, 0, resolve)
    return call(OPENAT2, folder, os.fsencode(path), how, len(how), what=f"open `{os.fsdecode(path)}`")


def clone_tree(source: int, attributes: int, what: str, *, recursive: bool = True) -> int:
    """A detached copy of the mount behind a descriptor, with everything below it, and its attributes set."""
    # Recursive, because a copy of a folder without the mounts below shows what they cover: the kernel refuses it where
    # they are not ours.
    flags = _OPEN_TREE_CLONE | _CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    tree = call(OPEN_TREE, source, b"", flags, what=what)
    if attributes:
        set_attributes(tree, attributes, recursive=True, what=what)
    return tree


def set_attributes(mount: int, attributes: int, *, recursive: bool, what: str) -> None:
    """Add attributes to a mount."""
    value = pack("QQQQ", attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    call(MOUNT_SETATTR, mount, b"", flags, value, len(value), what=what)


def new_filesystem(kind: str, attributes: int, options: dict[str, str]) -> int:
    """A detached mount of a new file system instance."""
    context = call(FSOPEN, kind.encode(), 1, what=f"new {kind}")
    try:
        for key, value in options.items():
            setting = value.encode() if value else None
            call(FSCONFIG, context, 1 if value else 0, key.encode(), setting, 0, what=f"new {kind}: {key}={value}")
        call(FSCONFIG, context, 6, None, None, 0, what=f"new {kind}")
        return call(FSMOUNT, context, 1, attributes, what=f"new {kind}")
    finally:
        os.close(context)


def attach(tree: int, target: int, what: str) -> None:
    """Put a detached mount on what a descriptor shows."""
    call(MOVE_MOUNT, tree, b"", target, b"", _MOVE_FROM_EMPTY | _MOVE_TO_EMPTY, what=what)
