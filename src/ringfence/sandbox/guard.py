"""Keeps what is protected inside protected, and what is hidden there hidden, when somebody outside replaces it: the
kernel takes a mount away from a name that is renamed over or removed elsewhere, as `git config` and editors do.

Runs in the launcher, beside the sandbox and not in it, with the one capability that mounting takes. It follows no link,
heeds nothing that anybody inside says, and tells the session what it did.

The kernel says when a mount is taken away, and when a file that bears one is moved. Neither can be brought about from
inside, so whatever runs there does not wake the guard. Where the kernel does not say so, every change in the folders of
what is protected is looked at instead, and likewise where something hidden was removed and may come back. Where
namespaces may be made inside, either can be brought about there too.
"""

from __future__ import annotations

import os
import re
import select
import time
from _socket import socket
from _struct import pack, unpack_from

from ringfence.sandbox import mounts, syscalls

# SECURITY: what is watched already stays watched as it was. A folder may be protected itself, and be one in which every
# change is looked at.
_AS_WELL = 0x20000000
_IN_FOLDER = _AS_WELL | 0x01000000 | 0x40 | 0x80 | 0x100 | 0x200
"""Folders only: moved from, moved to, created, deleted."""
_MOVED = 0x800
_MOVED_ITSELF = _AS_WELL | 0x02000000 | _MOVED
"""No link is followed."""
_OVERFLOW = 0x4000
_GONE = 0x8000
"""A watch has ended with what it was for."""
_FOLDER = 0x40000000
"""It happened to a folder."""
_NO_CROSSING = 0x01
_NO_MORE = 28
"""ENOSPC: of watches."""
_MISSING = 2
_MOVED_AWAY = (_MISSING, 20, 40)
"""ENOENT, ENOTDIR, ELOOP: another folder, or none, is where the folder of something protected was."""
_EVENT = 16
_COVERS = tuple(os.fsencode(f"{mounts.STORE}/{name}") for name in ("file", "folder"))
_ESCAPED = re.compile(rb"\\([0-7]{3})")
"""In the kernel's list of mounts: blanks, newlines and backslashes."""
_TRIES = 8
"""So often is a name protected again that somebody outside keeps replacing."""
_GAP_SECONDS, _STEP_SECONDS = 0.01, 0.00002
"""How long a name may be missing before a place holder is made, and how often that is looked at."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Guard:
    """Watches the folders of what is protected, and protects again."""

    def __init__(self, layout: dict[str, Any], link: socket) -> None:
        self._link = link
        self._root = mounts.Root.entered()
        # Nobody inside reaches what is below something hidden, and neither does this process.
        hidden = tuple(f"{each}/" for each in layout.get("masked", ()))
        self._wanted = {path: how for path, how in _wanted(layout).items() if not path.startswith(hidden)}
        self._pinned = frozenset(each for each in layout["pinned"] if not each.startswith(hidden)) - self._wanted.keys()
        """Folders above: what is below them in the sandbox is not what was looked at once they are moved."""
        self._covered = {path: how for path, how in layout.get("covered", ()) if not path.startswith(hidden)}
        """What nobody inside may read, or write, by a rule of the policy."""
        self._followed: dict[str, None] = {}
        """Of those, the places to which folders were moved with something hidden in them."""
        self._awaited: dict[str, str] = {}
        """Of those, which are missing, and the folder in which every change is looked at for that."""
        self._awaiting: dict[int, set[str]] = {}
        """Those folders, by the numbers of their watches."""
        self._nested = bool(layout.get("nested"))
        self._is_serving = self._is_short = False
        """Whether the kernel gives fewer watches than are needed."""
        try:
            self._events = syscalls.checked(syscalls.LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "watch")
        except OSError as error:
            self._fall_short(error)
            self._events = -1
        self._folders: dict[int, str] = {}
        """Those in which every change is looked at, by the number of the watch."""
        self._copies = {path: self._copy(path) for path in layout.get("repositories", ())}
        """What is put in the place of a folder again that the session has one of its own for."""
        try:
            # That of process 1, which has the same mounts: this process has no number in there.
            self._mounts = self._root.open("/proc/1/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            if self._events < 0:
                raise
            self._mounts = -1
        self._poll = select.poll()
        if self._events >= 0:
            self._poll.register(self._events, select.POLLIN)
        if self._mounts >= 0:
            self._poll.register(self._mounts, select.POLLPRI)
        self._is_due = False
        """Whether everything is to be looked at, because the kernel said so while something was waited for."""
        self._most = 2 * len(self._covered) + 64
        self._others = frozenset(self._hiding()) - self._covered.keys()
        """What is hidden and nobody replaces, in `/proc`."""
        self._watch_all([*self._pinned, *self._wanted])
        try:
            self._watch_all([*self._covered])
            for folder in {each for path in self._covered for each in _above(path)}:
                self._watch_folder(folder, _MOVED_ITSELF)
        except OSError as error:
            self._tell("unhidden", error.strerror or str(error))
            self._covered = {}

    def _fall_short(self, error: OSError) -> None:
        """Go on with fewer watches: editors and whatever else rebuilds on changes take many, and of mounts that are
        taken away the kernel says so all the same."""
        if self._is_short:
            return
        self._is_short = True
        self._tell("none", error.strerror or str(error))
        if self._covered:
            self._tell("unhidden", error.strerror or str(error))

    def _add(self, name: bytes, what: int, path: str) -> int | None:
        """The number of a watch on a name in the folder that this process is in; None where there are no more."""
        try:
            watch = syscalls.LIBC.inotify_add_watch(self._events, name, what)
            return syscalls.checked(watch, f"watch `{path}`")
        except OSError as error:
            # SECURITY: later, whoever runs inside can have taken them, and the session ends instead (T19).
            if error.errno != _NO_MORE or self._mounts < 0 or (self._is_serving and not self._is_short):
                raise
            self._fall_short(error)
            return None

    def serve(self, child: int) -> None:
        """Until the sandbox's process 1 ends, or the session is gone, which ends everything inside."""
        ended = os.pidfd_open(child)
        self._poll.register(ended, select.POLLIN)
        self._is_serving, changed = True, self._all()
        while self._look_at(changed):
            happened = {descriptor for descriptor, _ in self._poll.poll(0 if self._is_due else None)}
            if ended in happened:
                return
            changed = self._changed() if self._events in happened else []
            if self._mounts in happened or self._is_due:
                self._is_due = False
                changed = self._all()
            if self._is_alone():
                return

    def _look_at(self, paths: list[str]) -> bool:
        """Protect what is not; whether there is still something to guard."""
        for path in paths:
            # SECURITY: a new repository in its place has hooks and settings that nobody looked at (T3). Nothing is put
            # into it, and the session ends.
            if path in self._pinned and not self._stands(path):
                self._tell("lost", path)
                return False
        for path in paths:
            if path in self._covered:
                # Before the others: what was read cannot be taken back.
                self._cover_again(path)
        for path in paths:
            if path in self._wanted:
                self._look(path)
        return True

    def _all(self) -> list[str]:
        return [*self._pinned, *self._covered, *self._wanted]

    def _exists(self, path: str) -> bool:
        try:
            os.close(self._root.open(path, os.O_PATH | os.O_NOFOLLOW))
        except OSError:
            return False
        return True

    def _stands(self, path: str) -> bool:
        try:
            folder = self._root.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            # Moved with a folder above, or removed with it.
            return error.errno in _MOVED_AWAY
        try:
            return _is_mount(folder, os.path.basename(path))
        finally:
            os.close(folder)

    def _is_alone(self) -> bool:
        """Whether the session has ended: the kernel closes its end of the link before anybody hears of its death."""
        poll = select.poll()
        poll.register(self._link, 0)
        return bool(poll.poll(0))

    def _watch_all(self, paths: list[str]) -> None:
        folders: dict[str, list[str]] = {}
        for path in paths:
            folders.setdefault(os.path.dirname(path), []).append(path)
        for folder, inside in folders.items():
            self._watch(folder, inside)

    def _watch(self, folder: str, paths: list[str]) -> None:
        """Hear of what happens to paths in a folder."""
        if self._events < 0:
            return
        try:
            opened = self._root.open(folder, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            # Looked at next, and nothing to be watched.
            return
        try:
            if not self._watch_moves(opened, paths):
                os.fchdir(opened)
                watch = self._add(b".", _IN_FOLDER, folder)
                if watch is not None:
                    self._folders[watch] = folder
        finally:
            os.close(opened)
            _leave()

    def _watch_moves(self, folder: int, paths: list[str]) -> bool:
        """Whether the kernel says when what bears a mount is moved, as it says when a mount is taken away."""
        if self._mounts < 0:
            return False
        try:
            # What lies below the mounts, in a copy of the folder without them.
            uncovered = syscalls.clone_tree(folder, 0, "look below what is protected", recursive=False)
        except OSError:
            return False
        try:
            os.fchdir(uncovered)
            for path in paths:
                try:
                    self._add(os.fsencode(os.path.basename(path)), _MOVED_ITSELF, path)
                except OSError as error:
                    # What is missing is made at the next look, and watched then.
                    if error.errno != _MISSING:
                        return False
        finally:
            os.close(uncovered)
            _leave()
        return True

    def _changed(self) -> list[str]:
        data, at, found = os.read(self._events, 65536), 0, dict[str, None]()
        touched, renewed = set[str](), set[str]()
        while at < len(data):
            watch, mask, _, length = unpack_from("iIII", data, at)
            name = os.fsdecode(data[at + _EVENT : at + _EVENT + length].split(b"\0")[0])
            at += _EVENT + length
            if mask & (_OVERFLOW | _MOVED):
                # More happened than was told, or it is not certain to what: a file may have several names.
                self._awaited.clear()
                self._follow()
                return self._all()
            if watch in self._awaiting:
                if mask & _GONE:
                    renewed |= self._awaiting.pop(watch)
                else:
                    within = {f"{folder}/{name}" for folder in self._awaiting[watch]}
                    (renewed if mask & _FOLDER else touched).update(within)
            path = f"{self._folders.get(watch, '')}/{name}"
            if path in self._wanted or path in self._pinned or path in self._covered:
                found[path] = None
        if touched or renewed:
            found |= dict.fromkeys(self._come_back(touched, renewed))
        return [*found]

    def _follow(self) -> None:
        """Find what is hidden where it was moved to with its folder, which anybody inside can do: a link in the old
        place would lead whoever replaces it there."""
        moved = [path for path in self._hiding() if path not in self._others]
        for path in moved:
            if path in self._covered:
                continue
            self._followed[path] = None
            self._covered[path] = "hidden"
            try:
                self._watch_all([path])
                self._watch_above(path)
            except OSError:
                self._tell("lost", path)
        for path in [*self._followed]:
            # Where it was moved away, as by an editor that keeps a copy, it may be made anew. The oldest are forgotten
            # first: whatever runs inside can bring about any number of them, each of which is looked at.
            gone = not self._exists(os.path.dirname(path)) or len(self._followed) > self._most
            if gone and path not in moved:
                del self._followed[path], self._covered[path]
                self._awaited.pop(path, None)

    def _hiding(self) -> list[str]:
        """Where something empty covers what is hidden."""
        if self._mounts < 0:
            return []
        os.lseek(self._mounts, 0, os.SEEK_SET)
        data = b""
        while more := os.read(self._mounts, 65536):
            data += more
        rows = [line.split(b" ", 5) for line in data.splitlines()]
        return [os.fsdecode(_ESCAPED.sub(_plain, row[4])) for row in rows if row[3] in _COVERS]

    def _come_back(self, touched: set[str], renewed: set[str]) -> list[str]:
        """What is missing and may be there again. Whoever makes other files beside it, which can be anybody inside,
        must not keep this process from what is replaced elsewhere."""
        found = []
        for path in [*self._awaited]:
            way = (path, *_above(path))
            if not renewed.isdisjoint(way):
                # Another folder may bear the name by now.
                del self._awaited[path]
                found.append(path)
            elif not touched.isdisjoint(way):
                found.append(path)
        return found

    def _look(self, path: str) -> None:
        """Protect it where it is not, and watch what bears the mount then; until it stays."""
        for _ in range(_TRIES):
            try:
                folder = self._root.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
            except OSError as error:
                if error.errno in _MOVED_AWAY:
                    # Its mount with it, or all of it was removed. If a pinned folder was, that is looked at as well.
                    return
                break
            try:
                if _is_mount(folder, os.path.basename(path)) or self._is_alone():
                    # INVARIANT: whoever sweeps up after a session that was killed must not have it made anew behind
                    # them.
                    return
                made = self._protect(path, folder)
                if self._nested:
                    # SECURITY: who leaves all mounts in a namespace of their own, but for an open folder, can replace
                    # in it what is protected here (T3). It may have been somebody inside, who must not go on.
                    break
                self._watch(os.path.dirname(path), [path])
            except OSError as error:
                if error.errno == _MISSING:
                    # Removed again, or its folder was.
                    continue
                break
            finally:
                os.close(folder)
            self._tell("held" if made else "again", path)
        self._tell("lost", path)

    def _cover_again(self, path: str) -> None:
        """Hide it where it is not, or make it read-only; where it is missing, nothing is made, and it is covered when
        it comes back."""
        how, missing = self._covered[path], False
        for _ in range(_TRIES):
            try:
                if self._is_covered(path) or self._is_alone():
                    self._awaited.pop(path, None)
                    return
                if how == "hidden":
                    self._root.cover(path)
                else:
                    self._root.rebind(path, syscalls.RDONLY)
                if self._nested:
                    # SECURITY: as in `_look`. What nobody inside may write would have been written there (T29).
                    break
                self._watch(os.path.dirname(path), [path])
                self._watch_above(path)
            except OSError as error:
                if error.errno not in _MOVED_AWAY:
                    break
                try:
                    if self._await(path):
                        return
                except OSError:
                    break
                # It may have come back before that was watched for.
                missing = True
                continue
            missing = False
            self._tell("hidden" if how == "hidden" else "again", path)
        else:
            if missing:
                # Somebody makes and removes the folders above it, as anybody inside can, and the kernel says more.
                return
        self._tell("lost", path)

    def _cover_meanwhile(self) -> None:
        """While something else is waited for: of many that are missing, each is, and nothing hidden can be that long
        without its cover."""
        happened = {descriptor for descriptor, _ in self._poll.poll(0)}
        if self._mounts in happened:
            # It is said once.
            self._is_due = True
        if happened:
            for path in self._covered:
                self._cover_again(path)

    def _is_covered(self, path: str) -> bool:
        folder = self._root.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        try:
            return _is_mount(folder, os.path.basename(path))
        finally:
            os.close(folder)

    def _await(self, path: str) -> bool:
        """Look at every change in the folders above something missing; whether that was done already."""
        above = next(each for each in (*_above(path), "/") if self._exists(each))
        if self._awaited.get(path) == above:
            return True
        # SECURITY: in all of them. Of a folder that is removed the kernel says nothing itself while somebody, who may
        # be inside, has it open.
        for folder in _above(path):
            watch = self._watch_folder(folder, _IN_FOLDER | _MOVED)
            if watch is not None:
                self._awaiting.setdefault(watch, set()).add(folder)
        self._awaited[path] = above
        return False

    def _watch_above(self, path: str) -> None:
        """Hear when a folder above something hidden is moved: another one may take its place."""
        for folder in _above(path):
            self._watch_folder(folder, _MOVED_ITSELF)

    def _watch_folder(self, path: str, what: int) -> int | None:
        """The number of a watch on a folder itself; None where there is no such folder, or nothing to watch with."""
        if self._events < 0:
            return None
        try:
            folder = self._root.open(path, os.O_PATH | os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _MOVED_AWAY:
                return None
            raise
        try:
            os.fchdir(folder)
            return self._add(b".", what, path)
        finally:
            os.close(folder)
            _leave()

    def _protect(self, path: str, folder: int) -> bool:
        """Put the mount on it again; whether the name was missing."""
        until = time.monotonic() + _GAP_SECONDS
        while True:
            try:
                self._mount_again(path)
            except OSError as error:
                if error.errno != _MISSING:
                    raise
            else:
                return False
            # Git and editors remove a file and make it anew, and fail half-way where another has made it before them.
            # Whoever waits inside to make it is faster than we are in any case.
            if time.monotonic() > until:
                break
            self._cover_meanwhile()
            time.sleep(_STEP_SECONDS)
        made = _hold(folder, os.path.basename(path), is_folder=self._wanted[path] == "folder")
        self._mount_again(path)
        return made

    def _mount_again(self, path: str) -> None:
        how, copy = self._wanted[path], self._copies.get(path, -1)
        if copy >= 0:
            self._root.put(copy, path)
            os.close(copy)
            self._copies[path] = self._copy(path)
        elif how.startswith("/"):
            self._root.stand_in(path, how)
        else:
            self._root.rebind(path, syscalls.RDONLY)

    def _copy(self, path: str) -> int:
        """A copy of what is mounted on a path, for the next time; -1 where nothing is any more."""
        try:
            copy = self._root.copy(path)
            folder = self._root.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return -1
        try:
            # SECURITY: what is mounted goes away and does not come back by itself. So it was there when it was copied
            # if it is there now; without it, this is a copy of the folder on the host, which may be written.
            if _is_mount(folder, os.path.basename(path)):
                return copy
        finally:
            os.close(folder)
        os.close(copy)
        return -1

    def _tell(self, what: str, path: str) -> None:
        try:
            self._link.send(f"{what} {path}".encode(errors="replace")[:4096])
        except OSError:
            # The session is gone; then so is everything else, soon.
            return


def _wanted(layout: dict[str, Any]) -> dict[str, str]:
    """What is watched, and what is put over it: a link's target, or itself read-only."""
    # By what was there when it was surveyed: it may have been removed since.
    folders = frozenset(layout.get("folders", ()))
    found = {path: "folder" if path in folders else "file" for path in layout["read_only"]}
    found |= {path: "file" if with_what == "itself" else "folder" for path, with_what in layout["stubs"]}
    found |= dict.fromkeys(layout.get("repositories", ()), "folder")
    return found | dict(layout.get("settings", ()))


def _plain(escaped: re.Match[bytes]) -> bytes:
    return bytes([int(escaped[1], 8)])


def _leave() -> None:
    """Stay in no folder that is watched: the kernel does not say that one is removed in which somebody is."""
    os.chdir("/")


def _above(path: str) -> list[str]:
    """The folders above a path, the nearest first, without the root."""
    found = []
    while (path := os.path.dirname(path)) != "/":
        found.append(path)
    return found


def _is_mount(folder: int, name: str) -> bool:
    """Whether a name is a mount; a name that is missing is none."""
    how = pack("QQQ", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, 0, _NO_CROSSING)
    try:
        opened = syscalls.call(syscalls.OPENAT2, folder, os.fsencode(name), how, len(how), what="look")
    except OSError as error:
        return error.errno == 18
    os.close(opened)
    return False


def _hold(folder: int, name: str, *, is_folder: bool) -> bool:
    """Make a place holder where a name is missing; whether it was."""
    try:
        if is_folder:
            os.mkdir(name, 0o755, dir_fd=folder)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o644, dir_fd=folder))
    except FileExistsError:
        return False
    return True
