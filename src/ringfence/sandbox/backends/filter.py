"""The system-call filter of tier B: which calls are put to the supervisor, and which have no place without namespaces.

The kernel compares numbers only: whatever lies behind a pointer is for the supervisor to read, once, and to act on
itself. A call that is not put to it is safe whatever its arguments are.
"""

from __future__ import annotations

import os

from ringfence.sandbox import seccomp
from ringfence.sandbox.seccomp import (
    ALLOW,
    ANY_BIT,
    EPERM,
    EPROTONOSUPPORT,
    EQUAL,
    ERRNO,
    MAKES_A_FILE,
    NOTIFY,
    SET_ID,
    answer,
    argument,
    load,
    refuse,
    when,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence.sandbox.seccomp import Checked, Denied, Instruction

NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "unlink": 87, "unlinkat": 263, "rmdir": 84, "rename": 82, "renameat": 264, "renameat2": 316, "link": 86,
        "linkat": 265, "symlink": 88, "symlinkat": 266, "truncate": 76, "chown": 92, "fchown": 93, "lchown": 94,
        "fchownat": 260, "utime": 132, "utimes": 235, "futimesat": 261, "utimensat": 280, "setxattr": 188,
        "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197, "lremovexattr": 198, "fremovexattr": 199,
        "setxattrat": 463, "removexattrat": 466, "file_setattr": 469,
        "connect": 42, "sendto": 44, "recvfrom": 45, "getsockname": 51, "getpeername": 52,
        "sendmsg": 46, "bind": 49, "listen": 50, "setsockopt": 54, "sendmmsg": 307,
        "prctl": 157, "prlimit64": 302, "setpriority": 141, "ioprio_set": 251, "sched_setparam": 142,
        "sched_setscheduler": 144, "sched_setaffinity": 203, "sched_setattr": 314,
        "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66, "semtimedop": 220,
        "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241,
        "stat": 4, "lstat": 6, "access": 21, "newfstatat": 262, "faccessat": 269, "statx": 332, "faccessat2": 439,
        "kill": 62, "tkill": 200, "tgkill": 234, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297,
        "pidfd_send_signal": 424, "fcntl": 72,
    },
    "aarch64": {
        "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38, "renameat2": 276, "truncate": 45,
        "fchown": 55, "fchownat": 54, "utimensat": 88, "setxattr": 5, "lsetxattr": 6, "fsetxattr": 7,
        "removexattr": 14, "lremovexattr": 15, "fremovexattr": 16, "setxattrat": 463, "removexattrat": 466,
        "file_setattr": 469,
        "bind": 200, "listen": 201, "connect": 203, "sendto": 206, "recvfrom": 207, "getsockname": 204,
        "getpeername": 205, "setsockopt": 208, "sendmsg": 211, "sendmmsg": 269,
        "prctl": 167, "prlimit64": 261, "setpriority": 140, "ioprio_set": 30, "sched_setparam": 118,
        "sched_setscheduler": 119, "sched_setaffinity": 122, "sched_setattr": 274,
        "shmget": 194, "shmctl": 195, "shmat": 196, "semget": 190, "semctl": 191, "semtimedop": 192, "semop": 193,
        "msgget": 186, "msgctl": 187, "msgrcv": 188, "msgsnd": 189, "mq_open": 180, "mq_unlink": 181,
        "faccessat": 48, "newfstatat": 79, "statx": 291, "faccessat2": 439,
        "kill": 129, "tkill": 130, "tgkill": 131, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240,
        "pidfd_send_signal": 424, "fcntl": 25,
    },
}  # fmt: skip
"""The calls this filter speaks of beyond the other tier's."""

SERVED = (
    "open", "openat", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "rmdir", "rename",
    "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "truncate", "chmod", "fchmod", "fchmodat",
    "fchmodat2", "utimensat", "socket", "connect", "bind", "listen", "sendto", "recvfrom",
    "getsockname", "getpeername",
)  # fmt: skip
"""The calls that are put to the supervisor."""

