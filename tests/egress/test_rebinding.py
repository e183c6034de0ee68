"""A name that is public when it is checked and private when it is dialled: a real resolver and a real DNS server."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_a_name_is_resolved_once_and_what_was_checked_is_dialled() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.egress.rebinding"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "said": {"first": "200", "again": "200", "later": "403", "both": "200", "own": "403"},
        "dialled": ["93.184.216.34", "93.184.216.34", "93.184.216.34"],
        "asked": ["turns.test", "turns.test", "both.test", "own.test"],
        "refused": ["address.metadata", "address.private"],
    }
