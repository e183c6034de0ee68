"""The script: a list of turns, each a sentence to say or tool calls to make, independent of any wire format.

Read from JSON as `[{"say": "hello"}, {"shell": "ls"}, [{"write": ["a.txt", "text"]}, {"read": "a.txt"}]]`; a list in
the list is one turn with several calls. `{"call": "Name", "input": {...}}` calls any tool by its own name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Say:
    """Answer with text, which ends the agent's turn."""

    text: str


@dataclass(frozen=True)
class Shell:
    """Call the agent's shell tool."""

    command: str


@dataclass(frozen=True)
class Write:
    """Call the agent's tool that creates a file."""

    path: str
    content: str


@dataclass(frozen=True)
class Read:
    """Call the agent's tool that reads a file; a shell command for agents that have none."""

    path: str


@dataclass(frozen=True)
class Call:
    """Call any tool by the name that the agent gave it."""

    name: str
    input: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    """The input of a tool that takes free text instead of an object."""


Step: TypeAlias = Say | Shell | Write | Read | Call
Turn: TypeAlias = tuple[Step, ...]


def read_script(text: str) -> list[Turn]:
    """The turns of a script in JSON."""
    return [tuple(map(_step, turn if isinstance(turn, list) else [turn])) for turn in json.loads(text)]


def _step(raw: dict[str, Any]) -> Step:
    match raw:
        case {"say": str(text)}:
            return Say(text)
        case {"shell": str(command)}:
            return Shell(command)
        case {"write": [str(path), str(content)]}:
            return Write(path, content)
        case {"read": str(path)}:
            return Read(path)
        case {"call": str(name), "text": str(text)}:
            return Call(name, text=text)
        case {"call": str(name)}:
            return Call(name, raw.get("input", {}))
    raise ValueError(f"a step of the script is not known: {raw}")
