"""Verifies a ledger offline: every entry against its commitment, the tree against every checkpoint, order and time.

It says exactly what is wrong and where. What it cannot see: entries after the last checkpoint that were removed by
somebody who can write to the ledger, unless the ledger itself or a kept checkpoint still speaks of them.
"""

from __future__ import annotations

import os

import msgspec

from ringfence.model.event import Event, event_name
from ringfence.telemetry import notes
from ringfence.telemetry.entries import commitment_of
from ringfence.telemetry.reader import Entry, LedgerReader
from ringfence.telemetry.seal import key_file
from ringfence.telemetry.tree import Frontier
from ringfence.telemetry.votes import VoteCheck

MAX_FAULTS = 100


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong."""

    kind: str
    """`content`, `gap`, `order`, `time`, `truncated`, `tree`, `checkpoint`, `key`, `vote`, `unreadable`."""
    sequence: int | None
    """The first entry that it concerns."""
    text: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What verifying found."""

    entries: int
    erased: int
    """Entries whose content was erased; their place in the record still verifies."""
    checkpoints: int
    """Checkpoints whose signature and root hold."""
    sealed: int
    """Entries that the last good checkpoint covers."""
    root: str
    votes: int = 0
    """Votes whose signature and link hold."""
    faults: tuple[Fault, ...]

    @property
    def verified(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


class _Sealed(msgspec.Struct, frozen=True):
    checkpoint: notes.Checkpoint
    where: str


class _Verifier:
    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self.faults: list[Fault] = []
        self._tree = Frontier()
        self._votes = VoteCheck(reader.path)
        self._erased = 0
        self._time_ns = 0
        self._good = self._sealed = 0

    def run(self) -> Report:
        state = self._reader.state()
        seals = self._checkpoints(state.origin)
        expected = 0
        for entry in self._reader.entries():
            if entry.sequence != expected:
                self._fault("gap", expected, _missing(expected, entry.sequence))
            self._entry(entry)
            self._tree.append(entry.leaf())
            expected = entry.sequence + 1
            self._compare(seals.pop(expected, []))
        for size, later in sorted(seals.items()):
            text = f"a checkpoint in {later[0].where} covers {size} entries, but the ledger holds {expected}"
            self._fault("truncated", expected, text)
        if expected < state.size:
            self._fault("truncated", expected, f"the ledger speaks of {state.size} entries, but holds {expected}")
        elif self._tree.root() != state.root() or expected != state.size:
            self._fault("tree", None, "the stored tree is not the tree of the entries")
        return Report(
            entries=self._tree.size,
            erased=self._erased,
            checkpoints=self._good,
            sealed=self._sealed,
            root=self._tree.root().hex(),
            votes=self._votes.signed,
            faults=tuple(self.faults),
        )

    def _entry(self, entry: Entry) -> None:
        if entry.time_ns < self._time_ns:
            self._fault("time", entry.sequence, "its time lies before that of the entry ahead of it")
        self._time_ns = max(self._time_ns, entry.time_ns)
        if entry.content is None or entry.salt is None:
            self._erased += 1
            self._votes.erased = True
        elif commitment_of(entry.salt, entry.content) != entry.commitment:
            self._fault("content", entry.sequence, f"the content of `{entry.event}` is not what was recorded")
        else:
            self._content(entry, entry.content)

    def _content(self, entry: Entry, content: bytes) -> None:
        try:
            event = msgspec.json.decode(content, type=Event)
        except msgspec.MsgspecError:
            # Of a later version: its place in the record is all that can be checked.
            return
        if (event.session, event_name(event.body), event.id) != (entry.session, entry.event, entry.id):
            self._fault("content", entry.sequence, "its labels are not those of its content")
        for wrong in self._votes.take(entry.sequence, event.body):
            self._fault("vote", wrong.sequence, wrong.text)

    def _compare(self, seals: list[_Sealed]) -> None:
        wrong = [sealed for sealed in seals if sealed.checkpoint.root != self._tree.root()]
        if seals and not wrong:
            self._good += 1
            self._sealed = self._tree.size
        for sealed in wrong:
            text = f"the entries up to {self._tree.size - 1} are not those that the checkpoint in {sealed.where} sealed"
            self._fault("checkpoint", self._sealed, text)

    def _checkpoints(self, origin: str) -> dict[int, list[_Sealed]]:
        """The checkpoints whose signature holds, by size."""
        stored = [(f"the database, size {size}", note) for size, note in self._reader.checkpoints()]
        kept = [("the file of checkpoints", note) for note in notes.notes_in(self._reader.kept_checkpoints())]
        if not stored and not kept:
            return {}
        key = self._key()
        seals: dict[int, list[_Sealed]] = {}
        for where, note in [*stored, *kept] if key is not None else []:
            assert key is not None
            try:
                checkpoint = notes.verify(note, key)
            except notes.NoteInvalid as wrong:
                self._fault("checkpoint", None, f"a checkpoint in {where} does not verify: {wrong}")
                continue
            if checkpoint.origin == origin:
                seals.setdefault(checkpoint.size, []).append(_Sealed(checkpoint, where))
            elif where.startswith("the database"):
                self._fault("checkpoint", None, f"a checkpoint in {where} belongs to another ledger")
        return seals

    def _key(self) -> notes.VerifierKey | None:
        path = f"{key_file(self._reader.path)}.pub"
        try:
            with open(path, encoding="utf-8") as stream:
                return notes.parse_key(stream.read())
        except (OSError, ValueError) as failure:
            name = os.path.basename(path)
            self._fault("key", None, f"the key of the checkpoints, `{name}`, cannot be read: {failure}")
            return None

    def _fault(self, kind: str, sequence: int | None, text: str) -> None:
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(Fault(kind=kind, sequence=sequence, text=text))


def verify(reader: LedgerReader) -> Report:
    """Check everything there is to check without a network."""
    return _Verifier(reader).run()


def _missing(expected: int, found: int) -> str:
    last = found - 1
    return f"entry {expected} is missing" if last == expected else f"entries {expected} to {last} are missing"
