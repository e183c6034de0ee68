"""`ringfence ui` as a process of its own, and the desk that sessions would open their requests at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from tests.approvals.made import command, decision

from ringfence.approvals.desk import Desk
from ringfence.approvals.objects import Request
from ringfence.approvals.prompt import prompt
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.voting import Terms
from ringfence.model.decision import Risk
from ringfence.model.ids import new_id
from ringfence.telemetry.presence import Presence


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A running page and what is behind it."""

    address: str
    """The one-time address that it printed."""
    state: Path
    desk: Desk

    @property
    def origin(self) -> str:
        return self.address.partition("/enter")[0]

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    def asks(self, *argv: str, terms: Terms | None = None, risk: Risk = Risk.LOW) -> Request:
        """Open a request, as a session does."""
        wanted = msgspec.structs.replace(decision(command(*argv)), risk=risk)
        opened, _ = self.desk.open(
            wanted,
            session="session-1",
            workspace="/w",
            channel="web",
            prompt=prompt(wanted),
            seconds=600,
            terms=terms,
        )
        return opened


@contextmanager
def running(state: Path, policy: str = "") -> Iterator[Site]:
    """The page under a policy of the user, until the end of the block."""
    config = state / "config" / "ringfence"
    config.mkdir(parents=True)
    (config / "policy.toml").write_text(policy or 'extends = ["workspace"]\n')
    folder = state / "ringfence"
    folder.mkdir(exist_ok=True)
    recording = Presence(str(folder / "recording"), "session-1")
    desk = Desk(SqliteStore(str(folder / "approvals.db")), time.time_ns, new_id)
    process = subprocess.Popen(
        [sys.executable, "-m", "ringfence", "ui"],
        env={**os.environ, "XDG_STATE_HOME": str(state), "XDG_CONFIG_HOME": str(state / "config")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Site(address=process.stdout.readline().removeprefix("open ").strip(), state=folder, desk=desk)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        recording.end()
    # Nothing that happened was an error of the program, and ^C ends it without one, whoever still looks at the page.
    assert [line for line in said.splitlines() if "hooks" not in line] == ["good once, for ten minutes; ^C ends it"]
    assert process.returncode == 130
