"""Tells which sockets in a folder somebody listens at. Whoever listens is not disturbed: nothing arrives there.

No kernel of today keeps a program from connecting to a socket whose file it can see, mounted read-only or not; so those
that are there at the start are hidden. One that nobody listens at cannot come to life again: it has to be made anew.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable

from ringfence.sandbox.syscalls import open_beneath, open_plain


def live(folder: str, names: Iterable[str]) -> list[str]:
    """Those of the names below a folder that are sockets which somebody may answer at."""
    found = []
    root = open_plain(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        for name in names:
            try:
                opened = open_beneath(root, name, os.O_PATH | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                if stat.S_ISSOCK(os.fstat(opened).st_mode) and _answers(opened):
                    found.append(name)
            finally:
                os.close(opened)
    finally:
        os.close(root)
    return found


def _answers(opened: int) -> bool:
    # A datagram socket that connects sends nothing, and a listener of another kind refuses it for its kind: either way
    # the kernel has said whether anybody is there.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(f"/proc/self/fd/{opened}")
        except OSError as error:
            # SECURITY: one that may not be connected to belongs to the user all the same, who can change its mode.
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True
