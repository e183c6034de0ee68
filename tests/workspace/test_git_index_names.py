"""Git's own index files are taken as they are; one with a name that leads out of the working tree is found."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.control_files import is_reported
from ringfence.workspace.changes import changes_since
from ringfence.workspace.git_index_names import misleads

HOSTILE = [
    b"../x",
    b"/etc/x",
    b"a/../../x",
    b".git/hooks/x",
    b"a/.GIT/config",
    b"git~1/x",
    b"a//b",
    b"./x",
    b"a/..",
    b".git. /x",
]
HARMLESS = [b"a", b"a/b", b".gitignore", b"a..b/c", b"...", b"git/x", "grün/ß".encode(), b"a/.github/x", b"x" * 5000]


def _index(*names: bytes, hash_size: int = 20) -> bytes:
    body = b"DIRC" + struct.pack(">2I", 2, len(names))
    for name in names:
        entry = bytes(40) + os.urandom(hash_size) + struct.pack(">H", min(len(name), 0xFFF)) + name
        body += entry + bytes(8 - len(entry) % 8)
    return body + hashlib.sha1(body).digest()


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
@pytest.mark.parametrize("hash_size", [20, 32])
def test_a_name_that_leads_astray_is_found(name: bytes, hash_size: int) -> None:
    assert misleads(_index(b"a", name, b"z", hash_size=hash_size))


@given(names=st.lists(st.sampled_from(HARMLESS), max_size=8), hash_size=st.sampled_from([20, 32]))
def test_other_names_pass(names: list[bytes], hash_size: int) -> None:
    assert not misleads(_index(*names, hash_size=hash_size))


@given(data=st.binary(max_size=300))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    assert misleads(b"DIRC" + struct.pack(">2I", 4, 3) + data) in (True, False)
    assert not misleads(data)


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("options", [(), ("--object-format=sha256",)], ids=["sha1", "sha256"])
def test_what_git_writes_passes(version: int, options: tuple[str, ...], tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(("git", "-C", str(tmp_path), *words), check=True, capture_output=True)

    git("init", "-q", *options, ".")
    for name in ("a", "a..b", "d/.gitignore", "d/e/f", "d/e/g", "long/" + "n" * 200):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    git("add", "-A")
    (tmp_path / "later").touch()
    git("add", "-N", "later")
    git("update-index", "--index-version", str(version))

    assert not misleads((tmp_path / ".git" / "index").read_bytes())


def test_a_hostile_index_is_told_and_gits_own_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "sub" / ".git"
    folder.mkdir(parents=True)
    (folder / "index").write_bytes(_index(b"a"))
    before = changes_since(str(tmp_path), 0, is_reported).control_files
    (folder / "index").write_bytes(_index(b"../../x"))
    (folder / "sharedindex.abc").symlink_to("index")

    after = changes_since(str(tmp_path), 0, is_reported).control_files

    assert (before, after) == ((), ("sub/.git/index", "sub/.git/sharedindex.abc"))
