"""Attacks on the surface of the kernel: what an attacker needs to reach before a flaw there can be used (section E)."""

from __future__ import annotations

from tests.escape.battery import oracles
from tests.escape.battery.attack import Attack, Kind

_DENIED = ("EPERM", "EACCES", "ENOSYS")
_NO_FAMILY = ("EPERM", "EACCES", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT")
_NOT_HERE = "this kernel was built without it"


def _socket(number: str, title: str, *words: str) -> Attack:
    return Attack(
        id=number,
        kind=Kind.KERNEL,
        title=title,
        program="open_socket",
        arguments=words,
        oracle=oracles.said_success,
        ends=_NO_FAMILY,
        may_lack=f"{_NOT_HERE}, or keeps it for root",
    )


def _call(number: str, title: str, name: str, ends: tuple[str, ...] = _DENIED, may_lack: str = "") -> Attack:
    return Attack(
        id=number,
        kind=Kind.KERNEL,
        title=title,
        program="call",
        arguments=(name,),
        oracle=oracles.said_success,
        ends=ends,
        may_lack=may_lack,
    )


def _namespace(number: str, how: str) -> Attack:
    return Attack(
        id=number,
        kind=Kind.KERNEL,
        title=f"become root in a namespace of its own, by {how}",
        program="new_namespace",
        arguments=(how,),
        oracle=oracles.said_success,
        ends=("EPERM", "ENOSPC", "ENOSYS", "EINVAL"),
    )


def _kernel_file(number: str, title: str, *paths: str) -> Attack:
    return Attack(
        id=number,
        kind=Kind.KERNEL,
        title=title,
        program="open_for_writing",
        arguments=paths,
        oracle=oracles.said_success,
        ends=("EROFS", "EACCES", "EPERM", "ENOENT"),
        may_lack="only root may write there",
    )


_ROOT_ONLY = "only root may ask for it"

KERNEL = (
    _socket("E68", "open the kernel's ciphers (AF_ALG)", "38", "5", "0"),
    _socket("E69", "open AF_RXRPC", "33", "2", "2"),
    _socket("E69b", "open the kernel's IPsec settings (NETLINK_XFRM)", "16", "3", "6"),
    _socket("E70", "open the kernel's packet filter (NETLINK_NETFILTER)", "16", "3", "12"),
    _socket("E70b", "open a packet socket", "17", "3", "0x0300"),
    _socket("E70c", "open NETLINK_KOBJECT_UEVENT", "16", "3", "15"),
    _socket("E70d", "open NETLINK_SOCK_DIAG", "16", "3", "4"),
    _socket("E70e", "open AF_KCM", "41", "5", "0"),
    _socket("E70f", "open AF_TIPC", "30", "4", "0"),
    _socket("E70g", "open AF_CAN", "29", "3", "1"),
    _socket("E70h", "open AF_VSOCK datagrams", "40", "2", "0"),
    _namespace("E71", "unshare"),
    _namespace("E71b", "clone"),
    _call("E72", "open an io_uring, which calls the kernel past the filter", "io_uring_setup"),
    _call("E73", "call the kernel by its 32-bit door", "compat", ("SIGSYS",), _NOT_HERE),
    _call("E73b", "call the kernel by its x32 door", "x32-socket", ("SIGSYS", "ENOSYS"), _NOT_HERE),
    _namespace("E74", "clone3"),
    _call("E75", "load a program into the kernel (bpf)", "bpf", may_lack=_ROOT_ONLY),
    _call("E75b", "watch the processor (perf_event_open)", "perf_event_open", may_lack=_NOT_HERE),
    _call("E75c", "hold the kernel at a page (userfaultfd)", "userfaultfd", may_lack=_NOT_HERE),
    _call("E75d", "enter a namespace", "setns", may_lack=_ROOT_ONLY),
    _call("E75e", "copy a tree of mounts (open_tree)", "open_tree", may_lack=_ROOT_ONLY),
    _call("E75f", "open a filesystem (fsopen)", "fsopen", may_lack=_ROOT_ONLY),
    _call("E75g", "change the root folder (chroot)", "chroot", may_lack=_ROOT_ONLY),
    _call("E75h", "take a descriptor out of another process", "pidfd_getfd"),
    _call("E75i", "read another process (process_vm_readv)", "process_vm_readv"),
    _call("E75j", "put a key into the kernel", "add_key"),
    _call("E75k", "weaken its own address layout (personality)", "personality", (*_DENIED, "unchanged")),
    _socket("E76", "open AF_ALG, with bits that the kernel ignores", "0x100000026", "5", "0"),
    _socket("E76b", "open NETLINK_NETFILTER, with bits that the kernel ignores", "16", "3", "0x10000000c"),
    _namespace("E76c", "clone-high-bits"),
    _kernel_file("E77", "write kernel settings", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname"),
    _kernel_file("E77b", "write to devices", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/loop0"),
    _kernel_file("E77c", "write to /sys", "/sys/power/state", "/sys/kernel/uevent_helper", "/sys/kernel/profiling"),
    Attack(
        id="E78",
        kind=Kind.KERNEL,
        title="make a control group outside of its limits",
        program="control_group",
        oracle=oracles.said_success,
        ends=("ENOENT", "EROFS", "EACCES", "EPERM"),
        may_lack="only root may make control groups here",
    ),
)
