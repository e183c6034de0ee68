"""One command in front of the user: streams, terminal, signals and exit code pass through."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from ringfence.sandbox.launch import Pty
from ringfence.session.placing import Started, Starter
from ringfence.session.stage import Stage
from ringfence.session.streams import Kind, Streams
from ringfence.session.terminal import TerminalRelay, window_size

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
HANG_UP_SECONDS = 5.0
"""How long a command may take to end after its terminal is gone or it was told to end."""


async def run_in_front(
    sandbox: Starter,
    argv: tuple[str, ...],
    *,
    cwd: str,
    environment: Mapping[str, str],
    streams: Streams,
    stage: Stage,
    on_started: Callable[[int], None],
) -> int:
    """Run a command to its end and return its exit code; 128+N when signal N ended it.

    From then on a terminal that goes away is no reason to end: what is left to do is putting the end on record.
    """
    terminal_out = streams.terminal_out
    pty = await sandbox.open_pty(*window_size(terminal_out)) if terminal_out is not None else None
    with ExitStack() as cleanup:
        ends = [_end(cleanup, fd, kind, pty) for fd, kind in enumerate(streams.kinds)]
        waiting: list[signal.Signals] = []
        deliver: list[Callable[[signal.Signals], None]] = [waiting.append]
        for number in _PASSED_ON:
            cleanup.enter_context(_on_signal(number, lambda number=number: deliver[0](number)))
        cleanup.enter_context(_on_hangup(lambda: deliver[0](signal.SIGHUP)))
        command = await sandbox.spawn(argv, env=environment, cwd=cwd, stdin=ends[0], stdout=ends[1], stderr=ends[2])
        on_started(command.pid)
        # A signal that came while the command was being started is the command's as well.
        deliver[0] = command.signal
        for number in waiting:
            command.signal(number)
        gone = asyncio.Event()
        if pty is not None and terminal_out is not None:
            relay = TerminalRelay(
                terminal_in=streams.terminal_in, terminal_out=terminal_out, master=pty.master, gone=gone.set
            )
            stage.relay = relay
            relay.start()
            cleanup.callback(relay.stop)
            cleanup.enter_context(_on_signal(signal.SIGWINCH, relay.resize))
        code = await _until_end(command, gone)
    stage.relay = None
    return code


async def _until_end(command: Started, gone: asyncio.Event) -> int:
    """Wait; a command whose terminal went away is told so, and after a while it is ended."""
    async with asyncio.TaskGroup() as tasks:

        async def hang_up() -> None:
            await gone.wait()
            command.signal(signal.SIGHUP)
            await asyncio.sleep(HANG_UP_SECONDS)
            command.signal(signal.SIGKILL)

        watching = tasks.create_task(hang_up())
        code = await command.wait()
        watching.cancel()
    return code


def _end(cleanup: ExitStack, fd: int, kind: Kind, pty: Pty | None) -> int | Pty:
    if kind is Kind.TERMINAL:
        assert pty is not None
        return pty
    if kind is Kind.PASS:
        return fd
    null = os.open(os.devnull, os.O_RDWR)
    cleanup.callback(os.close, null)
    return null


@contextmanager
def _on_signal(number: signal.Signals, handler: object) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(number, handler)  # type: ignore[arg-type]
    except (RuntimeError, ValueError):
        # Not the main thread of the program: its owner handles signals.
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


@contextmanager
def _on_hangup(handler: Callable[[], None]) -> Iterator[None]:
    """A terminal that goes away tells twice, by the kernel and by its shell: the second time is for nobody.

    The loop's own way to stop listening has a moment at which the signal would end this program.
    """
    loop = asyncio.get_running_loop()

    def came(number: int, frame: object) -> None:
        loop.call_soon_threadsafe(handler)

    try:
        signal.signal(signal.SIGHUP, came)
    except ValueError:
        # Not the main thread of the program, as above.
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