LOOKS = ("stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2")
"""The calls that are put to it as well where private folders are shown at other paths, with all that open anything."""

SIGNALS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
"""The calls that are put to it as well where Landlock does not know of signals."""

OWN_TERMINAL = os.O_RDWR | os.O_NOFOLLOW | os.O_SYNC
"""How the supervisor itself opens a command's terminal, which nobody else does. Landlock alone decides about it."""

_EOPNOTSUPP, _ENOPROTOOPT, _ENOSYS = 95, 92, 38
_WRITES = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | MAKES_A_FILE
_MSG_FASTOPEN = 0x20000000
_PR_SET_DUMPABLE = 4
_EMPTY_PATH = 0x1000
_F_SETOWN, _F_SETOWN_EX = 8, 15
_SETS_OWNER = (0x8901, 0x8902)
"""FIOSETOWN and SIOCSPGRP, which do the same to a socket."""
_SEQUENCED = 5
_OF_FILES = (0x6600, 0x5800, 0x7600, 0x9400, 0xF500, 0xBC00, 0x9700, 0x6E00, 0x6F00)
"""The letters of file systems' own controls: most change a file's flags, labels, verity or snapshots, and ask for no
more than a descriptor of the owner's file, for reading."""
_HARMLESS = {
    "FS_IOC_GETFLAGS": 0x80086601, "FS_IOC_FIEMAP": 0xC020660B, "FS_IOC_FSGETXATTR": 0x801C581F,
    "FS_IOC_GETVERSION": 0x80087601, "FICLONE": 0x40049409, "FICLONERANGE": 0x4020940D, "FIDEDUPERANGE": 0xC0189436,
    "FS_IOC_GETFSLABEL": 0x81009431,
}  # fmt: skip
"""Those of them that look, or that write only where a descriptor says so."""

# SECURITY: source routing and extension headers send what is addressed to one machine by way of another; memberships
# announce themselves on the network; a filter or a bound device could keep the supervisor waiting.
_IP_OPTIONS = (4, 35, 39, 42, 46)
_IPV6_OPTIONS = (6, 20, 27, 42, 46, 54, 55, 57, 59)
_SOCKET_OPTIONS = (25, 26, 50, 51, 52, 62)
_TCP_FASTOPEN_CONNECT = 30
_IP_RECVERR, _IPV6_RECVERR = 11, 25

DENIED: Denied = (
    # Shared memory, semaphores and queues of System V and POSIX have no folder that could be private.
    (_ENOSYS, ("shmget", "shmat", "shmctl", "semget", "semop", "semctl", "semtimedop")),
    (_ENOSYS, ("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink")),
    # Landlock does not know of these, so they are for nobody.
    (_EOPNOTSUPP, ("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr")),
    (_EOPNOTSUPP, ("setxattrat", "removexattrat", "file_setattr")),
    (_ENOSYS, ("utime", "utimes", "futimesat")),
)


def program(
    machine: str, uid: int, gid: int, *, pinned: bool = False, shows: bool = False, signals: bool = False
) -> tuple[Instruction, ...]:
    """The filter for a machine type and a user. `pinned`: programs stay on the processors they were started on.
    `shows`: folders are shown at other paths. `signals`: the supervisor has to keep signals inside."""
    first: Checked = ((seccomp.AFFINITY, [refuse(EPERM)]),) if pinned else ()
    checked = (*first, *(_shown() if shows else ()), *(_signals() if signals else ()), *_checked(uid, gid))
    return seccomp.program(machine, checked=checked, denied=DENIED, more=NUMBERS[machine])


def prepare(*, pinned: bool = False, shows: bool = False, signals: bool = False) -> seccomp.Filter:
    """The filter of this machine and user, ready to be installed any number of times."""
    return seccomp.Filter(
        program(os.uname().machine, os.geteuid(), os.getegid(), pinned=pinned, shows=shows, signals=signals)
    )


