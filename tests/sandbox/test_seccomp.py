from __future__ import annotations

import errno

import pytest
from tests.sandbox.boxes import Box

from ringfence.sandbox import seccomp

ALLOW, KILL = seccomp.ALLOW, seccomp.KILL
MACHINES = sorted(seccomp.NUMBERS)


def answer(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    return run(seccomp.program(machine), machine, number, *arguments, architecture=architecture)


def run(
    code: tuple[seccomp.Instruction, ...], machine: str, number: int, *arguments: int, architecture: int | None = None
) -> int:
    """What a filter answers to a call: a small interpreter of classic BPF, in the kernel's order of bytes."""
    words = {0: number, 4: seccomp.ARCHITECTURES[machine] if architecture is None else architecture}
    for index, value in enumerate((*arguments, 0, 0, 0, 0, 0, 0)[:6]):
        words[16 + 8 * index], words[20 + 8 * index] = value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF
    accumulator, position, steps = 0, 0, 0
    while True:
        steps += 1
        assert steps <= len(code), "the program does not end"
        operation, when_true, when_false, operand = code[position]
        position += 1
        match operation:
            case 0x20:
                accumulator = words[operand]
            case 0x54:
                accumulator &= operand
            case 0x06:
                return operand
            case 0x15:
                position += when_true if accumulator == operand else when_false
            case 0x25:
                position += when_true if accumulator > operand else when_false
            case 0x35:
                position += when_true if accumulator >= operand else when_false
            case 0x45:
                position += when_true if accumulator & operand else when_false
            case _:
                raise AssertionError(f"unknown instruction {operation:#x}")


def call(machine: str, name: str, *arguments: int) -> int:
    return answer(machine, seccomp.NUMBERS[machine][name], *arguments)


def refusal(number: int) -> int:
    return seccomp.ERRNO | number


@pytest.mark.parametrize("machine", MACHINES)
def test_every_denied_call_is_refused_and_the_rest_is_not(machine: str) -> None:
    numbers = seccomp.NUMBERS[machine]
    denied = {numbers[name]: refusal(error) for error, names in seccomp.DENIED for name in names if name in numbers}
    checked = {numbers[name] for name in ("socket", "socketpair", "clone", "unshare", "ioctl", "personality")}
    # Those with a mode allow it without the two bits.

    answers = {number: answer(machine, number) for number in range(470) if number not in checked}

    assert answers == {number: denied.get(number, ALLOW) for number in answers}


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_the_future_do_not_exist(machine: str) -> None:
    assert {answer(machine, number) for number in range(470, 600)} == {refusal(errno.ENOSYS)}


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_is_killed(machine: str) -> None:
    assert answer(machine, 20, architecture=0x40000003) == KILL


def test_the_x32_twins_are_killed() -> None:
    assert {answer("x86_64", number | 0x40000000) for number in (0, 1, 41, 165, 520)} == {KILL}


@pytest.mark.parametrize("machine", MACHINES)
def test_only_ordinary_sockets_can_be_made(machine: str) -> None:
    flags = 0o2004000
    allowed = [(1, 1, 0), (1, 2, 0), (1, 5, 0), (2, 1, 0), (2, 1, 6), (2, 2, 17), (10, 1, 6), (10, 2, 0), (16, 3, 0)]
    refused = {
        (2, 3, 6): errno.EPERM,
        (2, 3, 255): errno.EPROTONOSUPPORT,
        (2, 2, 1): errno.EPERM,
        (10, 2, 58): errno.EPERM,
        (2, 1, 262): errno.EPROTONOSUPPORT,
        (10, 1, 132): errno.EPROTONOSUPPORT,
        (16, 3, 6): errno.EPROTONOSUPPORT,
        (16, 3, 12): errno.EPROTONOSUPPORT,
        (17, 3, 0): errno.EAFNOSUPPORT,
        (38, 5, 0): errno.EAFNOSUPPORT,
        (40, 1, 0): errno.EAFNOSUPPORT,
        (33, 2, 0): errno.EAFNOSUPPORT,
        (44, 3, 0): errno.EAFNOSUPPORT,
    }

    for family, kind, protocol in allowed:
        assert call(machine, "socket", family, kind | flags, protocol) == ALLOW, (family, kind, protocol)
    for (family, kind, protocol), number in refused.items():
        answered = call(machine, "socket", family, kind | flags, protocol)
        assert answered == refusal(number), (family, kind, protocol)


@pytest.mark.parametrize("machine", MACHINES)
def test_upper_bits_do_not_hide_an_argument(machine: str) -> None:
    high = 1 << 32

    assert call(machine, "socket", high | 38, 5, 0) == refusal(errno.EAFNOSUPPORT)
    assert call(machine, "clone", high | 0x10000000) == refusal(errno.EPERM)
    assert call(machine, "ioctl", 0, high | 0x5412) == refusal(errno.EPERM)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("high", [0, 1 << 32], ids=["plain", "with upper bits"])
def test_the_persons_terminal_and_console_are_left_alone(machine: str, high: int) -> None:
    exclusive, push, paste, console, discipline = 0x540C, 0x5412, 0x541C, 0x541D, 0x5423
    keyboard_map, function_key, mode, font, switch, lock = 0x4B47, 0x4B49, 0x4B3A, 0x4B72, 0x5606, 0x560B
    get_modes, set_modes, size, own_terminal, number, video = 0x5401, 0x5402, 0x5414, 0x540E, 0x80045430, 0xC0D05605

    for request in (exclusive, push, paste, console, discipline):
        assert call(machine, "ioctl", 0, high | request) == refusal(errno.EPERM), hex(request)
    for request in (keyboard_map, function_key, mode, font, switch, lock, 0x4B00, 0x4BFF, 0x5600, 0x56FF):
        assert call(machine, "ioctl", 0, high | request) == refusal(errno.ENOTTY), hex(request)
    for request in (get_modes, set_modes, size, own_terminal, number, video, 0x4AFF, 0x4C00, 0x55FF, 0x5700):
        assert call(machine, "ioctl", 0, high | request) == ALLOW, hex(request)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_file_can_get_the_rights_of_its_owner(machine: str) -> None:
    calls = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "mkdir": 1, "mkdirat": 2, "mknodat": 2, "creat": 1}
    for name, index in calls.items():
        if name in seccomp.NUMBERS[machine]:
            for mode, expected in ((0o4755, refusal(errno.EPERM)), (0o2755, refusal(errno.EPERM)), (0o1777, ALLOW)):
                assert call(machine, name, *(0,) * index, mode) == expected, (name, oct(mode))

    assert call(machine, "openat", 0, 0, 0o101, 0o4755) == refusal(errno.EPERM)
    assert call(machine, "openat", 0, 0, 0o20200002, 0o4755) == refusal(errno.EPERM)
    assert call(machine, "openat", 0, 0, 0o101, 0o755) == ALLOW
    assert call(machine, "openat", 0, 0, 0o2, 0o4755) == ALLOW
    assert call(machine, "openat2", 0, 0, 0, 0) == refusal(errno.ENOSYS)


