"""The system-call filter: what no coding agent needs and what attacks on the kernel start with.

Generates a classic BPF program for x86_64 and aarch64. It is a deny list over the calls that exist today, with an allow
list for socket families and protocols, and "not implemented" for every call that is newer than this table. Files are
the business of mounts and Landlock, not of this.
"""

from __future__ import annotations

import ctypes
import os
from _struct import pack

from ringfence.sandbox import syscalls

EPERM, ENOTTY, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT = 1, 25, 38, 93, 97
ALLOW, NOTIFY, KILL, ERRNO = 0x7FFF0000, 0x7FC00000, 0x80000000, 0x00050000
SECCOMP = {"x86_64": 317, "aarch64": 277}
_NEW_LISTENER, _WAIT_KILLABLE = 8, 0x20

_LOAD, AND, _RETURN = 0x20, 0x54, 0x06
EQUAL, GREATER, AT_LEAST, ANY_BIT = 0x15, 0x25, 0x35, 0x45
_NUMBER, _ARCHITECTURE = 0, 4
_NEWEST = 469
"""The newest call in the tables; later ones are answered as an older kernel would."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_NEW_TIME = 0x80
"""CLONE_NEWTIME; in `clone` the same bit belongs to the exit signal."""
SET_ID = 0o6000
MAKES_A_FILE = 0o100 | 0o20000000
"""O_CREAT and the bit of its own that O_TMPFILE has."""
_TERMINAL = {"TIOCEXCL": 0x540C, "TIOCSTI": 0x5412, "TIOCLINUX": 0x541C, "TIOCCONS": 0x541D, "TIOCSETD": 0x5423}
"""What acts on a terminal beyond the program that has it: close it to others, type into it, paste from the screen, take
the console's messages, have another driver read it. The person's own terminal is among the streams of `exec`."""
_CONSOLE = ((0x4B00, 0x4BFF), (0x5600, 0x56FF))
"""Keyboard, fonts and switching of the Linux console, whose changes outlast the session."""
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
STREAM, DATAGRAM, TYPE_MASK = 1, 2, 0xF
TCP, UDP = 6, 17

DENIED: tuple[tuple[int, tuple[str, ...]], ...] = (
    (ENOSYS, ("clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")),
    (ENOSYS, ("create_module", "get_kernel_syms", "query_module", "nfsservctl", "uselib", "_sysctl", "lookup_dcookie")),
    (EPERM, ("mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig", "fsmount")),
    (EPERM, ("fspick", "mount_setattr", "open_tree_attr", "setns", "open_by_handle_at", "fanotify_init")),
    (EPERM, ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "perf_event_open", "bpf")),
    (EPERM, ("userfaultfd", "keyctl", "add_key", "request_key", "syslog", "iopl", "ioperm", "modify_ldt", "vhangup")),
    (EPERM, ("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "acct", "reboot")),
    (EPERM, ("quotactl", "quotactl_fd", "swapon", "swapoff", "sethostname", "setdomainname")),
    (EPERM, ("settimeofday", "clock_settime", "clock_adjtime")),
)
"""What a refused call answers, and the calls. ENOSYS where programs then take the older way by themselves."""

NESTED = frozenset({"clone", "unshare", "mount", "umount2", "pivot_root", "chroot", "sethostname", "setdomainname"})
"""What a sandbox within the sandbox is made with; let through only where the policy says so. The newer mount calls and
`setns` stay refused: nothing that is known needs them."""

# clone3 and openat2 hide their flags behind a pointer, where a filter cannot look; without them programs use clone and
# openat, where it can.

_COMMON = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "openat2": 437, "mount_setattr": 442, "quotactl_fd": 443, "fchmodat2": 452, "open_tree_attr": 467,
}  # fmt: skip
NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        **_COMMON,
        "open": 2, "mkdir": 83, "creat": 85, "chmod": 90, "fchmod": 91, "mknod": 133, "openat": 257, "mkdirat": 258,
        "mknodat": 259, "fchmodat": 268,
        "ioctl": 16, "socket": 41, "socketpair": 53, "clone": 56, "ptrace": 101, "syslog": 103, "uselib": 134,
        "personality": 135, "vhangup": 153, "modify_ldt": 154, "pivot_root": 155, "_sysctl": 156, "chroot": 161,
        "acct": 163, "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168, "reboot": 169,
        "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173, "create_module": 174,
        "init_module": 175, "delete_module": 176, "get_kernel_syms": 177, "query_module": 178, "quotactl": 179,
        "nfsservctl": 180, "lookup_dcookie": 212, "clock_settime": 227, "kexec_load": 246, "add_key": 248,
        "request_key": 249, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "fanotify_init": 300,
        "open_by_handle_at": 304, "clock_adjtime": 305, "setns": 308, "process_vm_readv": 310,
        "process_vm_writev": 311, "kcmp": 312, "finit_module": 313, "kexec_file_load": 320, "bpf": 321,
        "userfaultfd": 323, "prlimit64": 302,
    },
    "aarch64": {
        **_COMMON,
        "mknodat": 33, "mkdirat": 34, "fchmod": 52, "fchmodat": 53, "openat": 56,
        "lookup_dcookie": 18, "ioctl": 29, "umount2": 39, "mount": 40, "pivot_root": 41, "nfsservctl": 42,
        "chroot": 51, "vhangup": 58, "quotactl": 60, "acct": 89, "personality": 92, "unshare": 97, "kexec_load": 104,
        "init_module": 105, "delete_module": 106, "clock_settime": 112, "syslog": 116, "ptrace": 117, "reboot": 142,
        "sethostname": 161, "setdomainname": 162, "settimeofday": 170, "socket": 198, "socketpair": 199,
        "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "swapon": 224, "swapoff": 225,
        "perf_event_open": 241, "fanotify_init": 262, "open_by_handle_at": 265, "clock_adjtime": 266, "setns": 268,
        "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "finit_module": 273, "bpf": 280,
        "userfaultfd": 282, "kexec_file_load": 294, "prlimit64": 261,
    },
}  # fmt: skip
"""The calls the filter speaks of. A name that a machine type does not have is a call that it never had."""

AFFINITY = "sched_setaffinity"
AFFINITY_NUMBERS = {"x86_64": 203, "aarch64": 122}
PINNED = ((EPERM, (AFFINITY,)),)
"""Denied where a processor share is held by giving so many processors."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    Instruction: TypeAlias = tuple[int, int, int, int]
    Checked: TypeAlias = tuple[tuple[str, list[Instruction]], ...]
    Denied: TypeAlias = tuple[tuple[int, tuple[str, ...]], ...]


