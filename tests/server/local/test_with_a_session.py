"""A real session that asks on the page: the answer by passkey lets the command run, and the record shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.server.local.authenticator import Authenticator
from tests.server.local.client import Client
from tests.server.local.serving import running

pytestmark = pytest.mark.slow
POLICY = """
extends = ["workspace"]
[[commands.rule]]
id = "asked"
verdict = "ask"
prefix = ["echo"]
[[approvals.quorum]]
who = [":owner"]
assurance = "passkey"
"""


def test_a_command_runs_once_a_passkey_has_approved_it(tmp_path: Path) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    with running(tmp_path, POLICY) as site:
        client, key = Client(site), Authenticator()
        client.add(key)
        environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
        words = [sys.executable, "-m", "ringfence"]
        session = subprocess.Popen(
            [*words, "exec", "--ask", "web", "--", "echo", "hello"],
            cwd=workspace,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(300):
            if asked := site.desk.unfinished():
                break
            time.sleep(0.05)
        (request,) = asked
        by_account = subprocess.run(
            [*words, "approvals", "approve", request.id], env=environment, capture_output=True, text=True, check=False
        )
        ceremony, challenge = client.begin(request.id, request.shown)
        sent = {"ceremony": ceremony, "assertion": key.get(challenge, site.origin)}
        answered = client.post(f"/requests/{request.id}/approve", sent)
        out, err = session.communicate(timeout=60)
        verified = subprocess.run(
            [*words, "log", "verify"], env=environment, capture_output=True, text=True, check=False
        )

    assert (by_account.returncode, "with a passkey here: `ringfence ui`" in by_account.stdout) == (1, True)
    assert answered == (200, {"text": "approved, once", "state": "approved"})
    assert (out, session.returncode) == ("hello\n", 0), err
    assert (verified.returncode, "1 signed vote" in verified.stdout) == (0, True), json.dumps(verified.stdout)
