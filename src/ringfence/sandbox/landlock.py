"""Landlock: the file policy once more, enforced on each command by the kernel even where a mount would allow the
access.

Generation by generation of the interface (ABI), always with every right that the kernel knows. Network rights are
left to the capture, which sees the whole destination where Landlock sees a port.
"""

from __future__ import annotations

import os
from _struct import pack

from ringfence.sandbox import syscalls

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REFER = 1, 2, 4, 8, 1 << 13
TRUNCATE, IOCTL_DEV, RESOLVE_UNIX = 1 << 14, 1 << 15, 1 << 16
_FIRST = (1 << 13) - 1
TRUNCATE_SINCE = 3
"""The generation that knows of files that are cut short."""
NETWORK_SINCE = 4
"""The generation that knows of TCP."""
SCOPES_SINCE = 6
"""The generation that knows of signals and abstract sockets."""
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV | RESOLVE_UNIX
_RULE_PATH = 1
_BIND_AND_CONNECT = 3

READ = EXECUTE | READ_FILE | READ_DIR
"""What the whole file system gives; what may be seen at all is the mounts' business."""


def version() -> int:
    """The generation that the kernel offers; an `OSError` where Landlock is missing or switched off."""
    return syscalls.call(syscalls.LANDLOCK_CREATE_RULESET, None, 0, 1, what="landlock")


def handled(abi: int) -> int:
    """Every file right that a generation knows."""
    rights = _FIRST
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV), (9, RESOLVE_UNIX)):
        rights |= right if abi >= since else 0
    return rights


def scopes(abi: int) -> int:
    """Abstract sockets and signals stay within the sandbox, where the generation can say so."""
    return _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if abi >= SCOPES_SINCE else 0


def stay_within(abi: int, *, nested: bool = False) -> None:
    """Bind this process and everything it starts to signal and address by abstract socket each other only. `nested`:
    no rule for files follows, because one would forbid every mount."""
    # One domain for all commands of a sandbox, apart from the file rules that each command gets: they may signal one
    # another.
    if not scopes(abi):
        return
    # A domain that does not name the right to move between folders denies it, whatever another one allows: `mv` would
    # copy, and Git could not store what is pushed to it.
    attributes = pack("=QQQ", 0 if nested else REFER, 0, scopes(abi))
    what = "landlock: stay within"
    ruleset = syscalls.call(syscalls.LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0, what=what)
    if not nested:
        everywhere = os.open("/", os.O_PATH | os.O_CLOEXEC)
        syscalls.call(syscalls.LANDLOCK_ADD_RULE, ruleset, _RULE_PATH, pack("=Qi", REFER, everywhere), 0, what=what)
        os.close(everywhere)
    syscalls.call(syscalls.LANDLOCK_RESTRICT_SELF, ruleset, 0, what=what)
    os.close(ruleset)


def over_mounts(
    abi: int, writable: tuple[str, ...], devices: tuple[str, ...], sockets: list[str]
) -> list[tuple[str, int]]:
    """The rules where mounts say what can be seen: writable paths, and read and execute for everything else. `sockets`
    are those that a policy opened."""
    rights = handled(abi)
    paths = [("/", READ)]
    paths += [(path, rights & ~IOCTL_DEV) for path in writable]
    paths += [(path, RESOLVE_UNIX) for path in sockets if rights & RESOLVE_UNIX]
    return paths + [(path, READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | IOCTL_DEV) for path in devices]


class Ruleset:
    """A prepared set of rules: what may be done below which path. `network` closes TCP as well, where it is known."""

    def __init__(self, abi: int, paths: list[tuple[str, int]], *, network: bool = False) -> None:
        self._rights = handled(abi)
        self._network = _BIND_AND_CONNECT if network and abi >= NETWORK_SINCE else 0
        self._anchors = [(os.open(path, os.O_PATH | os.O_CLOEXEC), rights) for path, rights in paths]
        self._prepared = self._build(())

    def restrict(self, streams: tuple[tuple[int, int], ...]) -> None:
        """Bind the calling thread, for ever; `streams` are regular files it was handed, with the rights they came
        with."""
        # SECURITY: `/proc/self/fd/0` opens the file behind a descriptor anew, past every mount. The rule gives
        # exactly the access that the descriptor already has, so a file handed in for reading cannot be opened for
        # writing.
        ruleset = self._build(streams) if streams else self._prepared
        try:
            syscalls.call(syscalls.LANDLOCK_RESTRICT_SELF, ruleset, 0, what="landlock")
        finally:
            if streams:
                os.close(ruleset)

    def _build(self, streams: tuple[tuple[int, int], ...]) -> int:
        attributes = pack("=QQ", self._rights, self._network) if self._network else pack("=Q", self._rights)
        what = "landlock: make a rule set"
        ruleset = syscalls.call(syscalls.LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0, what=what)
        for anchor, rights in (*self._anchors, *streams):
            self._add(ruleset, anchor, rights)
        return ruleset

    def _add(self, ruleset: int, anchor: int, rights: int) -> None:
        allowed = rights & self._rights
        if os.fstat(anchor).st_mode & 0o170000 != 0o040000:
            allowed &= _FILE_RIGHTS
        rule = pack("=Qi", allowed, anchor)
        syscalls.call(syscalls.LANDLOCK_ADD_RULE, ruleset, _RULE_PATH, rule, 0, what="landlock: add a rule")
