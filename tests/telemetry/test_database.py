"""Opening a ledger that other sessions are just making."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_OPENS = """
import os, sys
from ringfence.telemetry.database import open_for_writing
print("ready", flush=True)
sys.stdin.readline()
for at in range(150):
    os.makedirs(f"{sys.argv[1]}/{at}", exist_ok=True)
    open_for_writing(f"{sys.argv[1]}/{at}/ledger.db").close()
"""


@pytest.mark.slow
def test_sessions_that_start_together_on_a_new_ledger_wait_for_each_other(tmp_path: Path) -> None:
    """SQLite may refuse at once to switch a database to its write-ahead log while another does, whatever the limit."""
    command = [sys.executable, "-c", _OPENS, str(tmp_path)]
    sessions = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for session in sessions:
        assert session.stdout is not None
        session.stdout.readline()
    errors = []
    for session in sessions:
        assert session.stdin is not None
        session.stdin.write("go\n")
        session.stdin.flush()
    for session in sessions:
        errors.append(session.communicate()[1][-300:])

    assert errors == [""] * len(sessions)
