from __future__ import annotations

import pytest
from tests.sandbox.test_seccomp import run

from ringfence.sandbox import seccomp
from ringfence.sandbox.backends import filter as calls
from ringfence.sandbox.seccomp import ALLOW, ERRNO, KILL, NOTIFY

MACHINES = sorted(seccomp.NUMBERS)
UID, GID = 1001, 1002
EPERM = ERRNO | 1


def answer(machine: str, name: str, *arguments: int, shows: bool = False) -> int:
    number = {**seccomp.NUMBERS[machine], **calls.NUMBERS[machine]}[name]
    return run(calls.program(machine, UID, GID, shows=shows), machine, number, *arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_what_changes_files_and_sockets_is_put_to_the_supervisor(machine: str) -> None:
    arguments = {"openat": (0, 0, 1), "open": (0, 1), "socket": (2, 1), "sendto": (0, 0, 0, 0, 1), "recvfrom": (0,) * 4}
    arguments["recvfrom"] += (1 << 40,)

    answers = {name: answer(machine, name, *arguments.get(name, ())) for name in calls.served(machine).values()}

    assert answers == dict.fromkeys(answers, NOTIFY)


@pytest.mark.parametrize("machine", MACHINES)
def test_looks_and_reads_by_path_are_put_to_it_only_where_something_is_shown_at_another(machine: str) -> None:
    looks = [name for name in ("open", "openat", *calls.LOOKS) if name in calls.NUMBERS[machine] or name == "openat"]
    by_descriptor = {"newfstatat": (3, 1, 1, 0x1000), "statx": (3, 1, 0x1000)}

    assert {answer(machine, name) for name in looks} == {ALLOW}
    assert {answer(machine, name, shows=True) for name in looks} == {NOTIFY}
    assert {answer(machine, name, *by_descriptor[name], shows=True) for name in by_descriptor} == {ALLOW}
    assert answer(machine, "openat", 0, 0, 0o101, 0o4755, shows=True) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("openat", (0, 0, 0), ALLOW),
        ("openat", (0, 0, calls.OWN_TERMINAL), ALLOW),
        ("openat", (0, 0, 0o101, 0o4755), EPERM),
        ("socket", (1, 2), ERRNO | 93),
        ("socket", (1, 2 | 0o2000000), ERRNO | 93),
        ("socket", (2, 2), NOTIFY),
        ("socket", (38, 5), ERRNO | 97),
        ("socket", (2, 3, 1), EPERM),
        ("socketpair", (1, 1), ALLOW),
        ("socketpair", (1, 2), ERRNO | 93),
        ("sendto", (3, 0, 1, 0, 0), ALLOW),
        ("sendto", (3, 0, 1, 0x20000000, 1), ERRNO | 95),
        ("sendmsg", (3, 0, 0x20000000), ERRNO | 95),
        ("sendmmsg", (3, 0, 1, 0x20000040), ERRNO | 95),
        ("sendmsg", (3, 0, 0x4000), ALLOW),
        ("recvfrom", (3, 0, 1, 0, 0), ALLOW),
        ("setsockopt", (3, 0, 4), EPERM),
        ("setsockopt", (3, 41, 57), EPERM),
        ("setsockopt", (3, 6, 30), ERRNO | 92),
        ("setsockopt", (3, 0, 11), ERRNO),
        ("setsockopt", (3, 6, 1), ALLOW),
        ("prctl", (4, 0), ERRNO),
        ("prctl", (15, 0), ALLOW),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (4711, 7), EPERM),
        ("setpriority", (0, 0, 5), ALLOW),
        ("setpriority", (0, 4711, 5), EPERM),
        ("setpriority", (2, 0, 5), EPERM),
        ("fchown", (3, UID, GID), ERRNO),
        ("fchown", (3, 0xFFFFFFFF, GID), ERRNO),
        ("fchown", (3, 0, GID), EPERM),
        ("fchownat", (3, 0, UID, 0), EPERM),
        ("shmget", (), ERRNO | 38),
        ("fsetxattr", (), ERRNO | 95),
        ("ioctl", (3, 0x40086602), ERRNO | 95),
        ("ioctl", (3, 0x5412), EPERM),
        ("unshare", (0x10000000,), EPERM),
        ("ptrace", (), EPERM),
    ],
)
def test_what_is_decided_by_numbers_alone(machine: str, name: str, arguments: tuple[int, ...], wanted: int) -> None:
    assert answer(machine, name, *arguments) == wanted


@pytest.mark.parametrize("machine", MACHINES)
def test_another_table_of_calls_is_fatal(machine: str) -> None:
    assert run(calls.program(machine, UID, GID), machine, 1, architecture=0x40000003) == KILL


@pytest.mark.parametrize("machine", MACHINES)
def test_no_call_is_put_to_the_supervisor_that_it_does_not_know(machine: str) -> None:
    program, served = calls.program(machine, UID, GID), calls.served(machine)

    asked = {number for number in range(1024) if run(program, machine, number, *[1] * 6) == NOTIFY}

    assert asked <= set(served)
