"""What an attack works on: a home with secrets, a workspace in it, files outside it, victims, and listeners.

A stage is used for one run and then thrown away, so that one attack never leaves something for the next.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Self

import msgspec

from ringfence.verify.ear import Ear, Origin

SECRET_NAME = "DEPLOY_SIGNING_TOKEN"
"""The variable that holds the secret in the environment of whoever starts the sandbox."""

_PATIENCE = 100
"""How often a stage that fills again is cleared away: every twentieth of a second."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account the sandbox is started from."""

    name: str
    uid: int
    gid: int


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left: its status and its output."""

    status: int
    """The exit code as the shell counts it; 124 when it had to be ended."""
    output: str
    errors: str

    @property
    def began(self) -> bool:
        """The attack program itself was reached. Without this a failed attack proves nothing."""
        return "attack: began" in self.output

    @property
    def ended(self) -> str:
        """How the attempt ended: the program's own last word, else the signal that ended it."""
        words = [line.removeprefix("attack: ended ") for line in self.output.splitlines() if "attack: ended " in line]
        if words:
            return words[-1]
        if not self.began:
            return "refused" if self.status == 125 else f"did not start ({self.status})"
        return {128 + 31: "SIGSYS", 128 + 9: "SIGKILL", 124: "timeout"}.get(self.status, f"status {self.status}")


class Stage:
    """The folders and helpers of one run."""

    def __init__(self, person: Person, secret: str) -> None:
        self.person = person
        self.secret = secret
        self.base = tempfile.mkdtemp(prefix="ringfence-battery-", dir=_place())
        self.home = os.path.join(self.base, "home")
        self.workspace = os.path.join(self.home, "project")
        self.outside = os.path.join(self.home, "private")
        self.words = {"workspace": self.workspace, "home": self.home, "outside": self.outside, "secret": secret}
        self.words |= {"base": self.base, "deep": self.workspace + "/d" * 60}
        self.environment: dict[str, str] = {}
        self.allowed: tuple[str, ...] = ()
        """The hosts that the person's policy lets through."""
        self.inherited: tuple[int, ...] = ()
        """Descriptors that whoever starts the sandbox forgot to close."""
        self.undo = ExitStack()
        self.during: list[Callable[[int], None]] = []
        """Called while the attack runs, with the number of the outermost process."""
        self.evidence: list[str] = []
        """What helpers saw."""
        self.ear: Ear | None = None
        self.origins: dict[str, Callable[[], Origin]] = {}
        """What serves the connections of a listener, by its name."""
        self.arena_prefix: tuple[str, ...] = ()
        """The argv prefix that starts a command in the arena."""
        self.network = 0
        """The process whose network is the arena; 0: none."""
        os.chmod(self.base, 0o755)
        for folder in (self.home, self.workspace, self.outside):
            self.folder(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.undo.close()
        # The writer of a record finishes in its own time, and may still make a file.
        for _ in range(_PATIENCE):
            shutil.rmtree(self.base, ignore_errors=True)
            if not os.path.lexists(self.base):
                return
            time.sleep(0.05)

    def folder(self, path: str) -> str:
        """Make a folder that belongs to the person."""
        os.makedirs(path, exist_ok=True)
        self.own(path)
        return path

    def file(self, path: str, content: str, mode: int = 0o644) -> str:
        """Write a file that belongs to the person, and the folders above it."""
        missing = os.path.dirname(path)
        above = []
        while not os.path.isdir(missing):
            above.append(missing)
            missing = os.path.dirname(missing)
        for folder in reversed(above):
            self.folder(folder)
        with suppress(FileNotFoundError):
            os.unlink(path)  # it may be read-only
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(content)
        os.chmod(path, mode)
        self.own(path)
        return path

    def fill(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """The arguments of an attack, with this stage's paths and ports."""
        return tuple(word.format_map(self.words) for word in words)

    def own(self, path: str) -> None:
        """Give something to the person, where that is somebody else."""
        if os.getuid() == 0:
            os.chown(path, self.person.uid, self.person.gid, follow_symlinks=False)


def _place() -> str:
    """Beside /tmp, which some sandboxes leave to be written by design: that would prove nothing."""
    return "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()
