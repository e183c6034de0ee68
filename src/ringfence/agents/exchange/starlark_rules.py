"""Codex rules are programs in Starlark. They are evaluated in a process of its own that has nothing; what it prints is
checked here like any input, and every error has the place in the rules where it arose.
"""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile

import msgspec

from ringfence.agents.exchange import starlark_child
from ringfence.model.situations import Diagnostic, PolicyInvalid, RingfenceError
from ringfence.policy.schema import escaped

WALL_SECONDS = 10.0
MODULE = "starlark"
_EXCEPTION = re.compile(r"^[A-Za-z]+Error: ")
REMEDY = "correct the file; `codex execpolicy check --rules FILE -- COMMAND` says what Codex makes of it"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a rule function, with the line that made it."""

    function: str
    line: int
    positional: tuple[object, ...]
    named: dict[str, object]


class _Located(msgspec.Struct, frozen=True):
    line: int
    column: int
    message: str


class _Answer(msgspec.Struct, frozen=True):
    calls: tuple[Call, ...] = ()
    error: _Located | None = None


def evaluated(source: bytes, *, file: str) -> tuple[Call, ...]:
    """The calls that a rules file makes; `PolicyInvalid` where Codex would not load it either."""
    folder = _interpreter()
    _check_text(source, file)
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                (sys.executable, "-I", "-S", starlark_child.__file__, folder),
                input=source,
                stdout=output,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={},
                timeout=WALL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _refused(file, f"the rules did not end within {WALL_SECONDS:.0f} seconds") from None
        if done.returncode:
            raise _refused(file, _death(done.returncode))
        output.seek(0)
        return _answered(output.read(starlark_child.OUTPUT_BYTES + 1), file)


def _interpreter() -> str:
    """The folder that the interpreter of Starlark lies in."""
    spec = importlib.util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        raise RingfenceError(
            "rules of Codex are Starlark programs, and no interpreter of Starlark is installed",
            remedy="install it with `pip install 'ringfence[import]'`",
        )
    return os.path.dirname(os.path.dirname(spec.origin))


def _check_text(source: bytes, file: str) -> None:
    try:
        source.decode("utf-8")
    except UnicodeDecodeError as error:
        before = source[: error.start]
        column = error.start - (before.rfind(b"\n") + 1) + 1
        message = f"byte 0x{source[error.start]:02x} is not UTF-8"
        raise _at(file, before.count(b"\n") + 1, column, message) from None


def _answered(data: bytes, file: str) -> tuple[Call, ...]:
    try:
        answer = msgspec.json.decode(data, type=_Answer)
    except msgspec.DecodeError as error:
        raise _refused(file, f"what their evaluation printed is not understood: {error}") from error
    if answer.error is not None:
        raise _at(file, answer.error.line, answer.error.column, _worded(answer.error.message))
    return answer.calls


def _worded(message: str) -> str:
    if "load" in message and "not allowed" in message:
        return "`load()` is refused: each file of rules is read on its own"
    plain = _EXCEPTION.sub("", message)
    return escaped(plain[:1].lower() + plain[1:])


def _death(code: int) -> str:
    memory = starlark_child.MEMORY_BYTES // (1024 * 1024)
    match -code:
        case signal.SIGXCPU | signal.SIGKILL:
            return f"the rules took more than {starlark_child.CPU_SECONDS} seconds of computing"
        case signal.SIGABRT | signal.SIGSEGV:
            return f"the rules took more than {memory} MiB of memory, or nested too deeply"
        case _:
            output = starlark_child.OUTPUT_BYTES // (1024 * 1024)
            return f"their evaluation failed; it may take {memory} MiB of memory and make {output} MiB of rules"


def _refused(file: str, message: str) -> PolicyInvalid:
    return _at(file, 1, 1, message)


def _at(file: str, line: int, column: int, message: str) -> PolicyInvalid:
    return PolicyInvalid((Diagnostic(file=file, line=line, column=column, message=message),), remedy=REMEDY)