def program(
    machine: str,
    *,
    checked: Checked = (),
    denied: Denied = (),
    more: dict[str, int] | None = None,
    nested: bool = False,
) -> tuple[Instruction, ...]:
    """The filter for a machine type, as (code, jump if true, jump if false, operand).

    `checked` and `denied` come before this table's own and take their place; `more` are the numbers they need.
    `nested` lets programs make namespaces and arrange the mounts in them.
    """
    known = {**NUMBERS[machine], **(more or {})}
    numbers = {name: number for name, number in known.items() if not (nested and name in NESTED)}
    code: list[Instruction] = [load(_ARCHITECTURE), (EQUAL, 1, 0, ARCHITECTURES[machine]), answer(KILL)]
    code.append(load(_NUMBER))
    if machine == "x86_64":
        # SECURITY: the x32 twins of every call have the same effect under other numbers.
        code += [(AT_LEAST, 0, 1, 0x40000000), answer(KILL)]
    # Calls with a check first: the kernel remembers which calls are allowed whatever their arguments, and of these
    # alone it has to run the filter every time.
    for name, block in (*checked, *CHECKED):
        if name in numbers:
            code += _when_number(numbers[name], block)
    for error, names in (*denied, *DENIED):
        for name in names:
            if name in numbers:
                code += _when_number(numbers[name], [refuse(error)])
    code += [(GREATER, 0, 1, _NEWEST), refuse(ENOSYS), answer(ALLOW)]
    return tuple(code)


def prepare(*, pinned: bool = False, nested: bool = False) -> Filter:
    """The filter of this machine, ready to be installed any number of times. `pinned`: programs stay on the processors
    that they were started on. `nested`: they may make namespaces."""
    machine = os.uname().machine
    if not pinned:
        return Filter(program(machine, nested=nested))
    return Filter(program(machine, denied=PINNED, more={AFFINITY: AFFINITY_NUMBERS[machine]}, nested=nested))


class Filter:
    """A program in the kernel's form; keeps the memory it lies in."""

    def __init__(self, code: tuple[Instruction, ...]) -> None:
        self._code = ctypes.create_string_buffer(b"".join(pack("=HBBI", *each) for each in code))
        self._header = ctypes.create_string_buffer(pack("=HxxxxxxQ", len(code), ctypes.addressof(self._code)))

    def install(self) -> None:
        """Bind the calling thread and everything it starts, for ever."""
        syscalls.prctl(22, 2, ctypes.addressof(self._header), what="seccomp")

    def install_with_listener(self) -> int:
        """The same, and the descriptor at which the calls arrive that are to be answered by somebody."""
        # A caller whose call was taken on waits for its answer whatever signal comes, so that no call is done twice.
        flags = _NEW_LISTENER | _WAIT_KILLABLE
        number = SECCOMP[os.uname().machine]
        return syscalls.call(number, 1, flags, ctypes.addressof(self._header), what="seccomp with a listener")


