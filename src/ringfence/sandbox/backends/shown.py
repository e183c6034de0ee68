"""Shows private folders at paths that the machine has otherwise, or not at all: where an agent looks for the settings
that bind it, and nowhere else.

Without mounts a path cannot be given another meaning for the kernel, so calls that open or look at a path are answered
here. Only what lies below one of these folders is: everything else goes on in the kernel, under Landlock.
"""

from __future__ import annotations

import ctypes
import os

from ringfence.sandbox import syscalls
from ringfence.sandbox.backends.calls import AT_CWD, Descriptor, Kernels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence.sandbox.backends.calls import Answer, Call

_EROFS = 30
_WRITES = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
_LARGEST_STATUS = 256
_NEWFSTATAT = {"x86_64": 262, "aarch64": 79}
_FACCESSAT = {"x86_64": 269, "aarch64": 48}
_STATX = {"x86_64": 332, "aarch64": 291}
_NO_FOLLOW, _STATUS_BYTES = 0x100, {"x86_64": 144, "aarch64": 128}
_DEPTH = 3


class Shown:
    """Answers for the folders in `places`: where each is looked for, and where it lies. `others` are the handlers of
    the calls that change files, which go on as before for every other path."""

    # INVARIANT: nothing here opens what a program could not open by itself: the folders are readable under Landlock, at
    # the paths where they lie. So it does not matter that another path may stand in the caller's memory by the time
    # that the kernel looks.

    def __init__(self, places: dict[str, str], others: dict[str, Callable[[Call], Answer]]) -> None:
        machine = os.uname().machine
        self._places = {os.fsencode(path): os.fsencode(folder) for path, folder in places.items()}
        self._others = others
        self._newfstatat, self._statx = _NEWFSTATAT[machine], _STATX[machine]
        self._faccessat, self._bytes = _FACCESSAT[machine], _STATUS_BYTES[machine]
        self.handlers: dict[str, Callable[[Call], Answer]] = {
            "open": lambda c: self._open(c, 0, "open"),
            "openat": lambda c: self._open(c, 1, "openat"),
            "stat": lambda c: self._status(c, 0, 1, 0),
            "lstat": lambda c: self._status(c, 0, 1, _NO_FOLLOW),
            "newfstatat": lambda c: self._status(c, 1, 2, c.number_at(3)),
            "statx": self._extended_status,
            "access": lambda c: self._access(c, 0),
            "faccessat": lambda c: self._access(c, 1),
            "faccessat2": lambda c: self._access(c, 1),
        }

    def place(self, path: bytes) -> bytes | None:
        """Where what is looked for at a path lies, if it is shown by us."""
        if not path.startswith(b"/"):
            return None
        if b"//" in path or b"/." in path:
            path = os.path.normpath(path)
        parts = path.split(b"/", _DEPTH)
        folder = self._places.get(b"/".join(parts[:_DEPTH]))
        return None if folder is None else b"/".join((folder, *parts[_DEPTH:])).rstrip(b"/")

    def _open(self, call: Call, index: int, name: str) -> Answer:
        flags = call.number_at(index + 1)
        place = self.place(call.path(index))
        if place is None:
            return self._others[name](call) if flags & _WRITES else Kernels()
        if flags & _WRITES:
            return -_EROFS
        # A descriptor without access cannot be handed over; with the right to read it does as well.
        opened = os.open(place, (flags & ~os.O_PATH) | os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(opened, not flags & os.O_NONBLOCK)
        return Descriptor(opened, close_on_exec=bool(flags & os.O_CLOEXEC))

    def _status(self, call: Call, index: int, buffer: int, flags: int) -> Answer:
        place = self.place(call.path(index))
        if place is None:
            return Kernels()
        found = ctypes.create_string_buffer(self._bytes)
        address = ctypes.addressof(found)
        syscalls.call(self._newfstatat, AT_CWD, place, address, flags & _NO_FOLLOW, what="look")
        call.write(call.arguments[buffer], found.raw)
        return 0

    def _extended_status(self, call: Call) -> Answer:
        place = self.place(call.path(1))
        if place is None:
            return Kernels()
        found = ctypes.create_string_buffer(_LARGEST_STATUS)
        flags, mask = call.number_at(2) & _NO_FOLLOW, call.arguments[3] & 0xFFFFFFFF
        syscalls.call(self._statx, AT_CWD, place, flags, mask, ctypes.addressof(found), what="look")
        call.write(call.arguments[4], found.raw)
        return 0

    def _access(self, call: Call, index: int) -> Answer:
        place = self.place(call.path(index))
        if place is None:
            return Kernels()
        mode = call.number_at(index + 1)
        if mode & os.W_OK:
            return -_EROFS
        syscalls.call(self._faccessat, AT_CWD, place, mode, what="look")
        return 0
