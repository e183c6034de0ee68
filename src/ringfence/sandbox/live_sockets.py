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

from ringfence.model.shown import Bind
from ringfence.sandbox import scan
from ringfence.sandbox.links import Links
from ringfence.sandbox.plan import covers
from ringfence.sandbox.syscalls import open_beneath, open_plain


def hidden_sockets(
    workspace: str, special: list[str], asked: list[Bind], links: Links
) -> tuple[list[str], tuple[str, ...]]:
    """Sockets that somebody outside listens at, in the workspace and in what the policy opens. One that is named itself
    has been asked for."""
    found, notices = [f"{workspace}/{name}" for name in live(workspace, special)], list[str]()
    for bind in asked:
        real = links.real(bind.source)
        if not covers(workspace, real) and os.path.isdir(real):
            target = real if bind.target == bind.source else bind.target
            looked = scan.matches(real, ())
            found += [f"{target}/{name}" for name in live(real, looked.special)]
            notices += looked.notices
    found = [each for each in dict.fromkeys(found) if each not in {bind.target for bind in asked}]
    shown = ", ".join(f"`{each}`" for each in found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
    text = f"hidden, because programs outside listen there: {shown}; name one with `--write` to open it"
    return found, (*notices, text) if found else tuple(notices)


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
