"""Signed checkpoints, in the format that other tools of transparency logs read."""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

import pytest

from ringfence.telemetry import notes

CHECKPOINT = notes.Checkpoint("ringfence.local/test", 7, bytes(range(32)))


@pytest.fixture
def key_file(tmp_path: Path) -> str:
    return str(tmp_path / "key")


def published(key_file: str) -> notes.VerifierKey:
    return notes.parse_key(Path(f"{key_file}.pub").read_text())


def test_a_key_of_the_reference_implementation_is_read() -> None:
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"

    key = notes.parse_key(text)

    assert (key.name, key.hash.hex(), str(key)) == ("PeterNeumann", "c74f20a3", text)


def test_a_note_is_a_checkpoint_with_its_signature(key_file: str) -> None:
    note = notes.sign(CHECKPOINT, key_file)

    key = published(key_file)
    head, _, signature = note.rpartition(f"— {key.name} ")
    assert head == f"ringfence.local/test\n7\n{base64.b64encode(bytes(range(32))).decode()}\n\n"
    raw = base64.b64decode(signature)
    assert (raw[:4], len(raw)) == (key.hash, 4 + 64)
    assert notes.verify(note, key) == CHECKPOINT


def test_the_key_is_its_owners_alone_and_stays(key_file: str) -> None:
    first = notes.sign(CHECKPOINT, key_file)
    second = notes.sign(CHECKPOINT, key_file)

    assert first == second
    assert stat.S_IMODE(os.stat(key_file).st_mode) == 0o600


@pytest.mark.parametrize(
    ("before", "after"),
    [("\n7\n", "\n8\n"), ("local/test", "local/tesT"), ("AAEC", "AAED"), ("\n7\n", "\n07\n")],
)
def test_a_changed_note_does_not_verify(key_file: str, before: str, after: str) -> None:
    note = notes.sign(CHECKPOINT, key_file)
    assert before in note

    with pytest.raises(notes.NoteInvalid):
        notes.verify(note.replace(before, after, 1), published(key_file))


def test_a_note_by_another_key_does_not_verify(key_file: str, tmp_path: Path) -> None:
    note = notes.sign(CHECKPOINT, key_file)
    notes.sign(CHECKPOINT, str(tmp_path / "other"))

    with pytest.raises(notes.NoteInvalid, match="not signed by this ledger's key"):
        notes.verify(note, published(str(tmp_path / "other")))


@pytest.mark.parametrize("text", ["", "x", "a\n1\nAA==\n", "a\n-1\nAA==\n\n— k AAAA\n", "a\nb\nc\n\n— k !\n"])
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(notes.NoteInvalid):
        notes.parse(text)


def test_a_file_of_notes_is_taken_apart(key_file: str) -> None:
    first, second = notes.sign(CHECKPOINT, key_file), notes.sign(CHECKPOINT._replace(size=9), key_file)

    assert notes.notes_in(f"{first}\n{second}\n") == [first, second]


def test_a_key_that_is_a_link_is_not_made(key_file: str, tmp_path: Path) -> None:
    os.symlink(tmp_path / "elsewhere", key_file)

    with pytest.raises(FileExistsError):
        notes.sign(CHECKPOINT, key_file)

    assert not (tmp_path / "elsewhere").exists()
