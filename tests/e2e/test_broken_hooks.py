"""Every agent lets a tool call run when its hook breaks. With ours, whichever part is broken, the call is denied.

The sandbox is left away here on purpose, so that nothing but the hook can be what stops the call.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.broken_hook import PARTS
from tests.e2e.installed import REPOSITORY, cache_folder
from tests.e2e.place import SOURCE

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def folder(programs: Path) -> Iterator[Path]:
    """A folder that is not below /tmp, where Codex does not like its settings to be."""
    made = Path(tempfile.mkdtemp(prefix="hook-", dir=cache_folder()))
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("agent", ["codex", "claude"])
def test_a_broken_part_of_the_hooks_denies(agent: str, part: str, folder: Path, programs: Path) -> None:
    unshare = ["unshare", "--mount", *([] if os.getuid() == 0 else ["--user", "--map-root-user"])]
    argv = [*unshare, sys.executable, "-m", "tests.e2e.broken_hook", agent, part, str(folder), str(programs)]
    environ = {**os.environ, "PYTHONPATH": str(SOURCE)}

    done = subprocess.run(argv, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=120, check=False)

    ran = (folder / "workspace" / "ran.txt").exists()
    assert done.returncode == 0, done.stderr
    assert ran == (part == "nothing")
    assert ("hook" in done.stdout) == (part != "nothing")
