"""What verifying sees: each way of tampering with a ledger, and where it happened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ringfence.model.canonical import canonical_json
from ringfence.model.situations import LedgerBroken
from ringfence.telemetry import notes, proofs
from ringfence.telemetry.database import append, open_for_writing
from ringfence.telemetry.entries import commitment_of, leaf_content
from ringfence.telemetry.reader import Entry, LedgerReader
from ringfence.telemetry.seal import checkpoint_file, key_file, seal
from ringfence.telemetry.verification import Report, verify

SECOND = 1_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A ledger of 20 entries, with checkpoints after 8 and after 16."""
    path = str(tmp_path / "ledger.db")
    database = open_for_writing(path)
    for number in range(20):
        content = (
            f'{{"id":"e{number}","session":"s","body":{{"event":"notice","topic":"t","text":"{number}"}},"schema":1}}'
        )
        append(database, [("s", "notice", f"e{number}", content.encode())], (number + 1) * SECOND)
        if number in {7, 15}:
            seal(database, path, (number + 1) * SECOND)
    database.close()
    return path


def verified(path: str) -> Report:
    reader = LedgerReader(path)
    try:
        return verify(reader)
    finally:
        reader.close()


def tampered(path: str, *statements: str) -> Report:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()
    return verified(path)


def kinds(report: Report) -> list[tuple[str, int | None]]:
    return [(fault.kind, fault.sequence) for fault in report.faults]


def test_an_untouched_ledger_verifies(path: str) -> None:
    report = verified(path)

    assert (report.entries, report.sealed, report.checkpoints, report.erased) == (20, 16, 2, 0)
    assert report.verified


def test_the_leaf_is_canonical_json() -> None:
    entry = (5, 1795355489185997084, "s", "notice", "e", bytes(32))

    assert leaf_content(*entry) == canonical_json(
        {
            "schema": 1,
            "sequence": 5,
            "time_ns": "1795355489185997084",
            "session": "s",
            "event": "notice",
            "id": "e",
            "commitment": "00" * 32,
        }
    )


def test_erasing_content_and_salt_keeps_the_record_verifiable(path: str) -> None:
    report = tampered(path, "UPDATE entry SET content = NULL, salt = NULL WHERE sequence = 3")

    assert report.verified
    assert report.erased == 1


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE entry SET content = replace(content, '\"3\"', '\"4\"') WHERE sequence = 3", ("content", 3)),
        ("UPDATE entry SET salt = zeroblob(16) WHERE sequence = 3", ("content", 3)),
        ("DELETE FROM entry WHERE sequence = 3", ("gap", 3)),
        ("DELETE FROM entry WHERE sequence IN (3, 4, 5)", ("gap", 3)),
        ("UPDATE entry SET time_ns = 1 WHERE sequence = 3", ("time", 3)),
        ("UPDATE entry SET session = 'x' WHERE sequence = 3", ("content", 3)),
        ("UPDATE entry SET event = 'tool.completed' WHERE sequence = 3", ("content", 3)),
        ("UPDATE entry SET id = 'x' WHERE sequence = 3", ("content", 3)),
        ("DELETE FROM entry WHERE sequence >= 18", ("truncated", 18)),
        ("DELETE FROM entry WHERE sequence >= 10", ("truncated", 10)),
        ("UPDATE ledger SET frontier = zeroblob(64)", ("tree", None)),
        ("UPDATE checkpoint SET note = replace(note, '16', '17') WHERE size = 16", ("checkpoint", None)),
        ("UPDATE checkpoint SET note = 'nothing' WHERE size = 16", ("checkpoint", None)),
    ],
)
def test_tampering_is_seen_where_it_happened(path: str, statement: str, expected: tuple[str, int | None]) -> None:
    report = tampered(path, statement)

    assert not report.verified
    assert kinds(report)[0] == expected


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET commitment = 'text' WHERE sequence = 3",
        "UPDATE entry SET salt = 7 WHERE sequence = 3",
        "UPDATE entry SET time_ns = 'soon' WHERE sequence = 3",
        'UPDATE entry SET session = \'s","x":"\' WHERE sequence = 3',
    ],
)
def test_a_damaged_entry_is_named_and_does_not_stop_whoever_verifies_half_way(path: str, statement: str) -> None:
    with pytest.raises(LedgerBroken, match="entry 3 of the ledger"):
        tampered(path, statement)


