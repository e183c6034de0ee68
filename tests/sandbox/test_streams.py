from __future__ import annotations

import asyncio
import fcntl
import os
import select
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from tests.sandbox.boxes import SYSTEM_PATH, Box

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.launch import Pty

REOPEN = "import os,sys; fd = os.open('/proc/self/fd/0', os.O_WRONLY | int(sys.argv[1])); os.write(fd, b'EVIL')"


@pytest.mark.parametrize("flags", [0, os.O_TRUNC, os.O_APPEND])
async def test_a_file_handed_in_for_reading_cannot_be_opened_for_writing(box: Box, tmp_path: Path, flags: int) -> None:
    file = tmp_path / "input"
    file.write_text("data")
    descriptor = os.open(file, os.O_RDONLY)
    try:
        without = subprocess.run(["/usr/bin/python3", "-c", REOPEN, str(flags)], stdin=descriptor, check=False)
        assert without.returncode == 0 and "EVIL" in file.read_text(), "the attack has to work without the sandbox"
        file.write_text("data")

        tried = await box.run("/usr/bin/python3", "-c", REOPEN, str(flags), stdin=descriptor)
        read = await box.shell("cat /dev/stdin", stdin=descriptor)
    finally:
        os.close(descriptor)

    assert "PermissionError" in tried.err
    assert file.read_text() == "data"
    assert read.out == "data"


async def test_a_file_handed_in_for_writing_can_be_opened_by_name(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "output"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDWR)
    try:
        command = await box.sandbox.spawn(
            ["sh", "-c", "echo one > /dev/stdout; cat /proc/self/fd/1"],
            env={"PATH": SYSTEM_PATH},
            cwd="/",
            stdin=null,
            stdout=descriptor,
            stderr=null,
        )
        code = await command.wait()
    finally:
        os.close(descriptor)
        os.close(null)

    assert file.read_text() == "one\n"
    assert code == 1


async def test_a_folder_is_refused_as_a_stream(box: Box) -> None:
    folder = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(SandboxUnavailable, match="folder or a block device"):
            await box.run("ls", "/proc/self/fd/0/root", stdin=folder)
    finally:
        os.close(folder)


async def test_a_terminal_of_its_own_has_job_control_and_a_name(box: Box) -> None:
    pty = await box.sandbox.open_pty(30, 100)
    command = await _on(box, pty, "bash", "-i")
    os.write(pty.master, b"tty; stty size; sleep 5 & fg\n")
    output = await asyncio.to_thread(_drain, pty.master, "\r\nsleep 5\r\n")
    # The shell names the job before it puts it in front: an interrupt in between would be the shell's own.
    async with asyncio.timeout(10):
        while _in_front(pty.master) != "sleep":
            await asyncio.sleep(0.01)
    os.write(pty.master, b"\x03")
    output += await asyncio.to_thread(_drain, pty.master, "$ ")
    os.write(pty.master, b"exit 3\n")

    assert await command.wait() == 3
    assert "no job control" not in output
    assert pty.name in output and "30 100" in output
    os.close(pty.master)


def _in_front(master: int) -> str:
    """The name of the program that the terminal's keys go to."""
    try:
        with open(f"/proc/{os.tcgetpgrp(master)}/comm") as stream:
            return stream.read().strip()
    except OSError:
        return ""


async def test_a_resized_terminal_tells_the_program(box: Box) -> None:
    pty = await box.sandbox.open_pty(24, 80)
    command = await _on(
        box, pty, "bash", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done"
    )
    while b"ready" not in os.read(pty.master, 100):
        continue

    fcntl.ioctl(pty.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))

    assert await command.wait() == 0
    assert "50 132" in _drain(pty.master)
    os.close(pty.master)


async def test_keys_cannot_be_pushed_into_a_terminal(box: Box) -> None:
    pty = await box.sandbox.open_pty(24, 80)
    script = (
        "import fcntl\n"
        "for request in (0x5412, 0x541C, 0x5412 | 1 << 32, 0x5423):\n"
        "    try: fcntl.ioctl(0, request & 0xFFFFFFFF if request >> 32 else request, b'x'); print('PUSHED')\n"
        "    except OSError as error: print('refused', error.errno)\n"
    )
    command = await _on(box, pty, "/usr/bin/python3", "-c", script)

    output = _drain(pty.master)

    assert await command.wait() == 0
    assert output.count("refused 1\r\n") == 4
    os.close(pty.master)


async def _on(box: Box, pty: Pty, *argv: str):  # type: ignore[no-untyped-def]
    environment = {"PATH": SYSTEM_PATH, "HOME": str(box.place.home), "TERM": "xterm"}
    cwd = str(box.place.workspace)
    return await box.sandbox.spawn(argv, env=environment, cwd=cwd, stdin=pty, stdout=pty, stderr=pty)


def _drain(master: int, until: str | None = None) -> str:
    output = b""
    while until is None or until.encode() not in output:
        ready, _, _ = select.select([master], [], [], 5)
        assert ready, output
        try:
            output += os.read(master, 4096)
        except OSError:
            break
    return output.decode(errors="replace")