def served(machine: str, *, shows: bool = False, signals: bool = False) -> dict[int, str]:
    """The name of each call that is put to the supervisor, by its number."""
    numbers = {**seccomp.NUMBERS[machine], **NUMBERS[machine]}
    names = (*SERVED, *(LOOKS if shows else ()), *(SIGNALS if signals else ()))
    return {numbers[name]: name for name in names if name in numbers}


def _checked(uid: int, gid: int) -> Checked:
    return (
        ("openat", _open_block(2)),
        ("open", _open_block(1)),
        *((name, _mode_block(1)) for name in ("chmod", "fchmod", "creat", "mkdir", "mknod")),
        *((name, _mode_block(2)) for name in ("fchmodat", "fchmodat2", "mkdirat", "mknodat")),
        ("socket", _socket_block()),
        ("socketpair", [load(argument(0)), *_unix_block(ALLOW), refuse(seccomp.EAFNOSUPPORT)]),
        *((name, [answer(NOTIFY)]) for name in SERVED if name not in _WITH_BLOCK),
        ("sendto", [load(argument(3)), *when(ANY_BIT, _MSG_FASTOPEN, ERRNO | _EOPNOTSUPP), *_with_address_block()]),
        ("recvfrom", _with_address_block()),
        ("sendmsg", _unless(2, ANY_BIT, _MSG_FASTOPEN, _EOPNOTSUPP)),
        ("sendmmsg", _unless(3, ANY_BIT, _MSG_FASTOPEN, _EOPNOTSUPP)),
        ("setsockopt", _option_block()),
        # A process that hides its memory could not be served.
        ("prctl", [load(argument(0)), *when(EQUAL, _PR_SET_DUMPABLE, ERRNO), answer(ALLOW)]),
        *((name, _own_only(0)) for name in ("prlimit64", "sched_setparam", "sched_setscheduler")),
        *((name, _own_only(0)) for name in ("sched_setaffinity", "sched_setattr")),
        *((name, [load(argument(0)), (EQUAL, 1, 0, which), refuse(EPERM), *_own_only(1)])
          for name, which in (("setpriority", 0), ("ioprio_set", 1))),
        *((name, _owner_block(1, uid, gid)) for name in ("chown", "fchown", "lchown")),
        ("fchownat", _owner_block(2, uid, gid)),
        ("ioctl", _ioctl_block()),
    )  # fmt: skip


def _shown() -> Checked:
    # To look at a descriptor says so in the flags, and needs no path.
    by_descriptor = {"newfstatat": 3, "statx": 2}
    return (
        ("openat", _open_block(2, NOTIFY)),
        ("open", _open_block(1, NOTIFY)),
        *((name, [load(argument(index)), *when(ANY_BIT, _EMPTY_PATH, ALLOW), answer(NOTIFY)])
          for name, index in by_descriptor.items()),
        *((name, [answer(NOTIFY)]) for name in LOOKS if name not in by_descriptor),
    )  # fmt: skip


def _signals() -> Checked:
    # SECURITY: a descriptor's owner is sent a signal when there is something to read, whoever that is.
    owners = [load(argument(1)), *when(EQUAL, _F_SETOWN, ERRNO | EPERM), *when(EQUAL, _F_SETOWN_EX, ERRNO | EPERM)]
    sockets = [load(argument(1)), *(each for number in _SETS_OWNER for each in when(EQUAL, number, ERRNO | EPERM))]
    return (
        *((name, [answer(NOTIFY)]) for name in SIGNALS),
        ("fcntl", [*owners, answer(ALLOW)]),
        ("ioctl", [*sockets, *_ioctl_block()]),
    )


_WITH_BLOCK = (
    "open", "openat", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2",
    "socket", "sendto", "recvfrom",
)  # fmt: skip


def _unless(index: int, operation: int, operand: int, error: int) -> list[Instruction]:
    return [load(argument(index)), *when(operation, operand, ERRNO | error), answer(ALLOW)]