def argument(index: int) -> int:
    # SECURITY: the kernel reads these arguments as 32-bit numbers; comparing all 64 bits would let a set upper bit
    # hide one.
    return 16 + 8 * index


def load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def answer(value: int) -> Instruction:
    return (_RETURN, 0, 0, value)


def refuse(error: int) -> Instruction:
    return answer(ERRNO | error)


def _when_number(number: int, block: list[Instruction]) -> list[Instruction]:
    # INVARIANT: every block ends in an answer, so the loaded number is still there for the next comparison.
    return [(EQUAL, 0, len(block), number), *block]


def when(operation: int, operand: int, verdict: int) -> list[Instruction]:
    return [(operation, 0, 1, operand), answer(verdict)]


def _mode_block(index: int) -> list[Instruction]:
    # SECURITY: a set-user-id program left in the workspace gives everybody on the host the rights of the user.
    return [load(argument(index)), *when(ANY_BIT, SET_ID, ERRNO | EPERM), answer(ALLOW)]


def _open_block(index: int) -> list[Instruction]:
    # The mode counts only where a file is made; elsewhere the argument is whatever was left in the register.
    mode = _mode_block(index + 1)
    return [load(argument(index)), (ANY_BIT, 1, 0, MAKES_A_FILE), answer(ALLOW), *mode]


def _bounds_block() -> list[Instruction]:
    # SECURITY: process 1 is of the same user, and would take limits from what it started. A program sets its own.
    new = argument(2)
    looks = [load(new), (EQUAL, 0, 3, 0), load(new + 4), *when(EQUAL, 0, ALLOW)]
    return [load(argument(0)), *when(EQUAL, 0, ALLOW), *looks, refuse(EPERM)]


def ioctl_block() -> list[Instruction]:
    code = [load(argument(1))]
    for number in _TERMINAL.values():
        code += when(EQUAL, number, ERRNO | EPERM)
    for first, last in _CONSOLE:
        # Programs ask these to learn whether they run on a console, and take this answer for a no.
        code += [(AT_LEAST, 0, 2, first), (GREATER, 1, 0, last), refuse(ENOTTY)]
    return [*code, answer(ALLOW)]


def socket_block() -> list[Instruction]:
    internet = [
        load(argument(2)),
        *when(EQUAL, 1, ERRNO | EPERM),
        *when(EQUAL, 58, ERRNO | EPERM),
        (EQUAL, 3, 0, 0),
        (EQUAL, 2, 0, TCP),
        (EQUAL, 1, 0, UDP),
        # Multipath TCP among others: told so, programs such as Go's fall back to plain TCP.
        refuse(EPROTONOSUPPORT),
        load(argument(1)),
        (AND, 0, 0, TYPE_MASK),
        *when(EQUAL, STREAM, ALLOW),
        *when(EQUAL, DATAGRAM, ALLOW),
        refuse(EPERM),
    ]
    netlink = [load(argument(2)), *when(EQUAL, 0, ALLOW), refuse(EPROTONOSUPPORT)]
    return [
        load(argument(0)),
        *when(EQUAL, UNIX, ALLOW),
        (EQUAL, 0, len(netlink), NETLINK),
        *netlink,
        (EQUAL, 2, 0, INET),
        (EQUAL, 1, 0, INET6),
        refuse(EAFNOSUPPORT),
        *internet,
    ]


CHECKED: Checked = (
    ("openat", _open_block(2)),
    ("open", _open_block(1)),
    *((name, _mode_block(1)) for name in ("chmod", "fchmod", "creat", "mkdir", "mknod")),
    *((name, _mode_block(2)) for name in ("fchmodat", "fchmodat2", "mkdirat", "mknodat")),
    ("socket", socket_block()),
    ("socketpair", [load(argument(0)), *when(EQUAL, UNIX, ALLOW), refuse(EAFNOSUPPORT)]),
    ("clone", [load(argument(0)), *when(ANY_BIT, _NEW_NAMESPACES, ERRNO | EPERM), answer(ALLOW)]),
    ("unshare", [load(argument(0)), *when(ANY_BIT, _NEW_NAMESPACES | _NEW_TIME, ERRNO | EPERM), answer(ALLOW)]),
    ("ioctl", ioctl_block()),
    (
        "personality",
        [load(argument(0)), *when(EQUAL, 0, ALLOW), *when(EQUAL, 0xFFFFFFFF, ALLOW), refuse(EPERM)],
    ),
    ("prlimit64", _bounds_block()),
)
