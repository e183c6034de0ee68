"""What an attack is: plain data that names its program, what it needs, and how one sees that it worked.

Nothing here runs anything. `battery.py` reads the rows, `stage.py` builds what an attack works on, `prove.py` carries
it out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

import msgspec

Words: TypeAlias = tuple[str, ...]
"""A name, and the words for what bears it."""


class Kind(StrEnum):
    """The classes of attacks, each a file in `rows/`."""

    FILES = "files"
    LATER = "later"
    PROCESSES = "processes"
    IPC = "ipc"
    KERNEL = "kernel"
    NETWORK = "network"
    NAMES = "names"

    @property
    def label(self) -> str:
        """What people read."""
        return _TITLES[self]


_TITLES = {
    Kind.FILES: "files and mounts",
    Kind.LATER: "what runs later on the host",
    Kind.PROCESSES: "processes and credentials",
    Kind.IPC: "other programs, the terminal",
    Kind.KERNEL: "surface of the kernel",
    Kind.NETWORK: "network below the proxy",
    Kind.NAMES: "names and the proxy",
}


class Attack(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attempt to get out, or to get something out. Words in braces are filled in by the stage."""

    id: str
    """The letter and number of the attempt in `attempts.toml`, with a letter for a variant: `A4`, `A15b`."""
    title: str
    attack: Words
    """A file in `programs/`, without the suffix, and its words."""
    works: Words
    """The oracle, a name of `oracles.py`: looks at the outcome, outside the sandbox where it can."""
    ends: Words
    """How it may end inside: error names, `done` (it noticed nothing), `SIGSYS`, `refused` (nothing was started)."""
    kind: Kind = Kind.FILES
    """The file that the row stands in."""
    tiers: str = "AB"
    """Where it is tried."""
    setup: tuple[Words, ...] = ()
    """What has to stand before: names of `setups.py` and their words."""
    first: Words = ()
    """An earlier session in the same workspace: it plants what this session's launch stumbles over."""
    plainly: Words = ()
    """A prefix for the run without the sandbox, where something has to be there to be attacked."""
    may_lack: str = ""
    """Why a machine can make this impossible by itself. Empty: without a sandbox it must work everywhere."""
    open: str = ""
    """Why this still works inside, in words of the threat model. Empty: it must fail."""
    tier_b_ends: Words = ()
    """How else it may end in tier B."""
    tier_b_open: str = ""
    """Why this still works in tier B, in words of the threat model."""
    ours: str = ""
    """What of Ringfence itself this attacks, so that it says nothing about another sandbox."""
    arena: bool = False
    """Runs where the addresses of the battery's own internet exist."""
    terminal: bool = False
    """Runs with a controlling terminal."""
    stdin: str = "null"
    """`null` or `file`, a file of the host opened for reading."""
    stderr: str = "file"
    """`file` or `folder`, a folder of the host opened for reading."""
    timeout: float = 20.0
    plain_timeout: float = 20.0
    """How long to wait without the sandbox: less where the attack is that nothing comes to an end."""

    @property
    def program(self) -> str:
        """The file in `programs/`."""
        return self.attack[0]

    def expected(self, tier: str) -> Words:
        """How it may end in a tier, where it is stopped."""
        return (*self.ends, *self.tier_b_ends) if tier == "B" else self.ends

    def known(self, tier: str) -> str:
        """Why it is known to work in a tier; empty where it must fail."""
        return self.open or (self.tier_b_open if tier == "B" else "")
