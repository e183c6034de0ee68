"""Files are told by what they are, under whatever name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringfence.sandbox import hard_links, scan
from ringfence.sandbox.hard_links import files_behind


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """With other names of a key and of an object that our state keeps, and files that have one name only."""
    (tmp_path / "keys" / "deep").mkdir(parents=True)
    (tmp_path / "keys" / "deep" / "key").write_text("key")
    (tmp_path / "keys" / "own").write_text("own")
    objects = tmp_path / "state" / "snapshots" / "a" / "objects"
    objects.mkdir(parents=True)
    (objects / "kept").write_text("object")
    (tmp_path / "w" / "in").mkdir(parents=True)
    os.link(tmp_path / "keys" / "deep" / "key", tmp_path / "w" / "in" / "other\nname")
    os.link(objects / "kept", tmp_path / "w" / "object")
    (tmp_path / "w" / "file").write_text("mine")
    return tmp_path / "w"


def test_other_names_of_denied_files_are_found_and_those_of_our_own_copies_are_not(workspace: Path) -> None:
    above = workspace.parent

    files, whole = files_behind((f"{above}/keys", f"{above}/state", f"{above}/missing"), f"{above}/state")

    assert scan.matches(str(workspace), (), files=files).linked == ["in/other\nname"]
    assert whole


def test_what_is_too_much_to_look_at_is_told(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hard_links, "LIMIT", 2)

    files, whole = files_behind((f"{workspace.parent}/keys",), "/nowhere")

    assert (scan.matches(str(workspace), (), files=files).linked, whole) == ([], False)
