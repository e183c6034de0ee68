"""Changes files on behalf of the programs inside: what Landlock would have to allow for a whole folder, this does for
one name at a time, so that the control files in the same folder stay as they are.

It does only what is the guard's to allow. Everything else is left to the kernel, and Landlock allows no writing outside
the sandbox's private folders.
"""

from __future__ import annotations

import fcntl
import os
import re
from _struct import unpack

from ringfence.sandbox import syscalls
from ringfence.sandbox.backends.calls import AT_CWD, Descriptor, Kernels
from ringfence.sandbox.backends.terminals import Terminals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ringfence.sandbox.backends.calls import Answer, Call
    from ringfence.sandbox.backends.guard import Guard
    from ringfence.sandbox.backends.spares import Spares

_EPERM, _ENOENT, _EACCES, _EEXIST, _EXDEV, _ENOTDIR, _EINVAL, _EROFS, _EOPNOTSUPP = 1, 2, 13, 17, 18, 20, 22, 30, 95
_REGULAR, _FOLDER, _LINK, _TYPE = 0o100000, 0o040000, 0o120000, 0o170000
_NOFOLLOW_AT, _REMOVEDIR, _FOLLOW, _EMPTY_PATH = 0x100, 0x200, 0x400, 0x1000
_NOREPLACE, _EXCHANGE = 1, 2
_TMPFILE = 0o20000000 | os.O_DIRECTORY
_LINKS = 40
_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
RENAMEAT2 = {"x86_64": 316, "aarch64": 276}
_OWN_DESCRIPTOR = re.compile(rb"/(?:dev/(stdin|stdout|stderr)|(?:dev|proc/self|proc/thread-self)/fd/([0-9]{1,7}))")
_STREAMS = {b"stdin": 0, b"stdout": 1, b"stderr": 2}
_SHARED_MEMORY = "/dev/shm"  # noqa: S108
_HARD_LINKS_LIMIT = 20_000


class Place:
    """A name in a folder that is held open, and the real path that the two make."""

    def __init__(self, folder: int, name: str, path: str) -> None:
        self.folder = folder
        self.name = name
        self.path = path

    def kind(self) -> int | None:
        """The type of what is there; None where nothing is."""
        try:
            return os.lstat(self.name, dir_fd=self.folder).st_mode & _TYPE
        except FileNotFoundError:
            return None

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.folder)


