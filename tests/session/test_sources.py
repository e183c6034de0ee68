from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ringfence.session.sources import own_program


def test_only_what_exists_counts_as_our_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bin/ringfence"])
    monkeypatch.chdir(tmp_path)

    without = own_program()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ringfence").touch()
    after = own_program()

    assert all(map(os.path.exists, without))
    assert set(after) - set(without) == {str(tmp_path / "bin" / "ringfence")}
