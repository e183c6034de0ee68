"""Inclusion proofs: one event, with everything that shows it stood in a sealed ledger, in a file of its own.

Whoever gets the file can check it without the ledger. It shows the event and its place, and nothing of other events.
"""

from __future__ import annotations

import base64

import msgspec

from ringfence.model.situations import LedgerBroken, UsageInvalid
from ringfence.telemetry import notes
from ringfence.telemetry.entries import commitment_of
from ringfence.telemetry.reader import Entry, LedgerReader
from ringfence.telemetry.seal import key_file
from ringfence.telemetry.tree import inclusion_proof, root_from_inclusion

_REMEDY = "make one with `ringfence log prove EVENT > FILE`"


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A proof as it is written to a file."""

    sequence: int
    time_ns: str
    session: str
    event: str
    id: str
    salt: str
    """Base64, as are all bytes here."""
    content: str
    """The event as it was recorded, as JSON text."""
    siblings: tuple[str, ...]
    checkpoint: str
    """The signed note."""
    key: str
    """The verifier's key, as a convenience: who verifies should know it from somewhere else."""
    schema: int = 1


def prove(reader: LedgerReader, event_id: str) -> Proof:
    """The proof for an event, named by its id or by its sequence."""
    entries = list(reader.entries())
    entry = next((entry for entry in entries if event_id in {entry.id, str(entry.sequence)}), None)
    if entry is None:
        raise UsageInvalid(f"no event is called `{event_id}`", remedy="`ringfence log --json` shows ids and sequences")
    if entry.salt is None or entry.content is None:
        raise UsageInvalid(
            f"the content of event `{event_id}` was erased", remedy="its place still verifies: `log verify`"
        )
    size, note = next(((s, n) for s, n in reader.checkpoints() if s > entry.sequence), (0, ""))
    if not note:
        raise UsageInvalid(f"event `{event_id}` is not sealed yet", remedy="try again when its session has ended")
    siblings = inclusion_proof(entry.sequence, [each.leaf() for each in entries[:size]])
    return Proof(
        sequence=entry.sequence,
        time_ns=str(entry.time_ns),
        session=entry.session,
        event=entry.event,
        id=entry.id,
        salt=_text(entry.salt),
        content=entry.content.decode(),
        siblings=tuple(map(_text, siblings)),
        checkpoint=note,
        key=known_key(reader.path),
    )


def known_key(ledger: str) -> str:
    """The verifier's key of a ledger, as text."""
    try:
        with open(f"{key_file(ledger)}.pub", encoding="utf-8") as stream:
            return stream.read().strip()
    except OSError as failure:
        raise LedgerBroken(f"the key of the checkpoints cannot be read: {failure}") from failure


def check(proof: Proof, key: str) -> str:
    """What is wrong with a proof, or nothing: the event, its place, the path to the root, and the signature."""
    try:
        checkpoint = notes.verify(proof.checkpoint, notes.parse_key(key))
        salt, content = base64.b64decode(proof.salt, validate=True), proof.content.encode()
        siblings = [base64.b64decode(sibling, validate=True) for sibling in proof.siblings]
        time_ns = int(proof.time_ns)
    except (notes.NoteInvalid, ValueError) as wrong:
        return f"it does not verify: {wrong}"
    entry = Entry(
        proof.sequence, time_ns, proof.session, proof.event, proof.id, commitment_of(salt, content), salt, content
    )
    root = root_from_inclusion(proof.sequence, checkpoint.size, entry.leaf(), siblings)
    return "" if root == checkpoint.root else "the event is not the one that the checkpoint sealed at this place"


def read(path: str) -> Proof:
    """A proof from its file."""
    try:
        with open(path, "rb") as stream:
            return msgspec.json.decode(stream.read(), type=Proof)
    except OSError as failure:
        raise UsageInvalid(f"`{path}` cannot be read: {failure.strerror}", remedy=_REMEDY) from failure
    except msgspec.MsgspecError as failure:
        raise UsageInvalid(f"`{path}` does not hold a proof: {failure}", remedy=_REMEDY) from failure


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
