"""New names beside something hidden. Landlock opens a folder with all that is in it, so a folder that holds a secret is
opened name by name instead, and a name that came later would be open to nobody.

Therefore files and folders are kept in store that every command may already read, wherever they come to lie: where a
program makes something in such a folder, it gets one of these, moved there. What is removed goes back to the store.
What stays hidden is never opened to anybody, so nothing here can open it by mistake.
"""

from __future__ import annotations

import fcntl
import os

from ringfence.sandbox import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ringfence.sandbox.backends.files import Place

_EXDEV, _ENOTEMPTY, _EDQUOT = 18, 39, 122
_REGULAR, _FOLDER, _LINK, _TYPE = 0o100000, 0o040000, 0o120000, 0o170000
_SET_GROUP = 0o2000
_NOREPLACE, _EXCHANGE = 1, 2
_COPIED = 64 << 20
"""The largest file that is moved here by copying it; a program is told to copy larger ones itself."""
FILE, FOLDER = "file-", "folder-"
"""How what is in store is named."""


class Spares:
    """The stores of a sandbox: `stores` says for each folder that can be written where its store lies, `levels` are the
    folders in them that are opened name by name, and `opened` what is open to every command."""

    def __init__(self, stores: dict[str, str], levels: list[str], opened: list[str], renameat2: int) -> None:
        self._levels = frozenset(levels)
        self._renameat2 = renameat2
        self._stores = {
            root: os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for root, folder in stores.items()
        }
        self._left = {store: sorted(os.listdir(f"/proc/self/fd/{store}")) for store in self._stores.values()}
        self._known: set[tuple[int, int]] = set()
        for path in opened:
            if os.path.dirname(path) in self._levels and os.path.lexists(path):
                self._known.add(_identity(os.lstat(path)))
        for store, names in self._left.items():
            self._known |= {_identity(os.lstat(name, dir_fd=store)) for name in names}

    def concern(self, place: Place) -> bool:
        """Whether a name lies beside something hidden."""
        return os.path.dirname(place.path) in self._levels

    def know(self, place: Place) -> bool:
        """Whether what is there can be read under any name in its folder."""
        status = os.lstat(place.name, dir_fd=place.folder)
        return status.st_mode & _TYPE not in (_REGULAR, _FOLDER) or _identity(status) in self._known

    def make_file(self, place: Place, flags: int, mode: int) -> int:
        """A new file, opened; `mode` is the one that it is to have."""
        store, name = self._take(place, FILE)
        try:
            made = os.open(name, (flags & ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC)) | os.O_CLOEXEC, dir_fd=store)
        except OSError:
            self._left[store].append(name)
            raise
        try:
            self._adorn(place, made, mode)
            self._rename(store, name, place.folder, place.name, _NOREPLACE)
        except OSError:
            os.close(made)
            self._left[store].append(name)
            raise
        return made

    def make_folder(self, place: Place, mode: int) -> None:
        """A new folder."""
        store, name = self._take(place, FOLDER)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=store)
        try:
            self._adorn(place, made, mode)
            self._rename(store, name, place.folder, place.name, _NOREPLACE)
        except OSError:
            self._left[store].append(name)
            raise
        finally:
            os.close(made)

    def remove(self, place: Place) -> bool:
        """Put a file or an empty folder back, if nothing holds it; whether that was done."""
        status = os.lstat(place.name, dir_fd=place.folder)
        store = self._store(place)
        if _identity(status) not in self._known or not self._is_unused(place, status):
            return False
        kind = FILE if status.st_mode & _TYPE == _REGULAR else FOLDER
        name = f"{kind}{status.st_ino}"
        try:
            self._rename(place.folder, place.name, store, name, _NOREPLACE)
            os.chmod(name, 0o700 if kind == FOLDER else 0o600, dir_fd=store)
        except OSError:
            return False
        self._left[store].append(name)
        return True

    def move(self, source: Place, target: Place) -> None:
        """Move something here, so that it can be read here, and put what it takes the place of back."""
        if not self.know(source):
            self._copy(source, target)
            return
        try:
            self._rename(source.folder, source.name, target.folder, target.name, _NOREPLACE)
        except FileExistsError:
            kinds = [os.lstat(each.name, dir_fd=each.folder).st_mode & _TYPE for each in (source, target)]
            if kinds != [_REGULAR, _REGULAR]:
                os.rename(source.name, target.name, src_dir_fd=source.folder, dst_dir_fd=target.folder)
                return
            # The new name is there at every moment, and what it replaces is put aside afterwards.
            self._rename(source.folder, source.name, target.folder, target.name, _EXCHANGE)
            if not self.concern(source) or not self.remove(source):
                os.unlink(source.name, dir_fd=source.folder)

    def _copy(self, source: Place, target: Place) -> None:
        status = os.lstat(source.name, dir_fd=source.folder)
        if status.st_mode & _TYPE != _REGULAR or status.st_size > _COPIED:
            raise OSError(_EXDEV, "not readable there unless it is copied")
        read = os.open(source.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source.folder)
        try:
            store, name = self._take(target, FILE)
            written = os.open(name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=store)
            try:
                left = status.st_size
                while left > 0 and (done := os.sendfile(written, read, None, left)):
                    left -= done
                os.fchmod(written, status.st_mode & 0o1777)
                os.utime(written, ns=(status.st_atime_ns, status.st_mtime_ns))
                self._rename(store, name, target.folder, target.name, 0)
            except OSError:
                os.truncate(written, 0)
                self._left[store].append(name)
                raise
            finally:
                os.close(written)
        finally:
            os.close(read)
        os.unlink(source.name, dir_fd=source.folder)

    def _take(self, place: Place, kind: str) -> tuple[int, str]:
        store = self._store(place)
        for index, name in enumerate(self._left[store]):
            if name.startswith(kind):
                del self._left[store][index]
                return store, name
        raise OSError(_EDQUOT, "no more new names are possible beside what is hidden")

    def _store(self, place: Place) -> int:
        for root, store in self._stores.items():
            if place.path.startswith(root + "/"):
                return store
        raise OSError(_EDQUOT, "no new names are possible beside what is hidden")

    def _is_unused(self, place: Place, status: os.stat_result) -> bool:
        """Whether it is as good as new: an empty folder, or a file of one name that nobody has open."""
        if status.st_mode & _TYPE == _FOLDER:
            held = os.open(place.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place.folder)
            try:
                if os.listdir(held):
                    raise OSError(_ENOTEMPTY, "not empty")
            finally:
                os.close(held)
            return True
        if status.st_mode & _TYPE != _REGULAR or status.st_nlink != 1:
            return False
        return self._emptied(place)

    def _emptied(self, place: Place) -> bool:
        try:
            held = os.open(place.name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place.folder)
        except OSError:
            return False
        try:
            # A lease for writing is given only where nobody else has the file open, or runs it.
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            os.ftruncate(held, 0)
        except OSError:
            return False
        finally:
            os.close(held)
        return True

    def _adorn(self, place: Place, made: int, mode: int) -> None:
        """What the kernel gives to something new, given to something that is not."""
        above = os.stat(f"/proc/self/fd/{place.folder}")
        status = os.fstat(made)
        group = above.st_gid if above.st_mode & _SET_GROUP else os.getegid()
        if status.st_gid != group:
            os.fchown(made, -1, group)
        inherited = _SET_GROUP if above.st_mode & _SET_GROUP and status.st_mode & _TYPE == _FOLDER else 0
        os.fchmod(made, mode | inherited)
        os.utime(made)

    def _rename(self, folder: int, name: str, to: int, to_name: str, flags: int) -> None:
        names = os.fsencode(name), os.fsencode(to_name)
        syscalls.call(self._renameat2, folder, names[0], to, names[1], flags, what=f"rename `{name}`")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
