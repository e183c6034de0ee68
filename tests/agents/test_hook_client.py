"""The hook client as a real process: whatever breaks around it, it denies in all three ways that agents understand."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringfence.agents import hook_wire
from ringfence.agents.agent import AgentRequest, HookAnswer
from ringfence.agents.hook_command import CLIENT, hook_command

PYTHON = os.path.realpath(sys.executable)
ALLOW = HookAnswer(stdout=b'{"hookSpecificOutput": {}}\n', stderr=b"", exit_code=0)


def ask(
    place: Path, payload: bytes = b"{}", *, event: str = "PreToolUse", seconds: int = 5, **streams: object
) -> subprocess.CompletedProcess[bytes]:
    argv = [PYTHON, "-I", "-S", CLIENT, event, str(seconds), str(place / "hook.sock")]
    if "stdin" not in streams:
        streams["input"] = payload
    return subprocess.run(argv, capture_output=True, timeout=20, check=False, **streams)  # type: ignore[call-overload,no-any-return]


@contextmanager
def session(place: Path, behave: Callable[[socket.socket], None]) -> Iterator[None]:
    """A listener that treats its only visitor in a certain way."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "hook.sock"))
    listener.listen(1)
    listener.settimeout(10)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            behave(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        listener.close()


def read_question(connection: socket.socket) -> tuple[str, bytes]:
    stream = connection.makefile("rb")
    length = hook_wire.body_length(stream.read(hook_wire.HEADER), hook_wire.QUESTION)
    return hook_wire.read_question(stream.read(length))


def answer_with(data: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_question(connection)
        connection.sendall(data)

    return behave


def assert_denied(done: subprocess.CompletedProcess[bytes]) -> None:
    output = json.loads(done.stdout)["hookSpecificOutput"]
    assert output["permissionDecision"] == "deny"
    assert output["permissionDecisionReason"].startswith("ringfence could not be asked")
    assert done.stderr.strip()
    assert done.returncode == 2


def test_the_answer_is_printed_as_it_came(tmp_path: Path) -> None:
    content = HookAnswer(stdout=b"out\n", stderr=b"err\n", exit_code=2)
    seen = []

    def behave(connection: socket.socket) -> None:
        seen.append(read_question(connection))
        connection.sendall(hook_wire.answer(content))

    with session(tmp_path, behave):
        done = ask(tmp_path, b'{"tool_name": "Bash"}')

    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 2)
    assert seen == [("PreToolUse", b'{"tool_name": "Bash"}')]


def test_without_a_socket_it_denies(tmp_path: Path) -> None:
    assert_denied(ask(tmp_path))


def test_a_socket_that_nobody_listens_on_denies(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "hook.sock"))

    assert_denied(ask(tmp_path))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RFA1",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"RFA1\xff\xff\xff\xff",
        b"RFA1\0\0\0\0",
        hook_wire.answer(ALLOW)[:-3],
        b"RFA1\0\0\0\5\0\0\0\0\x63",
        b"RFA1\0\0\0\5\1\0\0\0\0",
    ],
    ids=["nothing", "half a header", "http", "too long", "empty", "cut off", "length that lies", "exit code 1"],
)
def test_a_garbled_answer_denies(tmp_path: Path, data: bytes) -> None:
    with session(tmp_path, answer_with(data)):
        assert_denied(ask(tmp_path))


def test_a_session_that_dies_while_it_thinks_denies(tmp_path: Path) -> None:
    with session(tmp_path, lambda connection: None):
        assert_denied(ask(tmp_path))


@pytest.mark.slow
def test_an_answer_that_does_not_come_denies_at_the_deadline(tmp_path: Path) -> None:
    with session(tmp_path, lambda connection: (read_question(connection), connection.recv(1))[1]):
        done = ask(tmp_path, seconds=1)

    assert_denied(done)
    assert b"nobody answered in time" in done.stderr


@pytest.mark.slow
def test_standard_input_that_never_ends_denies_at_the_deadline(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    try:
        done = ask(tmp_path, seconds=1, stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)

    assert_denied(done)


@pytest.mark.slow
def test_a_huge_input_is_drained_and_denied(tmp_path: Path) -> None:
    done = ask(tmp_path, b"x" * (hook_wire.LARGEST + 1_000_000))

    assert_denied(done)
    assert b"16 MiB" in done.stderr


def test_a_large_input_below_the_limit_arrives_whole(tmp_path: Path) -> None:
    seen = []

    def behave(connection: socket.socket) -> None:
        seen.append(len(read_question(connection)[1]))
        connection.sendall(hook_wire.answer(ALLOW))

    with session(tmp_path, behave):
        done = ask(tmp_path, b"x" * 3_000_000)

    assert (seen, done.returncode) == ([3_000_000], 0)


def test_closed_standard_input_denies(tmp_path: Path) -> None:
    script = f"exec {shlex.join([PYTHON, '-I', '-S', CLIENT, 'PreToolUse', '5', str(tmp_path / 'none')])} <&-"

    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, timeout=20, check=False)

    assert_denied(done)


def test_an_allowance_that_cannot_be_printed_denies(tmp_path: Path) -> None:
    with session(tmp_path, answer_with(hook_wire.answer(ALLOW))):
        argv = [PYTHON, "-I", "-S", CLIENT, "PreToolUse", "5", str(tmp_path / "hook.sock")]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(argv, input=b"{}", stdout=full, stderr=subprocess.PIPE, timeout=20, check=False)

    assert done.returncode == 2
    assert done.stderr


@pytest.mark.parametrize("arguments", [[], ["PreToolUse"], ["PreToolUse", "soon"]], ids=str)
def test_wrong_arguments_deny(arguments: list[str]) -> None:
    argv = [PYTHON, "-I", "-S", CLIENT, *arguments]

    assert_denied(subprocess.run(argv, input=b"{}", capture_output=True, timeout=20, check=False))


def test_after_a_tool_the_denial_has_that_events_form(tmp_path: Path) -> None:
    done = ask(tmp_path, event="PostToolUse")

    assert json.loads(done.stdout)["decision"] == "block"
    assert done.returncode == 2


def run_configured(interpreter: str) -> subprocess.CompletedProcess[bytes]:
    """The command line as an agent runs it, on this machine, where the client is not in its place."""
    request = AgentRequest(argv=("codex",), environ={}, home="/h", workspace="/w", session="s", interpreter=interpreter)
    command = hook_command(request, "PreToolUse")
    return subprocess.run(["bash", "-c", command], input=b"{}", capture_output=True, timeout=20, check=False)


@pytest.mark.parametrize("interpreter", ["/nonexistent/python", "/bin/false", PYTHON])
def test_a_missing_interpreter_or_client_ends_in_2_with_a_reason(interpreter: str) -> None:
    done = run_configured(interpreter)

    assert done.returncode == 2
    assert done.stderr.strip()


def test_an_interpreter_that_is_killed_ends_in_2_with_a_reason(tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)

    done = run_configured(str(program))

    assert done.returncode == 2
    assert b"ended with code 137" in done.stderr