def _with_address_block() -> list[Instruction]:
    # Not because of what it could do: the supervisor has to know which name server a program speaks to.
    low, high = argument(4), argument(4) + 4
    return [load(low), (EQUAL, 1, 0, 0), answer(NOTIFY), load(high), (EQUAL, 1, 0, 0), answer(NOTIFY), answer(ALLOW)]


def _own_only(index: int) -> list[Instruction]:
    # SECURITY: the user's other processes would take new limits and priorities from inside.
    return [load(argument(index)), *when(EQUAL, 0, ALLOW), refuse(EPERM)]


def _mode_block(index: int) -> list[Instruction]:
    return [load(argument(index)), *when(ANY_BIT, SET_ID, ERRNO | EPERM), answer(NOTIFY)]


def _open_block(index: int, reads: int = ALLOW) -> list[Instruction]:
    mode = [load(argument(index + 1)), *when(ANY_BIT, SET_ID, ERRNO | EPERM), load(argument(index))]
    return [
        load(argument(index)),
        *when(EQUAL, OWN_TERMINAL, ALLOW),
        (ANY_BIT, 0, len(mode), MAKES_A_FILE),
        *mode,
        *when(ANY_BIT, _WRITES, NOTIFY),
        answer(reads),
    ]


def _unix_block(verdict: int) -> list[Instruction]:
    # SECURITY: a datagram socket takes an address with each message, behind a pointer; a stream has none to take. And
    # a raw socket of this family is a datagram socket by another name.
    kinds = [
        load(argument(1)),
        (seccomp.AND, 0, 0, seccomp.TYPE_MASK),
        *when(EQUAL, seccomp.STREAM, verdict),
        *when(EQUAL, _SEQUENCED, verdict),
        refuse(EPROTONOSUPPORT),
    ]
    return [(EQUAL, 0, len(kinds), seccomp.UNIX), *kinds]


def _socket_block() -> list[Instruction]:
    return [load(argument(0)), *_unix_block(NOTIFY), *_noticed(seccomp.socket_block())]


def _noticed(code: list[Instruction]) -> list[Instruction]:
    return [answer(NOTIFY) if each == answer(ALLOW) else each for each in code]


def _option_block() -> list[Instruction]:
    code: list[Instruction] = []
    for level, names, error in (
        # Resolvers insist on it, and a pair of ours has no errors of a network to report.
        (0, (_IP_RECVERR,), 0),
        (41, (_IPV6_RECVERR,), 0),
        (0, _IP_OPTIONS, EPERM),
        (41, _IPV6_OPTIONS, EPERM),
        (1, _SOCKET_OPTIONS, EPERM),
        (6, (_TCP_FASTOPEN_CONNECT,), _ENOPROTOOPT),
    ):
        block = [load(argument(2))]
        for name in names:
            block += when(EQUAL, name, ERRNO | error)
        code += [load(argument(1)), (EQUAL, 0, len(block), level), *block]
    return [*code, answer(ALLOW)]


def _owner_block(index: int, uid: int, gid: int) -> list[Instruction]:
    # To give a file to its owner changes nothing, and nobody else may have it.
    code: list[Instruction] = []
    for offset, own in ((0, uid), (1, gid)):
        code += [load(argument(index + offset)), (EQUAL, 2, 0, 0xFFFFFFFF), (EQUAL, 1, 0, own), refuse(EPERM)]
    return [*code, answer(ERRNO)]


def _ioctl_block() -> list[Instruction]:
    code = [load(argument(1))]
    for number in _HARMLESS.values():
        code += when(EQUAL, number, ALLOW)
    code.append((seccomp.AND, 0, 0, 0xFF00))
    for letter in _OF_FILES:
        code += when(EQUAL, letter, ERRNO | _EOPNOTSUPP)
    return [*code, *seccomp.ioctl_block()]