def rewrite(path: str, change: Callable[[list[Entry]], Sequence[Entry]]) -> None:
    """What somebody does who knows the format: change the entries and compute everything else anew."""
    from ringfence.telemetry.tree import Frontier

    reader = LedgerReader(path)
    entries = change(list(reader.entries()))
    reader.close()
    tree = Frontier()
    database = sqlite3.connect(path)
    database.execute("DELETE FROM entry")
    for sequence, entry in enumerate(entries):
        assert entry.salt is not None
        assert entry.content is not None
        fresh = entry._replace(sequence=sequence, commitment=commitment_of(entry.salt, entry.content))
        tree.append(fresh.leaf())
        database.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)", fresh)
    database.execute("UPDATE ledger SET size = ?, frontier = ?", (tree.size, tree.packed()))
    database.commit()
    database.close()


def test_a_rewritten_past_contradicts_its_checkpoint(path: str) -> None:
    def other_text(entries: list[Entry]) -> list[Entry]:
        assert entries[10].content is not None
        entries[10] = entries[10]._replace(content=entries[10].content.replace(b'"10"', b'"11"'))
        return entries

    rewrite(path, other_text)

    report = verified(path)
    assert set(kinds(report)) == {("checkpoint", 8)}
    assert report.sealed == 8


def test_a_past_without_one_event_contradicts_its_checkpoint(path: str) -> None:
    rewrite(path, lambda entries: entries[:3] + entries[4:])

    assert ("checkpoint", 0) in kinds(verified(path))


def test_a_ledger_cut_back_behind_a_kept_checkpoint_is_seen(path: str) -> None:
    rewrite(path, lambda entries: entries[:12])

    report = tampered(path, "DELETE FROM checkpoint WHERE size = 16")

    assert kinds(report) == [("truncated", 12)]
    assert report.faults[0].text == (
        "a checkpoint in the file of checkpoints covers 16 entries, but the ledger holds 12"
    )


def test_entries_cut_off_behind_the_last_checkpoint_are_what_cannot_be_seen(path: str) -> None:
    rewrite(path, lambda entries: entries[:17])

    report = verified(path)

    assert report.verified
    assert (report.entries, report.sealed) == (17, 16)


def test_checkpoints_without_their_key_do_not_count(path: str) -> None:
    os.unlink(f"{key_file(path)}.pub")

    report = verified(path)

    assert kinds(report) == [("key", None)]
    assert (report.checkpoints, report.sealed) == (0, 0)


def test_a_checkpoint_by_somebody_elses_key_does_not_count(path: str, tmp_path: Path) -> None:
    reader = LedgerReader(path)
    state = reader.state()
    reader.close()
    forged = notes.sign(notes.Checkpoint(state.origin, state.size, state.root()), str(tmp_path / "other"))
    with open(checkpoint_file(path), "a") as stream:
        stream.write(forged + "\n")

    report = verified(path)

    assert kinds(report) == [("checkpoint", None)]
    assert report.sealed == 16


def test_time_never_goes_back_even_when_the_clock_does(path: str) -> None:
    database = open_for_writing(path)
    receipts = append(database, [("s", "x", f"late{number}", b"{}") for number in range(2)], SECOND)
    database.close()

    assert receipts == [(20, 20 * SECOND), (21, 20 * SECOND)]


def test_a_proof_stands_for_its_event_alone(path: str) -> None:
    reader = LedgerReader(path)
    by_id, by_sequence = proofs.prove(reader, "e5"), proofs.prove(reader, "5")
    reader.close()
    key = proofs.known_key(path)

    assert by_id == by_sequence
    assert proofs.check(by_id, key) == ""
    for other in (
        {"content": by_id.content.replace('"5"', '"6"')},
        {"sequence": 6},
        {"session": "t"},
        {"time_ns": "1"},
        {"time_ns": "x"},
        {"siblings": by_id.siblings[:-1]},
        {"siblings": ("!",)},
        {"checkpoint": by_id.checkpoint.replace("\n8\n", "\n9\n")},
    ):
        changed = proofs.Proof(**{name: getattr(by_id, name) for name in by_id.__struct_fields__} | other)
        assert proofs.check(changed, key) != "", other
