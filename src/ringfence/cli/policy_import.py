"""`ringfence policy import`: a policy from an agent's settings, and on standard error all that does not fit."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

import msgspec

from ringfence.agents.exchange.claude_import import import_claude
from ringfence.agents.exchange.codex import import_codex
from ringfence.agents.exchange.draft import Note
from ringfence.agents.exchange.policy_text import Imported
from ringfence.agents.exchange.text_file import TextFile
from ringfence.cli import codes
from ringfence.cli.left_out import Section, report
from ringfence.cli.new_file import write_new
from ringfence.model.canonical import text_from_os
from ringfence.model.display import visible
from ringfence.model.situations import Diagnostic, PolicyInvalid
from ringfence.policy.layers import Layer
from ringfence.session.policy_files import read_bytes


def run_import(parsed: argparse.Namespace) -> int:
    """Print or write the policy; 0 also where something did not fit, because that is said."""
    files = _read(parsed.files)
    imported = import_codex(files) if parsed.agent == "codex" else import_claude(files)
    if parsed.output is not None:
        write_new(parsed.output, imported.policy.encode())
    if parsed.json:
        print(json.dumps({"schema": 1, "agent": parsed.agent, **msgspec.to_builtins(imported)}))
        return codes.OK
    if parsed.output is None:
        sys.stdout.write(imported.policy)
        sys.stdout.flush()
    report(_sections(imported), sys.stderr)
    if parsed.output is not None:
        print(f"written: {visible(parsed.output)}; check it with `ringfence policy check`", file=sys.stderr)
    return codes.OK


def _read(paths: Sequence[str]) -> tuple[TextFile, ...]:
    files: list[TextFile] = []
    faults: list[Diagnostic] = []
    for path in paths:
        name = text_from_os(os.path.normpath(path))
        try:
            files.append(TextFile(name=name, content=read_bytes(path, Layer.USER)))
        except PolicyInvalid as invalid:
            faults.extend(invalid.diagnostics)
        except FileNotFoundError:
            faults.append(Diagnostic(file=name, line=1, column=1, message="there is no such file"))
    if faults:
        raise PolicyInvalid(tuple(faults), remedy="name files that can be read")
    return tuple(files)


def _sections(imported: Imported) -> tuple[Section, ...]:
    lost = [(one.origin, f"{one.item}: {one.reason}") for one in imported.unmapped if one.restricts]
    other = [(one.origin, f"{one.item}: {one.reason}") for one in imported.unmapped if not one.restricts]
    return (
        Section(title="NOT carried over, and it held the agent back", entries=tuple(lost), important=True),
        Section(title="not carried over", entries=tuple(other)),
        Section(title="stricter than it was written", entries=_notes(imported.stricter)),
        Section(title="needs no line", entries=_notes(imported.covered)),
    )


def _notes(notes: Sequence[Note]) -> tuple[tuple[str, str], ...]:
    return tuple((one.origin, f"{one.item}: {one.text}") for one in notes)
