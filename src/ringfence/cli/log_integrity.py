"""`ringfence log verify`, `prove` and `export`: whether the record holds, and taking it elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.model.display import visible
from ringfence.model.situations import LedgerBroken
from ringfence.telemetry import proofs
from ringfence.telemetry.reader import LedgerReader, Wanted, line
from ringfence.telemetry.verification import Fault, Report, verify

_SHOWN = 5
"""Faults that are told one by one: the first ones say where it begins."""


def main(part: str, words: Sequence[str], path: str) -> int:
    """Run one of the subcommands on the ledger at `path`."""
    return {"verify": _verify, "prove": _prove, "export": _export}[part](words, path)


def _verify(words: Sequence[str], path: str) -> int:
    arguments = Arguments(prog="ringfence log verify", description="Check the record against its seals.")
    arguments.add_argument("--json", action="store_true", help="the result as one JSON object")
    arguments.add_argument("--proof", metavar="FILE", help="check the proof of one event instead")
    arguments.add_argument("--key", metavar="KEY", help="the verifier's key for the proof (default: this ledger's)")
    parsed = arguments.parse_args(words)
    if parsed.proof:
        return _verify_proof(parsed.proof, parsed.key or proofs.known_key(path), as_json=parsed.json)
    try:
        report = _report(path)
    except LedgerBroken as broken:
        if not os.path.exists(path):
            raise
        # A record that cannot even be read is one that does not verify.
        fault = Fault(kind="unreadable", sequence=None, text=broken.message)
        report = Report(entries=0, erased=0, checkpoints=0, sealed=0, root="", faults=(fault,))
    if parsed.json:
        plain = {"schema": 1, "verified": report.verified, **msgspec.structs.asdict(report)}
        print(msgspec.json.encode(plain).decode())
    else:
        _tell(report)
    return codes.OK if report.verified else codes.FAILED


def _report(path: str) -> Report:
    reader = LedgerReader(path)
    try:
        return verify(reader)
    finally:
        reader.close()


def _tell(report: Report) -> None:
    for fault in report.faults[:_SHOWN]:
        where = f"entry {fault.sequence}: " if fault.sequence is not None else ""
        print(f"{where}{visible(fault.text)}", file=sys.stderr)
    if len(report.faults) > _SHOWN:
        print(f"and {len(report.faults) - _SHOWN} more, which `--json` lists", file=sys.stderr)
    if not report.verified:
        held = f"only the first {_untouched(report)} entries are known to be as they were sealed"
        print(f"NOT verified: {_count(len(report.faults), 'fault')} in {report.entries} entries; {held}")
        return
    unsealed = report.entries - report.sealed
    erased = f", {report.erased} with their content erased" if report.erased else ""
    open_end = f"; the last {unsealed} are not sealed yet" if unsealed else ""
    votes = f", {_count(report.votes, 'signed vote')}" if report.votes else ""
    print(f"verified: {report.entries} entries{erased}, {_count(report.checkpoints, 'checkpoint')}{votes}{open_end}")


def _verify_proof(path: str, key: str, *, as_json: bool) -> int:
    proof = proofs.read(path)
    wrong = proofs.check(proof, key)
    if as_json:
        plain = {"schema": 1, "verified": not wrong, "id": proof.id, "sequence": proof.sequence, "fault": wrong}
        print(msgspec.json.encode(plain).decode())
    elif wrong:
        print(f"NOT verified: {wrong}")
    else:
        print(f"verified: event {visible(proof.id)} is entry {proof.sequence} of session {visible(proof.session)}")
    return codes.FAILED if wrong else codes.OK


def _prove(words: Sequence[str], path: str) -> int:
    arguments = Arguments(prog="ringfence log prove", description="Write the proof that an event is in the record.")
    arguments.add_argument("event", metavar="EVENT", help="the event's id or its sequence")
    parsed = arguments.parse_args(words)
    reader = LedgerReader(path)
    try:
        print(msgspec.json.encode(proofs.prove(reader, parsed.event)).decode())
    finally:
        reader.close()
    return codes.OK


def _export(words: Sequence[str], path: str) -> int:
    arguments = Arguments(prog="ringfence log export", description="Write the whole record, one event a line.")
    arguments.add_argument("--format", choices=("jsonl",), default="jsonl", help="JSON Lines, the only one yet")
    arguments.add_argument("--session", help="only this session, or the beginning of its id")
    parsed = arguments.parse_args(words)
    reader = LedgerReader(path)
    try:
        session = reader.find(parsed.session) if parsed.session else None
        for found in reader.events(Wanted(session=session)):
            sys.stdout.buffer.write(line(found) + b"\n")
        sys.stdout.flush()
    finally:
        reader.close()
    return codes.OK


def _untouched(report: Report) -> int:
    """The entries before the first one that something is wrong with."""
    return min([report.sealed, *(fault.sequence for fault in report.faults if fault.sequence is not None)])


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"