class Files:
    """Serves the calls that change files."""

    def __init__(self, guard: Guard, closed: list[str], spares: Spares | None = None) -> None:
        self._guard = guard
        self._spares = spares
        self._kept = _files_of(closed)
        self._own: set[tuple[int, int]] = set()
        self._terminals = Terminals()
        self._renameat2 = RENAMEAT2[os.uname().machine]
        self.handlers: dict[str, Callable[[Call], Answer]] = {
            "open": lambda c: self._open(c, AT_CWD, 0),
            "openat": lambda c: self._open(c, c.number_at(0), 1),
            "creat": lambda c: self._open(c, AT_CWD, 0, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, c.number_at(1)),
            "truncate": self._truncate,
            "mkdir": lambda c: self._mkdir(c, AT_CWD, 0),
            "mkdirat": lambda c: self._mkdir(c, c.number_at(0), 1),
            "mknod": lambda c: self._mknod(c, AT_CWD, 0),
            "mknodat": lambda c: self._mknod(c, c.number_at(0), 1),
            "unlink": lambda c: self._unlink(c, AT_CWD, 0, 0),
            "rmdir": lambda c: self._unlink(c, AT_CWD, 0, _REMOVEDIR),
            "unlinkat": lambda c: self._unlink(c, c.number_at(0), 1, c.number_at(2)),
            "rename": lambda c: self._rename(c, AT_CWD, 0, AT_CWD, 1, 0),
            "renameat": lambda c: self._rename(c, c.number_at(0), 1, c.number_at(2), 3, 0),
            "renameat2": lambda c: self._rename(c, c.number_at(0), 1, c.number_at(2), 3, c.number_at(4)),
            "link": lambda c: self._link(c, AT_CWD, 0, AT_CWD, 1, 0),
            "linkat": lambda c: self._link(c, c.number_at(0), 1, c.number_at(2), 3, c.number_at(4)),
            "symlink": lambda c: self._symlink(c, AT_CWD, 1),
            "symlinkat": lambda c: self._symlink(c, c.number_at(1), 2),
            "chmod": lambda c: self._chmod(c, AT_CWD, 0, 0),
            "fchmodat": lambda c: self._chmod(c, c.number_at(0), 1, 0),
            "fchmodat2": lambda c: self._chmod(c, c.number_at(0), 1, c.number_at(3)),
            "fchmod": self._fchmod,
            "utimensat": self._utimensat,
        }

    def place(self, call: Call, number: int, index: int, *, follow: bool = False) -> Place | None:
        """Where a path of the caller's leads, if a change there is ours to make; else it is the kernel's to answer."""
        found = self._resolve(call, number, call.path(index), follow=follow)
        if found is not None and not self._guard.is_served(found.path):
            os.close(found.folder)
            return None
        return found

    def socket_place(self, call: Call, path: bytes) -> Place:
        """Where a socket of the caller's may be made."""
        found = self._resolve(call, AT_CWD, path, follow=False)
        if found is None:
            raise OSError(_EACCES, "not a place for a socket")
        if self._guard.may_replace(found.path) or self._guard.is_private(found.path):
            return found
        os.close(found.folder)
        raise OSError(_EACCES, "not a place for a socket")

    def _resolve(self, call: Call, number: int, path: bytes, *, follow: bool) -> Place | None:
        base, path = call.start(number, path)
        try:
            for _ in range(_LINKS):
                above, _, name = path.rstrip(b"/").rpartition(b"/")
                if name in (b"", b".", b".."):
                    return None
                above = above + b"/" if path.startswith(b"/") else above or b"."
                folder = syscalls.open_as_seen(base, above, os.O_PATH | os.O_DIRECTORY)
                try:
                    target = os.readlink(name, dir_fd=folder) if follow else None
                except OSError:
                    target = None
                if target is None:
                    call.check()
                    return _placed(folder, os.fsdecode(name))
                before, base = base, folder
                os.close(before)
                path = target
                if target.startswith(b"/"):
                    base, path = call.start(AT_CWD, target)
                    os.close(folder)
        except OSError:
            # What cannot be found is the kernel's to say, in its own words.
            return None
        finally:
            os.close(base)
        return None

    def _open(
        self, call: Call, number: int, index: int, given: int | None = None, with_mode: int | None = None
    ) -> Answer:
        flags = call.number_at(index + 1) if given is None else given
        mode = call.number_at(index + 2) if with_mode is None else with_mode
        if flags & os.O_PATH:
            return Kernels()
        path = call.path(index)
        again = _OWN_DESCRIPTOR.fullmatch(path)
        if again is not None:
            return self._open_again(call, _STREAMS[again[1]] if again[1] else int(again[2]), flags)
        terminal = self._terminals.open(path, flags)
        if terminal is not None:
            return terminal
        unfollowed = flags & os.O_NOFOLLOW or (flags & os.O_CREAT and flags & os.O_EXCL)
        found = self._resolve(call, number, path, follow=not unfollowed)
        if found is None:
            return Kernels()
        with found:
            if flags & _TMPFILE == _TMPFILE:
                return -_EOPNOTSUPP if self._guard.is_served(found.path) else Kernels()
            if os.path.dirname(found.path) == _SHARED_MEMORY:
                return self._open_shared(call, found, flags, mode)
            if not self._guard.is_served(found.path):
                return Kernels()
            kind = found.kind()
            if kind is None and not flags & os.O_CREAT:
                return -_ENOENT
            allowed = self._guard.may_replace if kind is None else self._guard.may_change
            if kind not in (None, _REGULAR, _FOLDER, _LINK):
                return -_EACCES
            if not allowed(found.path):
                return -_EEXIST if kind is not None and flags & os.O_CREAT and flags & os.O_EXCL else -_EROFS
            return self._opened(call, found, flags, mode)

    def _opened(self, call: Call, found: Place, flags: int, mode: int) -> Answer:
        # Without O_TRUNC until it is known what it is, and never waiting for the other end of a named pipe.
        changed = (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        spares = self._beside_hidden(found)
        if spares is not None and flags & os.O_CREAT and found.kind() is None:
            return self._given(spares.make_file(found, changed, mode & 0o1777 & ~call.umask()), flags)
        if flags & os.O_CREAT:
            os.umask(call.umask())
        opened = os.open(found.name, changed, mode, dir_fd=found.folder)
        return self._given(opened, flags)

    def _given(self, opened: int, flags: int) -> Answer:
        try:
            status = os.fstat(opened)
            if status.st_mode & _TYPE != _REGULAR or (status.st_dev, status.st_ino) in self._kept:
                raise OSError(_EROFS, "protected")
            if flags & os.O_TRUNC and status.st_size:
                os.truncate(f"/proc/self/fd/{opened}", 0)
            if not flags & os.O_NONBLOCK:
                fcntl.fcntl(opened, fcntl.F_SETFL, fcntl.fcntl(opened, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        except OSError:
            os.close(opened)
            raise
        return Descriptor(opened, close_on_exec=bool(flags & os.O_CLOEXEC))

    def _open_again(self, call: Call, number: int, flags: int) -> Answer:
        """A file that the caller has open, by the name that `/proc` gives it."""
        held = call.open_descriptor(number)
        try:
            call.check()
            path = _real(held)
            if path is None or not self._guard.may_change(path) or os.fstat(held).st_mode & _TYPE != _REGULAR:
                return Kernels()
            # Without waiting: somebody may have a lease on it.
            opened = os.open(f"/proc/self/fd/{held}", (flags & ~os.O_TRUNC) | os.O_NONBLOCK | os.O_CLOEXEC)
            return self._given(opened, flags)
        finally:
            os.close(held)

    def _open_shared(self, call: Call, found: Place, flags: int, mode: int) -> Answer:
        """POSIX shared memory: its folder is everybody's, so only what was made inside can be opened."""
        if found.kind() is None and not flags & os.O_CREAT:
            return -_ENOENT
        if found.kind() is not None:
            opened = os.open(found.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found.folder)
            try:
                if _identity(opened) not in self._own:
                    return -_EACCES
            finally:
                os.close(opened)
            if flags & os.O_CREAT and flags & os.O_EXCL:
                return -_EEXIST
            return self._opened(call, found, flags & ~os.O_CREAT, mode)
        os.umask(call.umask())
        opened = os.open(
            found.name, flags | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode & 0o700, dir_fd=found.folder
        )
        self._own.add(_identity(opened))
        return Descriptor(opened, close_on_exec=bool(flags & os.O_CLOEXEC))

    def _truncate(self, call: Call) -> Answer:
        found = self.place(call, AT_CWD, 0, follow=True)
        if found is None:
            return Kernels()
        with found:
            if not self._guard.may_change(found.path):
                return -_EROFS
            opened = os.open(found.name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=found.folder)
            try:
                if _identity(opened) in self._kept:
                    return -_EROFS
                os.ftruncate(opened, min(call.arguments[1], (1 << 63) - 1))
            finally:
                os.close(opened)
        return 0

    def _mkdir(self, call: Call, number: int, index: int) -> Answer:
        found = self.place(call, number, index)
        if found is None:
            return Kernels()
        with found:
            if found.kind() is not None:
                return -_EEXIST
            if not self._guard.may_change(found.path):
                return -_EROFS
            mode, spares = call.number_at(index + 1) & 0o1777, self._beside_hidden(found)
            if spares is not None:
                spares.make_folder(found, mode & ~call.umask())
                return 0
            os.umask(call.umask())
            os.mkdir(found.name, mode, dir_fd=found.folder)
        return 0

    def _mknod(self, call: Call, number: int, index: int) -> Answer:
        found = self.place(call, number, index)
        if found is None:
            return Kernels()
        mode = call.number_at(index + 1)
        with found:
            if mode & _TYPE not in (0, _REGULAR):
                return -_EPERM
            if not self._guard.may_replace(found.path):
                return -_EROFS
            spares = self._beside_hidden(found)
            if spares is not None:
                os.close(spares.make_file(found, os.O_RDONLY, mode & 0o777 & ~call.umask()))
                return 0
            os.umask(call.umask())
            os.mknod(found.name, _REGULAR | mode & 0o777, dir_fd=found.folder)
        return 0

    def _unlink(self, call: Call, number: int, index: int, flags: int) -> Answer:
        found = self._resolve(call, number, call.path(index), follow=False)
        if found is None:
            return Kernels()
        with found:
            if os.path.dirname(found.path) == _SHARED_MEMORY:
                if not self._is_own(found):
                    return -_EACCES
                status = os.lstat(found.name, dir_fd=found.folder)
                if status.st_nlink == 1:
                    self._own.discard((status.st_dev, status.st_ino))
            elif not self._guard.is_served(found.path):
                return Kernels()
            elif found.kind() is None:
                return -_ENOENT
            elif not self._guard.may_replace(found.path):
                return -_EROFS
            spares = self._beside_hidden(found)
            fits = (found.kind() == _FOLDER) == bool(flags & _REMOVEDIR)
            if spares is not None and fits and spares.remove(found):
                return 0
            if flags & _REMOVEDIR:
                os.rmdir(found.name, dir_fd=found.folder)
            else:
                os.unlink(found.name, dir_fd=found.folder)
        return 0

    def _beside_hidden(self, found: Place) -> Spares | None:
        """What makes new names where the kernel would open them to nobody."""
        return self._spares if self._spares is not None and self._spares.concern(found) else None

    def _is_own(self, found: Place) -> bool:
        try:
            status = os.lstat(found.name, dir_fd=found.folder)
        except FileNotFoundError:
            return False
        return (status.st_dev, status.st_ino) in self._own

    def _rename(self, call: Call, number: int, index: int, to_number: int, to_index: int, flags: int) -> Answer:
        source = self._resolve(call, number, call.path(index), follow=False)
        if source is None:
            return Kernels()
        with source:
            target = self._resolve(call, to_number, call.path(to_index), follow=False)
            if target is None:
                return Kernels()
            with target:
                served = [self._guard.is_served(each.path) for each in (source, target)]
                if not any(served):
                    return Kernels()
                if not all(served):
                    return -_EXDEV
                return self._renamed(source, target, flags)

    def _renamed(self, source: Place, target: Place, flags: int) -> Answer:
        if source.kind() is None:
            return -_ENOENT
        if flags & ~(_NOREPLACE | _EXCHANGE):
            return -_EINVAL
        if not self._guard.may_replace(source.path) or not self._guard.may_replace(target.path):
            return -_EROFS
        spares = self._beside_hidden(target)
        if spares is not None and not flags:
            spares.move(source, target)
            return 0
        for place, other in ((source, target), (target, source)):
            spares = self._beside_hidden(other)
            # Where names are exchanged, both have to be readable in their new place.
            if spares is not None and (place is source or flags & _EXCHANGE) and not spares.know(place):
                return -_EXDEV
        names = os.fsencode(source.name), os.fsencode(target.name)
        call, what = self._renameat2, f"rename `{source.name}`"
        syscalls.call(call, source.folder, names[0], target.folder, names[1], flags, what=what)
        return 0

    def _link(self, call: Call, number: int, index: int, to_number: int, to_index: int, flags: int) -> Answer:
        follow = bool(flags & _FOLLOW)
        source = self._resolve(call, number, call.path(index), follow=follow)
        target = self._resolve(call, to_number, call.path(to_index), follow=False)
        if source is None or target is None:
            for each in (source, target):
                if each is not None:
                    os.close(each.folder)
            return Kernels()
        with source, target:
            shared = [os.path.dirname(each.path) == _SHARED_MEMORY for each in (source, target)]
            served = [self._guard.is_served(each.path) for each in (source, target)]
            if all(shared):
                allowed = self._is_own(source)
            elif not any((*served, *shared)):
                return Kernels()
            elif not all(served):
                return -_EXDEV
            else:
                # SECURITY: a second name of a protected file would be written through.
                allowed = self._guard.may_replace(source.path) and self._guard.may_replace(target.path)
            if not allowed:
                return -_EROFS
            spares = self._beside_hidden(target)
            if spares is not None and not spares.know(source):
                return -_EXDEV
            os.link(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder, follow_symlinks=False)
        return 0

    def _symlink(self, call: Call, number: int, index: int) -> Answer:
        found = self.place(call, number, index)
        if found is None:
            return Kernels()
        with found:
            if found.kind() is not None:
                return -_EEXIST
            if not self._guard.may_replace(found.path):
                return -_EROFS
            os.symlink(call.path(0), os.fsencode(found.name), dir_fd=found.folder)
        return 0

    def _chmod(self, call: Call, number: int, index: int, flags: int) -> Answer:
        if flags & ~_NOFOLLOW_AT:
            return -_EOPNOTSUPP
        held = self._held(call, number, call.path(index), follow=not flags)
        return self._with_mode(held, call.number_at(index + 1))

    def _fchmod(self, call: Call) -> Answer:
        held = call.open_descriptor(call.number_at(0))
        call.check()
        return self._with_mode(held, call.number_at(1))

    def _with_mode(self, held: int, mode: int) -> Answer:
        try:
            self._may_touch(held)
            os.chmod(f"/proc/self/fd/{held}", mode & 0o1777)
        finally:
            os.close(held)
        return 0

    def _utimensat(self, call: Call) -> Answer:
        number, flags = call.number_at(0), call.number_at(3)
        if call.arguments[1]:
            held = self._held(call, number, call.path(1), follow=not flags & _NOFOLLOW_AT)
        else:
            held = call.open_descriptor(number)
        try:
            times = unpack("=qqqq", call.memory(call.arguments[2], 32)) if call.arguments[2] else None
            call.check()
            self._may_touch(held)
            _set_times(held, times)
        finally:
            os.close(held)
        return 0

    def _held(self, call: Call, number: int, path: bytes, *, follow: bool) -> int:
        """What a path of the caller's names, as it is now."""
        again = _OWN_DESCRIPTOR.fullmatch(path)
        if again is not None:
            held = call.open_descriptor(_STREAMS[again[1]] if again[1] else int(again[2]))
        else:
            base, path = call.start(number, path)
            try:
                held = syscalls.open_as_seen(base, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))
            finally:
                os.close(base)
        call.check()
        return held

    def _may_touch(self, held: int) -> None:
        # SECURITY: neither mode nor times are Landlock's business, so every change of them comes here.
        path = _real(held)
        if path is None:
            # Removed, or never named: whoever has it open made it, or could do nothing with it any more.
            raise OSError(_EPERM, "not in a folder")
        if self._guard.is_private(path) or _identity(held) in self._own:
            return
        if not self._guard.may_change(path):
            raise OSError(_EROFS if self._guard.is_served(path) else _EPERM, "protected")
        if _identity(held) in self._kept:
            raise OSError(_EROFS, "protected")


def _placed(folder: int, name: str) -> Place | None:
    path = _real(folder)
    if path is None:
        os.close(folder)
        return None
    return Place(folder, name, f"{path.rstrip('/')}/{name}")


def _real(held: int) -> str | None:
    """The path of what is held, if it still has one."""
    path = os.readlink(f"/proc/self/fd/{held}")
    try:
        there = os.lstat(path)
    except OSError:
        return None
    # A name can look like that of something removed, or have been given to something else.
    return path if (there.st_dev, there.st_ino) == _identity(held) else None


def _identity(held: int) -> tuple[int, int]:
    status = os.fstat(held)
    return status.st_dev, status.st_ino


def _set_times(held: int, times: tuple[int, ...] | None) -> None:
    path = f"/proc/self/fd/{held}"
    if times is None:
        os.utime(path)
        return
    status, now = os.fstat(held), None
    values = []
    for seconds, nanoseconds, old in ((*times[:2], status.st_atime_ns), (*times[2:], status.st_mtime_ns)):
        if nanoseconds == _UTIME_OMIT:
            values.append(old)
        elif nanoseconds == _UTIME_NOW:
            now = now if now is not None else _now(path)
            values.append(now)
        else:
            values.append(seconds * 1_000_000_000 + nanoseconds)
    os.utime(path, ns=(values[0], values[1]))


def _now(path: str) -> int:
    os.utime(path)
    return os.stat(path).st_mtime_ns


def _files_of(closed: list[str]) -> frozenset[tuple[int, int]]:
    """The protected files themselves, so that no other name of theirs serves to change them."""
    found: set[tuple[int, int]] = set()
    for path in closed:
        for each in _below(path):
            try:
                status = os.lstat(each)
            except OSError:
                continue
            if status.st_mode & _TYPE == _REGULAR and len(found) < _HARD_LINKS_LIMIT:
                found.add((status.st_dev, status.st_ino))
    return frozenset(found)


def _below(path: str) -> list[str]:
    if not os.path.isdir(path) or os.path.islink(path):
        return [path]
    return [f"{folder}/{name}" for folder, _, names in os.walk(path) for name in names]
