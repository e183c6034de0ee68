"""The processes of a sandbox, seen from outside: what each has, which one to end, and the last words to it.

Reads the process file system that process 1 hands out, in which there are no others; in a sandbox without namespaces it
is the machine's, and only descendants count. A process that is gone while we look is no error.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import stat
from collections.abc import Iterable, Mapping

import msgspec

from ringfence.sandbox import syscalls

_PAGE = os.sysconf("SC_PAGE_SIZE")
_PIDFD_GETFD = 438
_PPID, _THREADS, _STARTED, _RESIDENT = 1, 17, 19, 21
"""Fields of `stat` after the name."""
_SHOWN = 120


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process at one moment."""

    pid: int
    parent: int
    threads: int
    started: int
    resident: int
    """Bytes, those that it shares with others included."""
    place: str
    """Where it is read: its own folder, or that of a thread, where the first one has ended."""


class Table:
    """The processes of one sandbox. `folder` is its process file system; `ancestor` is set where that shows others too,
    and is the process of ours that all of the sandbox's come from."""

    def __init__(self, folder: int, *, ancestor: int | None = None) -> None:
        self._folder = folder
        self._ancestor = ancestor

    def all(self) -> dict[int, Process]:
        """Every process there is now, without those of ours."""
        names = [name for name in os.listdir(self._folder) if name.isdecimal()]
        found = {each.pid: each for each in map(self._read, names) if each is not None}
        if self._ancestor is None:
            found.pop(1, None)
            return found
        return _below(found, self._ancestor)

    def written(self, pid: int) -> int | None:
        """Bytes that a process has had written to disks, with its children that it waited for; None when it is gone.

        `PermissionError` for one that hides it, which takes a program that nobody may read.
        """
        try:
            file = os.open(f"{pid}/io", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except PermissionError:
            raise
        except OSError:
            return None
        try:
            text = os.read(file, 4096).decode()
        except PermissionError:
            raise
        except OSError:
            return None
        finally:
            os.close(file)
        return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("write_bytes:")), None)

    def proportional(self, process: Process) -> tuple[int, int]:
        """Its share of memory that is nobody's file: its own, and that in shared memory."""
        found = {}
        for line in self._text(f"{process.place}/smaps_rollup").splitlines():
            name, _, rest = line.partition(":")
            if name in ("Pss_Anon", "Pss_Shmem"):
                found[name] = int(rest.split()[0]) * 1024
        return found.get("Pss_Anon", 0), found.get("Pss_Shmem", 0)

    def memory_files(self, processes: Iterable[Process]) -> int:
        """Bytes in files that lie in memory alone and have no name."""
        found: dict[tuple[int, int], int] = {}
        for process in processes:
            for name in self._names(f"{process.place}/fd"):
                path = f"{process.place}/fd/{name}"
                try:
                    if os.readlink(path, dir_fd=self._folder).startswith("/memfd:"):
                        about = os.stat(path, dir_fd=self._folder)
                        found[about.st_dev, about.st_ino] = about.st_blocks * 512
                except OSError:
                    continue
        return sum(found.values())

    def open_files(self, process: Process) -> int:
        """How many files it has open."""
        folder = f"{process.place}/fd"
        try:
            # Since Linux 6.2 the size of this folder is the answer.
            return os.stat(folder, dir_fd=self._folder).st_size or len(self._names(folder))
        except OSError:
            return 0

    def shown(self, pid: int) -> str:
        """The command line of a process, shortened."""
        words = self._text(f"{pid}/cmdline").replace("\0", " ").strip() or self._text(f"{pid}/comm").strip()
        text = words.encode("ascii", "backslashreplace").decode().replace("`", "'").replace("\n", " ")
        return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."

    def error_pipe(self, process: Process) -> int | None:
        """The pipe that a process has as its error stream, opened once more; None for everything else."""
        path = f"{process.place}/fd/2"
        try:
            found = re.search(r"^flags:\s*([0-7]+)$", self._text(f"{process.place}/fdinfo/2"), re.MULTILINE)
            if found is None or int(found[1], 8) & os.O_ACCMODE == os.O_RDONLY:
                return None
            if not os.readlink(path, dir_fd=self._folder).startswith("pipe:"):
                return None
            stream = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, dir_fd=self._folder)
        except OSError:
            return None
        # SECURITY: the victim may have put a file there in the meantime, which it could only read: looked at again, now
        # that it cannot be exchanged any more. A pipe has no name, so the victim has it from whoever made it (T24).
        if os.readlink(f"/proc/self/fd/{stream}").startswith("pipe:"):
            return stream
        os.close(stream)
        return None

    def signal(self, process: Process, number: signal.Signals) -> bool:
        """Send a signal to this very process, and say whether there still was one."""
        try:
            folder = os.open(str(process.pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return False
        try:
            again = self._read(str(process.pid))
            if again is None or again.started != process.started:
                return False
            # INVARIANT: the open folder stands for one process for ever, as a process descriptor does.
            signal.pidfd_send_signal(folder, number)
        except OSError:
            return False
        finally:
            os.close(folder)
        return True

    def _read(self, name: str) -> Process | None:
        fields = self._fields(name)
        if fields is None:
            return None
        place = name
        if fields[0] in "ZX":
            # SECURITY: a program whose first thread has ended looks like one that has ended, and goes on.
            if int(fields[_THREADS]) < 2:
                return None
            for thread in self._names(f"{name}/task"):
                living = self._fields(f"{name}/task/{thread}")
                if living is not None and living[0] not in "ZX":
                    place, fields = f"{name}/task/{thread}", [*fields[:_RESIDENT], living[_RESIDENT]]
                    break
        return Process(
            pid=int(name),
            parent=int(fields[_PPID]),
            threads=int(fields[_THREADS]),
            started=int(fields[_STARTED]),
            resident=int(fields[_RESIDENT]) * _PAGE,
            place=place,
        )

    def _fields(self, place: str) -> list[str] | None:
        fields = self._text(f"{place}/stat").rpartition(")")[2].split()
        return fields if len(fields) > _RESIDENT else None

    def _text(self, path: str) -> str:
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return ""
        try:
            return os.read(file, 65_536).decode(errors="replace")
        except OSError:
            return ""
        finally:
            os.close(file)

    def _names(self, path: str) -> list[str]:
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return []
        try:
            return os.listdir(folder)
        except OSError:
            return []
        finally:
            os.close(folder)


def error_stream(process: int) -> int | None:
    """The error stream of a process, as the process itself has it, by its process descriptor."""
    try:
        return syscalls.call(_PIDFD_GETFD, process, 2, 0, what="take a descriptor")
    except OSError:
        return None


def say(stream: int, text: str) -> bool:
    """Write a line to somebody's stream, if that takes no waiting.

    Only to pipes and sockets, which are what agents read their tools' output from.
    """
    # SECURITY: the stream is the victim's choice. It is the victim's own descriptor, so nothing can be written that it
    # could not write itself; and nothing is written that could keep us waiting (T24).
    data = f"ringfence: {text}\n".encode(errors="replace")
    kind = os.fstat(stream).st_mode
    try:
        if stat.S_ISFIFO(kind) and fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY:
            # Opened once more, so that what keeps us from waiting is not set for the others who have it.
            own = os.open(f"/proc/self/fd/{stream}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                return os.write(own, data) == len(data)
            finally:
                os.close(own)
        if stat.S_ISSOCK(kind):
            with socket.socket(fileno=os.dup(stream)) as to:
                return to.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == len(data)
    except OSError:
        return False
    return False


def _below(found: Mapping[int, Process], ancestor: int) -> dict[int, Process]:
    """The descendants of a process, without its own first child, which is the supervisor."""
    children: dict[int, list[Process]] = {}
    for each in found.values():
        children.setdefault(each.parent, []).append(each)
    waiting = list(children.get(ancestor, ()))
    # SECURITY: the first by time, not by number: numbers begin anew, and an orphan that comes to the ancestor with a
    # low one would be left out in the supervisor's place, which would then count and be ended (T24).
    supervisor = min(waiting, key=lambda each: (each.started, each.pid), default=None)
    result: dict[int, Process] = {}
    while waiting:
        process = waiting.pop()
        if process.pid not in result:
            result[process.pid] = process
            waiting += children.get(process.pid, ())
    if supervisor is not None:
        del result[supervisor.pid]
    return result
