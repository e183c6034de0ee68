"""Files of Codex, told apart by their names, into one draft."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

from ringfence.agents.exchange.codex_rules import import_rules
from ringfence.agents.exchange.codex_settings import import_settings
from ringfence.agents.exchange.draft import Draft
from ringfence.agents.exchange.policy_text import Imported, imported
from ringfence.agents.exchange.text_file import TextFile, decoded, toml_fault
from ringfence.model.situations import PolicyInvalid

NAME = "Codex"


def import_codex(files: Sequence[TextFile]) -> Imported:
    """The policy that requirements, settings and rules come to; `PolicyInvalid` with all faults of all files."""
    draft = Draft()
    for file in files:
        try:
            _import(draft, file)
        except PolicyInvalid as invalid:
            draft.faults.extend(invalid.diagnostics)
    return imported(draft, agent=NAME)


def _import(draft: Draft, file: TextFile) -> None:
    if file.name.endswith((".rules", ".star", ".codexpolicy")):
        import_rules(draft, file.content, file=file.name)
        return
    text = decoded(file)
    try:
        import_settings(draft, text, file=file.name)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise toml_fault(error, text, file) from None
