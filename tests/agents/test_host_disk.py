"""The host's files as a profile sees them: whatever is not a plain file of reasonable size is not there."""

from __future__ import annotations

import os
from pathlib import Path

from ringfence.agents.host_disk import LARGEST, HostDisk


def test_a_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert HostDisk().read_file(str(tmp_path / "link")) == b"content"


def test_what_is_no_plain_file_is_not_read_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as large:
        large.truncate(LARGEST + 1)
    disk = HostDisk()

    assert [disk.read_file(str(tmp_path / name)) for name in ("pipe", "large", "missing", ".")] == [None] * 4
    assert disk.exists(str(tmp_path / "pipe"))
    assert not disk.exists(str(tmp_path / "missing"))


def test_a_link_that_leads_nowhere_exists(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "missing")

    assert HostDisk().exists(str(tmp_path / "dangling"))


def test_a_folder_is_listed_in_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).touch()

    assert HostDisk().list_folder(str(tmp_path)) == ("a", "b")
    assert HostDisk().list_folder(str(tmp_path / "missing")) == ()
