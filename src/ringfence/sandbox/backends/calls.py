"""One call that a program inside has made and that waits for our answer: who made it, and what its arguments point to.

Whatever is read of a program's memory is read once and acted on as it was read then: the program may change it in the
next moment, and gains nothing.
"""

from __future__ import annotations

import fcntl
import os
import re
from _struct import pack, unpack_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

_RECEIVE, _SEND, _IS_VALID, _ADD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_SET_FLAGS, _SYNC_WAKE_UP = 0x40082104, 1
_CONTINUE = 1
_AT_NUMBER = 1
_NOTICE = 80
_PATH_LIMIT = 4096
_OWN_FOLDER = re.compile(
    rb"/(?:(?:dev|proc/self|proc/thread-self)/fd/([0-9]{1,7})|proc/(?:thread-)?self/cwd)/+(?=[^/])"
)
AT_CWD = -100
ENOENT, EINTR, ESRCH = 2, 4, 3


def take_turns(listener: int) -> None:
    """Have the kernel wake whoever answers where the caller runs, who waits meanwhile. Older kernels do not know of
    it, and do without."""
    try:
        fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:
        return


class Descriptor:
    """An answer that is a new descriptor of the program's; ours is closed when it has it."""

    def __init__(self, number: int, *, close_on_exec: bool) -> None:
        self.number = number
        self.close_on_exec = close_on_exec


class Later:
    """There is an answer, but not yet."""


class Kernels:
    """The call is the kernel's to carry out, as it stands."""

    # INVARIANT: given only where Landlock forbids everything that the supervisor would not do, so that it does not
    # matter what the arguments point to by the time that the kernel looks.


if TYPE_CHECKING:
    Answer: TypeAlias = int | Descriptor | Later | Kernels


class Call:
    """A call that waits."""

    def __init__(self, listener: int, notice: bytes) -> None:
        self.listener = listener
        self.id, self.thread, _, self.number, _, _ = unpack_from("=QIIiIQ", notice)
        self.arguments: tuple[int, ...] = unpack_from("=6Q", notice, 32)

    @classmethod
    def receive(cls, listener: int) -> Call | None:
        """The next call, or None when its caller has gone meanwhile."""
        notice = bytearray(_NOTICE)
        try:
            fcntl.ioctl(listener, _RECEIVE, notice)
        except OSError as error:
            if error.errno in (ENOENT, EINTR):
                return None
            raise
        return cls(listener, bytes(notice))

    def number_at(self, index: int) -> int:
        """An argument that is an `int`."""
        value = self.arguments[index] & 0xFFFFFFFF
        return value - (1 << 32) if value & 0x80000000 else value

    def memory(self, address: int, size: int) -> bytes:
        """What lies at an address of the caller's."""
        memory = os.open(f"/proc/{self.thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = os.pread(memory, size, address)
        except OverflowError as error:
            raise OSError(14, "no such address") from error
        finally:
            os.close(memory)
        return found

    def write(self, address: int, data: bytes) -> None:
        """Put something where an argument points to, as the kernel would."""
        memory = os.open(f"/proc/{self.thread}/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            self.check()
            os.pwrite(memory, data, address)
        except OverflowError as error:
            raise OSError(14, "no such address") from error
        finally:
            os.close(memory)

    def path(self, index: int) -> bytes:
        """The path that an argument points to."""
        text, end, _ = self.memory(self.arguments[index], _PATH_LIMIT).partition(b"\0")
        if not end:
            raise OSError(36, "the path is too long")
        return text

    def open_folder(self, number: int) -> int:
        """The folder that a path of the caller's is relative to."""
        name = "cwd" if number == AT_CWD else f"fd/{number}"
        return os.open(f"/proc/{self.thread}/{name}", os.O_PATH | os.O_CLOEXEC)

    def start(self, number: int, path: bytes) -> tuple[int, bytes]:
        """Where the way along a path of the caller's starts, and the rest of the way."""
        own = _OWN_FOLDER.match(path)
        if own is not None:
            return self.open_folder(int(own[1]) if own[1] else AT_CWD), path[own.end() :]
        if path.startswith(b"/"):
            return os.open("/", os.O_PATH | os.O_CLOEXEC), path
        return self.open_folder(number), path

    def open_descriptor(self, number: int) -> int:
        """What a descriptor of the caller's refers to, without any right but to name it."""
        return os.open(f"/proc/{self.thread}/fd/{number}", os.O_PATH | os.O_CLOEXEC)

    def socket_number(self, number: int) -> int:
        """Which socket a descriptor of the caller's is."""
        text = os.readlink(f"/proc/{self.thread}/fd/{number}")
        if not text.startswith("socket:["):
            raise OSError(88, "not a socket")
        return int(text[8:-1])

    def descriptor_flags(self, number: int) -> int:
        """The flags of a descriptor of the caller's, with `O_CLOEXEC`."""
        with open(f"/proc/{self.thread}/fdinfo/{number}", encoding="ascii") as file:
            for line in file:
                if line.startswith("flags:"):
                    return int(line.split()[1], 8)
        return 0

    def umask(self) -> int:
        """The caller's file mode creation mask."""
        with open(f"/proc/{self.thread}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
        return 0o077

    def check(self) -> None:
        """Make sure that what was read is this caller's: its number may have gone to somebody else."""
        fcntl.ioctl(self.listener, _IS_VALID, pack("=Q", self.id))

    def put(self, number: int, descriptor: int, *, close_on_exec: bool) -> None:
        """Put a descriptor of ours in the place of one of the caller's."""
        flags = os.O_CLOEXEC if close_on_exec else 0
        fcntl.ioctl(self.listener, _ADD, pack("=QIIII", self.id, _AT_NUMBER, descriptor, number, flags))

    def answer(self, answer: Answer) -> None:
        """Let the caller go on. A caller that is gone needs no answer."""
        try:
            match answer:
                case Descriptor():
                    self._give(answer)
                case Kernels():
                    fcntl.ioctl(self.listener, _SEND, pack("=QqiI", self.id, 0, 0, _CONTINUE))
                case int():
                    value, error = (answer, 0) if answer >= 0 else (0, answer)
                    fcntl.ioctl(self.listener, _SEND, pack("=QqiI", self.id, value, error, 0))
                case Later():
                    return
        except OSError as error:
            if error.errno not in (ENOENT, ESRCH):
                raise

    def _give(self, answer: Descriptor) -> None:
        flags = os.O_CLOEXEC if answer.close_on_exec else 0
        try:
            # A buffer that can be changed, or the result would be the buffer.
            asked = bytearray(pack("=QIIII", self.id, 0, answer.number, 0, flags))
            number = fcntl.ioctl(self.listener, _ADD, asked)
        except OSError as error:
            if error.errno == ENOENT:
                return
            # No number is free for it, most likely.
            number = -(error.errno or 24)
        finally:
            # INVARIANT: closed before the caller goes on. A program that it has written and closed could not be run as
            # long as we have it open for writing, and a pipe or connection would not end.
            os.close(answer.number)
        self.answer(number)
