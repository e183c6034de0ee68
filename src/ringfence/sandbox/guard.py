"""Keeps what is protected inside protected when somebody outside replaces it: the kernel takes a mount away from a name
that is renamed over or removed elsewhere, as `git config` and editors do.

Runs in the launcher, beside the sandbox and not in it, with the one capability that mounting takes. It follows no link,
heeds nothing that anybody inside says, and tells the session what it did.
"""

from __future__ import annotations

import os
import select
from _socket import socket
from _struct import pack, unpack_from

from ringfence.sandbox import mounts, syscalls

_MASK = 0x01000000 | 0x40 | 0x80 | 0x100 | 0x200
"""Folders only: moved from, moved to, created, deleted."""
_NO_CROSSING = 0x01
_EVENT = 16

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Guard:
    """Watches the folders of what is protected, and protects again."""

    def __init__(self, layout: dict[str, Any], link: socket) -> None:
        self._link = link
        self._root = mounts.Root.entered()
        self._wanted = _wanted(layout)
        self._events = syscalls.checked(syscalls.LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC), "watch")
        self._folders: dict[int, str] = {}
        for path in self._wanted:
            self._watch(os.path.dirname(path))

    def serve(self, child: int) -> None:
        """Until the sandbox's process 1 ends, or the session is gone, which ends everything inside."""
        ended = os.pidfd_open(child)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        poll.register(self._events, select.POLLIN)
        for path in self._wanted:
            self._look(path)
        while not any(descriptor == ended for descriptor, _ in poll.poll()):
            changed = self._changed()
            if self._is_alone():
                # INVARIANT: whoever sweeps up after a session that was killed must not have it made anew behind them.
                return
            for path in changed:
                self._look(path)

    def _is_alone(self) -> bool:
        """Whether the session has ended: the kernel closes its end of the link before anybody hears of its death."""
        poll = select.poll()
        poll.register(self._link, 0)
        return bool(poll.poll(0))

    def _watch(self, folder: str) -> None:
        try:
            opened = self._root.open(folder, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            # Below something that is hidden: nobody inside can reach it either.
            return
        os.fchdir(opened)
        os.close(opened)
        watch = syscalls.checked(syscalls.LIBC.inotify_add_watch(self._events, b".", _MASK), "watch a folder")
        self._folders[watch] = folder

    def _changed(self) -> list[str]:
        data, at, found = os.read(self._events, 65536), 0, list[str]()
        while at < len(data):
            watch, mask, _, length = unpack_from("iIII", data, at)
            name = os.fsdecode(data[at + _EVENT : at + _EVENT + length].split(b"\0")[0])
            at += _EVENT + length
            if mask & 0x4000:
                # More happened than was told: everything is looked at.
                return list(self._wanted)
            path = f"{self._folders.get(watch, '')}/{name}"
            if path in self._wanted:
                found.append(path)
        return found

    def _look(self, path: str) -> None:
        folder = self._root.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
        try:
            if _is_mount(folder, os.path.basename(path)):
                return
            how = self._wanted[path]
            made = _hold(folder, os.path.basename(path), is_folder=how == "folder")
        except OSError:
            self._tell("lost", path)
            return
        finally:
            os.close(folder)
        try:
            if how.startswith("/"):
                self._root.stand_in(path, how)
            else:
                self._root.rebind(path, syscalls.RDONLY)
        except OSError:
            self._tell("lost", path)
            return
        self._tell("held" if made else "again", path)

    def _tell(self, what: str, path: str) -> None:
        try:
            self._link.send(f"{what} {path}".encode(errors="replace")[:4096])
        except OSError:
            # The session is gone; then so is everything else, soon.
            return


def _wanted(layout: dict[str, Any]) -> dict[str, str]:
    """What is watched, and what is put over it: a link's target, or itself read-only."""
    found = {path: "file" if not os.path.isdir(path) else "folder" for path in layout["read_only"]}
    found |= {path: "file" if with_what == "itself" else "folder" for path, with_what in layout["stubs"]}
    return found | dict(layout.get("settings", ()))


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
