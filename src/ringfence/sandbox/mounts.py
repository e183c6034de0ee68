"""Builds the sandbox's file system from an empty root, by descriptor, and makes it the root.

Follows the layout that was worked out outside. Never creates anything on the host, and never follows a symbolic link
below a tree that an agent may have written.
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socket
from contextlib import suppress

from ringfence.sandbox import syscalls
from ringfence.sandbox.syscalls import NODEV, NOEXEC, NOSUID, RDONLY, attach, clone_tree, open_beneath, open_plain

STORE = "/.ringfence"
"""Where files of ours lie that are bound over others; on the root, which is read-only in the end."""

PROC_READ_ONLY = ("sys", "sysrq-trigger", "bus", "fs", "irq", "asound", "driver", "mtrr")
PROC_MASKED = (
    "acpi", "kcore", "keys", "key-users", "timer_list", "timer_stats", "latency_stats", "sched_debug", "scsi",
    "kpagecount", "kpageflags", "kpagecgroup", "kmsg", "kallsyms", "vmallocinfo", "slabinfo", "pagetypeinfo",
    "config.gz", "iomem", "ioports", "interrupts", "softirqs",
)  # fmt: skip
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
DEVICE_LINKS = (
    ("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
)  # fmt: skip
_MISSING = (2, 20)
"""ENOENT, ENOTDIR."""


class Root:
    """The new root while it is being built."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self._own: set[int] = set()
        self._pinned: set[str] = set()
        self._descriptor = -1

    @classmethod
    def entered(cls) -> Root:
        """The root that a sandbox has entered already."""
        root = cls()
        root._descriptor = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return root

    def begin(self) -> None:
        """Make the empty root. Sources have to be open before: it covers a folder of the host's tree."""
        tree = self._filesystem("tmpfs", NOSUID | NODEV, {"mode": "0755", "size": "64m", "nr_inodes": "20000"})
        place = open_plain("/tmp", os.O_PATH | os.O_DIRECTORY)  # noqa: S108 - any folder will do to hang it on
        attach(tree, place, "attach the new root")
        os.close(place)
        self._descriptor = tree
        for name, mode in (("folder", 0o000), ("empty", 0o555), ("ignored", 0o555)):
            os.close(self._walk(f"{STORE}/{name}", folder=True))
            if name == "ignored":
                self.write(f"{STORE}/{name}/.gitignore", b"*\n", 0o444)
            os.chmod(f"{STORE[1:]}/{name}", mode, dir_fd=tree)
        self.write(f"{STORE}/file", b"", 0o000)

    def open(self, path: str, flags: int = os.O_PATH) -> int:
        """Open a path of the new root, without following a link."""
        return open_beneath(self._descriptor, path.lstrip("/") or ".", flags)

    def mount(self, tree: int, target: str, *, folder: bool) -> None:
        """Put a detached mount on a path, which is made where it lies in a file system of ours."""
        point = self._walk(target, folder=folder)
        attach(tree, point, f"mount on `{target}`")
        os.close(point)
        os.close(tree)

    def filesystem(self, target: str, kind: str, attributes: int, options: dict[str, str]) -> None:
        """Mount a new file system instance."""
        self.mount(self._filesystem(kind, attributes, options), target, folder=True)

    def bind(self, source: int, target: str, *, writable: bool) -> None:
        """Bind what a descriptor shows to a path."""
        folder = _is_folder(source)
        tree = clone_tree(source, NOSUID | NODEV | (0 if writable else RDONLY), f"bind `{target}`")
        self.mount(tree, target, folder=folder)

    def overlay(self, target: str, layers: tuple[int, int, int, int]) -> None:
        """Show a folder, with every write to it kept in another. `layers`: lower, place holders, upper, work."""
        lower, holders, upper, work = (f"/proc/self/fd/{layer}" for layer in layers)
        # Volatile: a layer that the machine went down under is looked at as it is, and never mounted again.
        options = {
            "lowerdir": f"{lower}:{holders}",
            "upperdir": upper,
            "workdir": work,
            "userxattr": "",
            "volatile": "",
        }
        try:
            tree = self._filesystem("overlay", NOSUID | NODEV, options)
        except OSError as error:
            text = f"the workspace cannot be staged here, because the kernel gives no overlay: {error.strerror}"
            raise OSError(error.errno, text) from error
        self.mount(tree, target, folder=True)
        for layer in layers:
            os.close(layer)

    def rebind(self, target: str, attributes: int) -> None:
        """Bind a path on itself, with attributes: this pins it against renaming too."""
        # A link is bound as a link: it stays what it is and can no more be replaced.
        point = self.open(target, os.O_PATH | os.O_NOFOLLOW)
        try:
            tree = clone_tree(point, NOSUID | NODEV | attributes, f"bind `{target}` on itself")
            try:
                attach(tree, point, f"bind `{target}` on itself")
            finally:
                os.close(tree)
        finally:
            os.close(point)

    def put(self, tree: int, path: str) -> None:
        """Put a detached mount, which stays the caller's to close, on a path that is there."""
        point = self.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            attach(tree, point, f"mount on `{path}`")
        finally:
            os.close(point)

    def copy(self, path: str) -> int:
        """A detached copy of the mount at a path and of those below it."""
        point = self.open(path)
        try:
            return clone_tree(point, 0, f"keep a copy of `{path}`")
        finally:
            os.close(point)

    def stand_in(self, path: str, target: str) -> None:
        """Mount a link in a file's place: what replaces the file by renaming is led to where the link leads."""
        stored = f"{STORE}/link%{target.strip('/').replace('/', '%')}"
        with suppress(FileExistsError):
            os.symlink(target, stored[1:], dir_fd=self._descriptor)
        source = self.open(stored, os.O_PATH | os.O_NOFOLLOW)
        try:
            tree = clone_tree(source, NOSUID | NODEV | RDONLY, f"put a link on `{path}`")
        finally:
            os.close(source)
        try:
            self.put(tree, path)
        finally:
            os.close(tree)

    def cover(self, target: str, folder_with: str = "folder") -> None:
        """Cover a path by something empty; a folder of mode 000, a file of mode 000, an empty readable folder, or one
        that says to Git that it has nothing."""
        point = self.open(target, os.O_PATH | os.O_NOFOLLOW)
        try:
            source = self.open(f"{STORE}/{folder_with if _is_folder(point) else 'file'}")
            try:
                tree = clone_tree(source, NOSUID | NODEV | RDONLY, f"cover `{target}`")
            finally:
                os.close(source)
            try:
                attach(tree, point, f"cover `{target}`")
            finally:
                os.close(tree)
        finally:
            os.close(point)

    def write(self, path: str, content: bytes, mode: int) -> None:
        """Write a file of ours. One that its owner may write is a private copy; any other cannot be replaced, because
        it is bound read-only where its place is writable for the sandbox."""
        parent = self._walk(os.path.dirname(path), folder=True)
        own = os.fstat(parent).st_dev == os.fstat(self._descriptor).st_dev
        os.close(parent)
        if own or mode & 0o200:
            self._create(path, content, mode)
            return
        self._pin_folders(os.path.dirname(path))
        stored = f"{STORE}/{path.strip('/').replace('/', '%')}"
        self._create(stored, content, mode)
        source = self.open(stored)
        self.bind(source, path, writable=False)
        os.close(source)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link of the host's again, unless something stands there."""
        try:
            parent = self._walk(os.path.dirname(path), folder=True)
        except OSError:
            return
        try:
            os.symlink(target, os.path.basename(path), dir_fd=parent)
        except OSError as error:
            if error.errno not in (17, 30, 13):
                raise
        finally:
            os.close(parent)

    def listen(self, path: str, backlog: int) -> socket:
        """Make a listening unix socket at a path, in a file system of ours."""
        parent = self._walk(os.path.dirname(path), folder=True)
        try:
            if os.fstat(parent).st_dev not in self._own:
                raise OSError(30, f"`{path}` would be made on the host")
            made = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)
            made.bind(f"/proc/self/fd/{parent}/{os.path.basename(path)}")
            made.listen(backlog)
        finally:
            os.close(parent)
        return made

    def folder(self, path: str) -> None:
        """Make an empty folder, for somebody else to mount on."""
        os.close(self._walk(path, folder=True))

    def seal(self, *more: str) -> None:
        """Make the root, and file systems of ours that need no more writing, read-only."""
        for path in more:
            mount = self.open(path)
            syscalls.set_attributes(mount, RDONLY, recursive=False, what=f"seal `{path}`")
            os.close(mount)
        syscalls.set_attributes(self._descriptor, RDONLY, recursive=False, what="seal the root")

    def enter(self) -> None:
        """Make it the root and leave the host's."""
        os.fchdir(self._descriptor)
        syscalls.call(syscalls.older("pivot_root"), b".", b".", what="pivot_root")
        syscalls.checked(syscalls.LIBC.umount2(b".", 2), "leave the host's root")
        os.chdir("/")
        os.close(self._descriptor)

    def _pin_folders(self, path: str) -> None:
        # SECURITY: a folder that holds a mount can be renamed, mount and all, and another put in its place; one that
        # is a mount cannot.
        while path not in ("", "/") and path not in self._pinned and not self._is_mount(path):
            self.rebind(path, 0)
            self._pinned.add(path)
            path = os.path.dirname(path)

    def _is_mount(self, path: str) -> bool:
        inner, outer = self.open(path), self.open(os.path.dirname(path))
        different = os.fstat(inner).st_dev != os.fstat(outer).st_dev
        os.close(inner)
        os.close(outer)
        return different

    def _filesystem(self, kind: str, attributes: int, options: dict[str, str]) -> int:
        tree = syscalls.new_filesystem(kind, attributes, options)
        if kind == "tmpfs":
            self._own.add(os.fstat(tree).st_dev)
        return tree

    def _create(self, path: str, content: bytes, mode: int) -> None:
        parent = self._walk(os.path.dirname(path), folder=True)
        name = os.path.basename(path)
        file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        with os.fdopen(file, "wb") as writer:
            writer.write(content)
            os.fchmod(file, mode)
        os.close(parent)

    def _walk(self, path: str, *, folder: bool) -> int:
        # SECURITY: a mount point is only ever made in a file system of ours. On a host tree, making one through a
        # planted link is how a sandbox writes outside by itself (CVE-2026-87766).
        current = self.open("/")
        parts = [part for part in path.split("/") if part]
        for position, part in enumerate(parts):
            try:
                following = open_beneath(current, part)
            except FileNotFoundError:
                if os.fstat(current).st_dev not in self._own:
                    raise OSError(2, f"the mount point `{path}` does not exist on the host") from None
                _make(current, part, folder=folder or position < len(parts) - 1)
                following = open_beneath(current, part)
            os.close(current)
            current = following
        return current