@pytest.mark.parametrize("machine", MACHINES)
def test_a_program_looks_at_everybodys_limits_and_sets_its_own(machine: str) -> None:
    calls = {
        (0, 7, 0, 0x7000): ALLOW,
        (0, 7, 0x7000, 0): ALLOW,
        (1, 7, 0, 0x7000): ALLOW,
        (1, 7, 0x7000, 0): refusal(errno.EPERM),
        (4711, 0, 0x7000, 0x7000): refusal(errno.EPERM),
        (1, 7, 1 << 32, 0): refusal(errno.EPERM),
        (1 << 32 | 1, 7, 0x7000, 0): refusal(errno.EPERM),
    }

    assert {each: call(machine, "prlimit64", *each) for each in calls} == calls


@pytest.mark.parametrize("machine", MACHINES)
def test_no_namespace_can_be_made(machine: str) -> None:
    kinds = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
    for kind in kinds:
        assert call(machine, "clone", kind | 17) == refusal(errno.EPERM)
        assert call(machine, "unshare", kind | 0x400) == refusal(errno.EPERM)

    assert call(machine, "unshare", 0x80) == refusal(errno.EPERM)
    assert call(machine, "clone", 0x1200011) == ALLOW
    assert call(machine, "clone", 0x3D0F00) == ALLOW
    assert call(machine, "unshare", 0x600) == ALLOW


async def test_the_kernel_answers_as_the_program_says(box: Box) -> None:
    script = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def call(*a): return 0 if libc.syscall(*map(ctypes.c_long, a)) >= 0 else ctypes.get_errno()\n"
        "aarch = os.uname().machine == 'aarch64'\n"
        "socket, keyctl, bpf, ptrace = (198, 219, 280, 117) if aarch else (41, 250, 321, 101)\n"
        "print(call(socket, 2, 1, 0), call(socket, 2, 1, 262), call(socket, 38, 5, 0), call(socket, 16, 3, 12))\n"
        "print(call(keyctl, 0, -3, 0), call(bpf, 0, 0, 0), call(ptrace, 0, 0, 0, 0))\n"
        "print(call(425, 1, 0), call(435, 0, 0))\n"
        "print(libc.unshare(0x10000000), call(600))\n"
    )

    shown = await box.run("/usr/bin/python3", "-I", "-c", script)

    assert shown.out.split() == ["0", "93", "97", "93", "1", "1", "1", "38", "38", "-1", "38"], shown.err


SLOWER = """
import os, resource

def ioprio_set(thread):
    libc = __import__('ctypes').CDLL(None, use_errno=True)
    if libc.syscall(30 if os.uname().machine == 'aarch64' else 251, 1, thread, 3 << 13) < 0: raise PermissionError

for thread in map(int, os.listdir('/proc/1/task')):
    for what in (lambda: os.setpriority(os.PRIO_PROCESS, thread, 19),
                 lambda: os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0)),
                 lambda: os.sched_setaffinity(thread, [min(os.sched_getaffinity(0))]),
                 lambda: ioprio_set(thread),
                 lambda: resource.prlimit(thread, resource.RLIMIT_NOFILE, (1, 1))):
        try: what(); print('THROUGH')
        except PermissionError: pass
    print('tried')
me = os.getpid()
os.setpriority(os.PRIO_PROCESS, me, 19)
os.sched_setaffinity(me, [min(os.sched_getaffinity(me))])
os.sched_setscheduler(me, os.SCHED_IDLE, os.sched_param(0))
ioprio_set(me)
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
print([line.split()[1] for line in open('/proc/self/status') if line.startswith('Cap')])
"""


async def test_no_command_slows_or_bounds_process_1_and_each_may_itself(box: Box) -> None:
    shown = await box.run("/usr/bin/python3", "-I", "-c", SLOWER)

    *tried, own = shown.out.splitlines()
    assert (set(tried), own, shown.err) == ({"tried"}, str(["0" * 16] * 5), "")
