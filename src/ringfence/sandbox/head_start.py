"""The launcher, started before it is known what for: its interpreter starts while ours still loads the rest.

It waits for its layout on one socket and ends when that is closed, so one that is never used costs nothing but itself.
Imports little, because whoever uses it wants to be early.
"""

from __future__ import annotations

import os
import socket

from ringfence.sandbox.interpreter import start

_BUFFER = 1 << 18


class Launcher:
    """A launcher's process and our end of its control socket. Whoever takes it ends it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (ours, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        ours.setblocking(False)
        try:
            self.pid = start("inside", {3: theirs.fileno()})
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control: socket.socket | None = ours

    def take(self) -> socket.socket:
        """The control socket; from now on the launcher is the taker's to end."""
        control, self._control = self._control, None
        assert control is not None, "a launcher builds one sandbox"
        return control

    def abandon(self) -> None:
        """End a launcher that nobody took."""
        if self._control is not None:
            self._control.close()
            self._control = None
            os.waitpid(self.pid, 0)
