"""Starts commands on the host, for profiles whose placement is `outside`. Only what the policy permits comes here; the
decision says so on record."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Mapping, Sequence

from ringfence.model.situations import ProgramNotFound
from ringfence.sandbox.launch import Pty

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class HostCommand:
    """A command that was started on the host."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Its exit code; 128+N when signal N ended it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def signal(self, signum: int) -> None:
        """Send a signal to its process group, while it runs."""
        if self.runs:
            os.killpg(self.pid, signum)


class Host:
    """The host as a place to start commands in."""

    def __init__(self) -> None:
        self._started: list[HostCommand] = []

    def end(self) -> None:
        """Kill what still runs: a session that is lost has no commands."""
        for command in self._started:
            command.signal(signal.SIGKILL)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str,
        stdin: int | Pty,
        stdout: int | Pty,
        stderr: int | Pty,
        umask: int = 0o022,
    ) -> HostCommand:
        """Start a command in a session of its own, with nothing open but its streams."""
        opened: dict[str, int] = {}
        try:
            streams = [_descriptor(stream, opened) for stream in (stdin, stdout, stderr)]
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(env),
                cwd=cwd,
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                umask=umask,
                start_new_session=True,
                close_fds=True,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise ProgramNotFound(f"`{argv[0]}` cannot be started outside: {error.strerror}") from error
        finally:
            for descriptor in opened.values():
                os.close(descriptor)
        command = HostCommand(process)
        self._started = [*(each for each in self._started if each.runs), command]
        return command

    async def open_pty(self, rows: int, columns: int) -> Pty:
        """Open a terminal of the command's own."""
        master, slave = os.openpty()
        name = os.ttyname(slave)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.close(slave)
        return Pty(master=master, name=name)


def _descriptor(stream: int | Pty, opened: dict[str, int]) -> int:
    if isinstance(stream, int):
        return stream
    if stream.name not in opened:
        opened[stream.name] = os.open(stream.name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return opened[stream.name]


def without_gateway(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables without those that lead to a gateway which is only there inside."""
    return {name: value for name, value in environment.items() if name.lower() not in _PROXIES}
