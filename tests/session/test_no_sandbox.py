"""A session without a sandbox says what of the policy does not hold there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
import ringfence.session.opening as opening
from ringfence.cli.entry import main
opening.require = lambda *_: ("C",)
sys.argv = ["ringfence", "exec", "--ask", "deny", "--", "true"]
sys.exit(main())
"""
POLICY = """
[sandbox]
min_tier = "C"
boundary = "a virtual machine"
"""
CREDENTIAL = """
[[credentials]]
id = "x"
source = { environment = "TOKEN_OF_MINE" }
form = "bearer"
hosts = ["api.test"]
variables = ["TOKEN"]
"""


@pytest.mark.slow
@pytest.mark.parametrize("more", ["", CREDENTIAL])
def test_credentials_in_the_reach_of_what_runs_are_said(more: str, tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "ringfence"
    settings.mkdir(parents=True)
    (settings / "policy.toml").write_text(POLICY + more)
    project = tmp_path / "project"
    project.mkdir()

    done = subprocess.run(
        (sys.executable, "-c", PROGRAM),
        cwd=project,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TOKEN_OF_MINE": "a-secret-value"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert ("can read the real ones" in done.stderr) is bool(more)
