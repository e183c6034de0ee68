"""`[[commands.rule]]`: commands by how their argument vector begins.

A position of `prefix` is a word or a list of words. One that begins with `-` means the option wherever it stands,
also bundled (`-f` in `-xfd`), with a value (`--force=x`) or abbreviated (`--forc`).
"""

from __future__ import annotations

from ringfence.model.decision import Verdict
from ringfence.policy.effective import CommandRule
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table
from ringfence.policy.sections.names import take_enforcement, take_id

MAX_RULES = 100_000
MAX_POSITIONS = 32


def rules(table: Table, layer: Layer) -> tuple[CommandRule, ...]:
    """The command rules of a document."""
    ids: dict[str, str] = {}
    found = [_rule(entry, ids, layer) for entry in table.take_tables("rule", most=MAX_RULES)]
    table.finish()
    return tuple(rule for rule in found if rule is not None)


def _rule(table: Table, ids: dict[str, str], layer: Layer) -> CommandRule | None:
    verdict = table.take_choice("verdict", Verdict)
    prefix = _prefix(table)
    rule_id = take_id(table, ids, default="commands:" + " ".join(words[0] for words in prefix if words))
    reason = table.take_text("reason", "")
    match = tuple(text for _, text in table.take_texts("match"))
    not_match = tuple(text for _, text in table.take_texts("not_match"))
    enforcement = take_enforcement(table)
    complete = table.require("prefix", "verdict")
    table.finish()
    if verdict is Verdict.ALLOW and layer is Layer.REQUIREMENTS:
        table.fault("verdict", "requirements only tighten; a rule that allows belongs in `policy.toml`")
    if not complete or verdict is None or not prefix:
        return None
    return CommandRule(
        id=rule_id,
        prefix=prefix,
        verdict=verdict,
        reason=reason or "",
        match=match,
        not_match=not_match,
        origin=table.faults.origin(table.path),
        enforcement=enforcement,
    )


def _prefix(table: Table) -> tuple[tuple[str, ...], ...]:
    positions = []
    for path, value in table.take_list("prefix"):
        words = value if isinstance(value, list) else [value]
        if words and all(isinstance(word, str) and word for word in words):
            positions.append(tuple(words))
        else:
            table.faults.add(path, "each position of `prefix` is a word or a list of words")
    if table.is_empty("prefix"):
        table.fault("prefix", "`prefix` is empty; its first position names the program")
    if positions and any(word.startswith("-") or "/" in word for word in positions[0]):
        table.fault("prefix", "the first position of `prefix` is the name of a program, without options or folders")
    if len(positions) > MAX_POSITIONS:
        table.fault("prefix", f"`prefix` has {len(positions)} positions; the limit is {MAX_POSITIONS}")
    return tuple(positions)
