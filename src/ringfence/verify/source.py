"""Turns an attack program into one string that any Python runs with `-c`, so that no file has to be visible inside."""

from __future__ import annotations

import base64
import json
import os
import sys
from functools import cache
from importlib.abc import Traversable
from importlib.resources import files

_SYSTEM = "/usr/bin/python3"

_LOADER = """\
import sys, types
prelude = types.ModuleType("prelude")
exec(compile({prelude!r}, "prelude", "exec"), prelude.__dict__)
sys.modules["prelude"] = prelude
exec(compile({program!r}, {name!r}, "exec"), {{"__name__": "__main__"}})
"""


def interpreter() -> str:
    """The system's interpreter, which is visible in every sandbox; else the one that ours is made of."""
    return _SYSTEM if os.access(_SYSTEM, os.X_OK) else os.path.realpath(sys.executable)


def library() -> str:
    """What has to be readable for the interpreter beside what is on PATH; empty for the system's."""
    return "" if interpreter() == _SYSTEM else sys.base_prefix


def command(name: str, arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The argv that carries out the program `name`."""
    if _program(f"{name}.sh").is_file():
        return ("/bin/sh", "-c", f"echo 'attack: began'\n{_program(f'{name}.sh').read_text()}", name, *arguments)
    # SECURITY: an attacker hides what it is about to do. Else the rules for commands would stop some of these attacks
    # by their words, and the layer that has to stop them would not be tried.
    hidden = base64.b64encode(json.dumps(arguments).encode()).decode()
    return (interpreter(), "-I", "-S", "-c", source(name), hidden)


@cache
def source(name: str) -> str:
    """The Python program `name`, with the prelude that reports how it ended."""
    prelude, program = (_program(f"{part}.py").read_text() for part in ("prelude", name))
    return _LOADER.format(prelude=prelude, program=program, name=name)


def _program(file: str) -> Traversable:
    return files(__package__).joinpath("programs", file)
