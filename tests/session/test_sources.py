from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import ringfence
from ringfence.session.sources import own_package, own_program


def test_only_what_exists_counts_as_our_own_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bin/ringfence"])
    monkeypatch.chdir(tmp_path)

    without = own_program()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ringfence").touch()
    after = own_program()

    assert all(map(os.path.exists, without))
    assert set(after) - set(without) == {str(tmp_path / "bin" / "ringfence")}


def test_the_package_is_named_where_it_lies_outside_of_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = os.path.dirname(ringfence.__file__)

    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    editable = own_package()
    monkeypatch.setattr(sys, "prefix", os.path.dirname(package))
    installed = own_package()

    assert (editable, installed) == (package, None)
