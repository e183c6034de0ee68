"""Attacks by way of processes, the environment, credentials, and other programs on the machine (sections C and D)."""

from __future__ import annotations

from tests.escape.battery import oracles, setups
from tests.escape.battery.attack import Attack, Kind
from tests.escape.battery.stage import SECRET_NAME

_PARENT = ("sh", "-c", '"$@"; exit $?', "sh")
"""A parent that stays, as the launcher of a sandbox does."""
_TIOCSTI = "0x5412"
_HIGH_TIOCSTI = "0x100005412"

PROCESSES = (
    Attack(
        id="C37",
        kind=Kind.PROCESSES,
        title="read its own environment",
        program="environment",
        oracle=oracles.secret_shown,
        ends=("done",),
    ),
    Attack(
        id="C38",
        kind=Kind.PROCESSES,
        title="read the environment of other processes",
        program="others",
        arguments=("environ", SECRET_NAME),
        plainly=_PARENT,
        oracle=oracles.secret_shown,
        ends=("done", "EACCES", "EPERM"),
    ),
    Attack(
        id="C39",
        kind=Kind.PROCESSES,
        title="read the command lines of other processes",
        program="others",
        arguments=("cmdline", "--battery-password"),
        setup=(setups.victim,),
        oracle=oracles.secret_shown,
        ends=("done", "EACCES", "EPERM"),
    ),
    Attack(
        id="C40",
        kind=Kind.PROCESSES,
        title="attach to another process",
        program="attach",
        arguments=("{victim}",),
        setup=(setups.victim,),
        oracle=oracles.said_success,
        ends=("EPERM", "ENOSYS"),
    ),
    Attack(
        id="C41",
        kind=Kind.PROCESSES,
        title="read the memory of another process",
        program="memory",
        arguments=("{victim}", "ringfence-victim-"),
        setup=(setups.victim,),
        oracle=oracles.secret_shown,
        ends=("EACCES", "EPERM", "ENOENT"),
    ),
    Attack(
        id="C41b",
        kind=Kind.PROCESSES,
        title="read what another process has open",
        program="descriptors",
        arguments=("{victim}",),
        setup=(setups.victim,),
        oracle=oracles.secret_shown,
        ends=("EACCES", "EPERM", "ENOENT"),
    ),
    Attack(
        id="C42",
        kind=Kind.PROCESSES,
        title="read the keys of the person from the kernel",
        program="keyring",
        arguments=("{key}",),
        setup=(setups.key,),
        oracle=oracles.secret_shown,
        ends=("EPERM", "ENOSYS"),
    ),
    Attack(
        id="C43",
        kind=Kind.PROCESSES,
        title="have the kernel run a program when something crashes",
        program="open_for_writing",
        arguments=("/proc/sys/kernel/core_pattern",),
        oracle=oracles.said_success,
        ends=("EROFS", "EACCES", "EPERM", "ENOENT"),
        may_lack="only root may write kernel settings",
    ),
    Attack(
        id="C49",
        kind=Kind.PROCESSES,
        title="end a process outside",
        program="signal",
        arguments=("{victim}",),
        setup=(setups.victim,),
        oracle=oracles.victim_ended,
        ends=("ESRCH", "EPERM"),
    ),
    Attack(
        id="C51",
        kind=Kind.PROCESSES,
        title="outlive the session",
        program="outlive",
        arguments=("{mark}",),
        setup=(setups.mark,),
        oracle=oracles.outlived,
        ends=("done",),
    ),
    Attack(
        id="C51b",
        kind=Kind.PROCESSES,
        title="outlive the supervisor, which is killed",
        program="linger",
        arguments=("{mark}",),
        setup=(setups.supervisor_dies,),
        plainly=_PARENT,
        oracle=oracles.outlived,
        ends=("SIGKILL",),
    ),
    Attack(
        id="C54",
        kind=Kind.PROCESSES,
        title="ask a helper of the person for a password",
        program="run",
        arguments=("sh", "-c", "printf 'protocol=https\\nhost=forge.test\\n\\n' | git credential fill"),
        setup=(
            setups.file("{home}/.gitconfig", "[credential]\n\thelper = store\n", 0o644),
            setups.file("{home}/.git-credentials", "https://me:{secret}@forge.test\n"),
        ),
        oracle=oracles.secret_shown,
        ends=("exit 128",),
    ),
)


def _local(number: str, title: str, kind: str, path: str, name: str) -> Attack:
    return Attack(
        id=number,
        kind=Kind.IPC,
        title=title,
        program="unix_socket",
        arguments=(kind, path, "{secret}"),
        setup=(setups.local_sockets,),
        oracle=oracles.heard(name),
        ends=("ENOENT", "EACCES", "EPERM", "ECONNREFUSED"),
    )


IPC = (
    _local("D55", "connect to a daemon's socket", "stream", "{stream}", "stream"),
    _local("D56", "send a datagram to a daemon's socket", "datagram", "{datagram}", "datagram"),
    _local("D57", "connect to an abstract socket", "stream", "{abstract}", "abstract"),
    Attack(
        id="D60",
        kind=Kind.IPC,
        title="find the key agent and the message bus in the environment",
        program="run",
        arguments=("sh", "-c", "echo $SSH_AUTH_SOCK $DBUS_SESSION_BUS_ADDRESS"),
        setup=(setups.local_sockets,),
        oracle=lambda stage, ran: "the address was shown" if stage.words["stream"] in ran.output else None,
        ends=("done",),
    ),
    Attack(
        id="D62",
        kind=Kind.IPC,
        title="read shared memory of another program",
        program="shared_memory",
        arguments=("0", "{key}"),
        setup=(setups.segment,),
        oracle=oracles.secret_shown,
        ends=("ENOENT", "EINVAL", "EPERM", "EACCES", "ENOSYS"),
    ),
    Attack(
        id="D62b",
        kind=Kind.IPC,
        title="read shared memory of another program by its name",
        program="read",
        arguments=("{shared}",),
        setup=(setups.shared_file,),
        oracle=oracles.secret_shown,
        ends=("ENOENT", "EACCES", "EPERM"),
    ),
    Attack(
        id="D64",
        kind=Kind.IPC,
        title="type into the person's terminal",
        program="type_ahead",
        arguments=(_TIOCSTI, "{secret}"),
        terminal=True,
        oracle=oracles.typed,
        ends=("EPERM", "EACCES", "EIO", "ENOTTY", "ENXIO"),
        may_lack="this kernel lets nobody type ahead (`dev.tty.legacy_tiocsti`)",
    ),
    Attack(
        id="D67",
        kind=Kind.IPC,
        title="open a socket to the host of a virtual machine",
        program="open_socket",
        arguments=("40", "1", "0"),
        oracle=oracles.said_success,
        ends=("EPERM", "EACCES", "EAFNOSUPPORT"),
        may_lack="this kernel has no such sockets",
    ),
    Attack(
        id="D64b",
        kind=Kind.IPC,
        title="type into the person's terminal, with bits that the kernel ignores",
        program="type_ahead",
        arguments=(_HIGH_TIOCSTI, "{secret}"),
        terminal=True,
        oracle=oracles.typed,
        ends=("EPERM", "EACCES", "EIO", "ENOTTY", "ENXIO"),
        may_lack="this kernel lets nobody type ahead (`dev.tty.legacy_tiocsti`)",
    ),
)