def open_sources(binds: list[tuple[str, str, bool, bool]], notices: list[str]) -> list[tuple[int, str, bool]]:
    """Open what is to be bound, before the new root covers anything: (descriptor, target, writable)."""
    opened = []
    for source, target, writable, required in binds:
        try:
            opened.append((open_plain(source), target, writable))
        except OSError as error:
            if required:
                raise
            if error.errno not in _MISSING:
                notices.append(f"`{source}` is not visible in the sandbox: {error.strerror}")
    return opened


def private_proc(root: Root, *, whole: bool = False) -> None:
    """A new /proc for the new process ids, without what concerns the host.

    `whole` leaves that in: the kernel lets a namespace inside mount a /proc of its own only where it sees one of which
    nothing is covered. The permissions of the files are what is left, which hold for everybody but root.
    """
    root.filesystem("/proc", "proc", NOSUID | NODEV | NOEXEC, {})
    if whole:
        return
    for name in PROC_READ_ONLY:
        _where_present(lambda path: root.rebind(path, RDONLY | NOEXEC), f"/proc/{name}")
    for name in PROC_MASKED:
        _where_present(root.cover, f"/proc/{name}")


def private_devices(root: Root, devices: list[tuple[int, str]], shared_memory: str) -> None:
    """A /dev of harmless devices, with terminals of its own."""
    root.filesystem("/dev", "tmpfs", NOSUID | NOEXEC, {"mode": "0755", "size": "64k", "nr_inodes": "100"})
    for source, name in devices:
        tree = clone_tree(source, NOSUID | NOEXEC, f"bind /dev/{name}")
        root.mount(tree, f"/dev/{name}", folder=False)
        os.close(source)
    root.filesystem("/dev/pts", "devpts", NOSUID | NOEXEC, {"newinstance": "", "ptmxmode": "0666", "mode": "0620"})
    root.filesystem("/dev/shm", "tmpfs", NOSUID | NODEV, {"mode": "1777", "size": shared_memory})  # noqa: S108
    for name, target in DEVICE_LINKS:
        root.link(f"/dev/{name}", target)


def _where_present(action: object, path: str) -> None:
    assert callable(action)
    try:
        action(path)
    except OSError as error:
        if error.errno not in _MISSING:
            raise


def _make(parent: int, name: str, *, folder: bool) -> None:
    if folder:
        os.mkdir(name, 0o755, dir_fd=parent)
    else:
        flags = os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o600, dir_fd=parent))


def _is_folder(descriptor: int) -> bool:
    return os.fstat(descriptor).st_mode & 0o170000 == 0o040000
