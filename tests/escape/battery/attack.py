"""What an attack is: plain data that names its program, what it needs, and how one sees that it worked.

Nothing here runs anything. `stage.py` builds what an attack works on, `prove.py` carries it out.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import msgspec
from tests.escape.battery.stage import Ran, Stage

Setup = Callable[[Stage], None]
Oracle = Callable[[Stage, Ran], str | None]
"""Looks at the outcome, outside the sandbox where it can. Returns the evidence of success, or None."""


class Kind(StrEnum):
    """The sections of the catalogue."""

    FILES = "files and mounts"
    DELAYED = "delayed execution on the host"
    PROCESSES = "processes, environment, credentials"
    IPC = "inter-process communication"
    KERNEL = "kernel surface"
    NETWORK = "network below the proxy"
    PROXY = "names and the proxy"


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to get out, or to get something out."""

    id: str
    """Section letter and number in the catalogue of attempts, with a letter for a variant: `A4`, `A15b`."""
    kind: Kind
    title: str
    program: str
    """A file in `programs/`, without the suffix. Runs under `/usr/bin/python3 -I`."""
    arguments: tuple[str, ...] = ()
    """Words for the program; `{workspace}`, `{outside}`, `{secret}` and what the set-up adds are filled in."""
    setup: tuple[Setup, ...] = ()
    oracle: Oracle
    ends: tuple[str, ...]
    """How it may end inside: error names, `done` (it noticed nothing), `SIGSYS`, `refused` (nothing was started)."""
    plainly: tuple[str, ...] = ()
    """A prefix for the run without the sandbox, where something has to be there to be attacked."""
    may_lack: str = ""
    """Why a machine can make this impossible by itself. Empty: without a sandbox it must work everywhere."""
    open: str = ""
    """Why this still works inside, in words of the threat model. Empty: it must fail."""
    tier_b_ends: tuple[str, ...] = ()
    """How else it may end in tier B."""
    tier_b_open: str = ""
    """Why this still works in tier B, in words of the threat model."""
    first: str = ""
    """A program for an earlier session in the same workspace: it plants what this session's launch stumbles over."""
    first_arguments: tuple[str, ...] = ()
    arena: bool = False
    """Runs where the addresses of the test's own internet exist."""
    terminal: bool = False
    """Runs with a controlling terminal."""
    stdin: str = "null"
    """`null` or `file`, a file of the host opened for reading."""
    stderr: str = "file"
    """`file` or `folder`, a folder of the host opened for reading."""
    timeout: float = 20.0
    plain_timeout: float = 20.0
    """How long to wait without the sandbox: less where the attack is that nothing comes to an end."""
