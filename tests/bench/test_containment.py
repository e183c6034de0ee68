"""A comparison of sandboxes leaves the machine as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.containment import swept


def test_what_a_killed_sandbox_leaves_behind_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()

    with pytest.raises(KeyboardInterrupt), swept(str(tmp_path)):
        for name in (".agents", ".codex", ".git", "other"):
            (tmp_path / name).mkdir()
        (tmp_path / ".codex" / "settings").touch()
        raise KeyboardInterrupt

    assert sorted(one.name for one in tmp_path.iterdir()) == [".aws", ".codex", "other"]
