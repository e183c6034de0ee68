"""`[[commands.rule]]`: commands by how their argument vector begins, by what they do, or by both at once.

A position of `prefix` is a word or a list of words. One that begins with `-` means the option wherever it stands,
also bundled (`-f` in `-xfd`), with a value (`--force=x`) or abbreviated (`--forc`). `effects` names kinds of effect,
and `objects` globs for what they fall on. `unless` lists exceptions, which hold for exactly what is written; one that
ends with `...` may have further operands, but no options.
"""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.commands import OPEN_END
from ringfence.policy.effective import CommandRule
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table, escaped
from ringfence.policy.sections.names import take_enforcement, take_id
from ringfence.policy.spans import KeyPath

MAX_RULES = 100_000
MAX_POSITIONS = 32

_ONE = "One rule about commands."
_VERDICT = "What may happen with such a command."
_REASON = "Why, for the person who is asked or denied."
_PREFIX = "How the command begins: for each position a word, or a list of words."
_EFFECTS = "What the command does, of whatever program: any of these effects."
_OBJECTS = "What the effect falls on: globs; without any, everything."
_UNLESS = "Exceptions, each written like a `prefix`."
_UNDOABLE = "Objects that a snapshot of the workspace brings back: for those it is taken instead of asking."
_MATCH = "Commands that the rule hits; checked whenever the file is read."
_NOT_MATCH = "Commands that the rule does not hit; checked likewise."


def rules(table: Table, layer: Layer) -> tuple[CommandRule, ...]:
    """The command rules of a document."""
    ids: dict[str, str] = {}
    found = [_rule(entry, ids, layer) for entry in table.take_tables("rule", most=MAX_RULES, about=_ONE)]
    table.finish()
    return tuple(rule for rule in found if rule is not None)


def _rule(table: Table, ids: dict[str, str], layer: Layer) -> CommandRule | None:
    verdict = table.take_choice("verdict", Verdict, about=_VERDICT)
    prefix = _prefix(table)
    effects = _effects(table)
    objects = tuple(text for _, text in table.take_texts("objects", about=_OBJECTS))
    unless = _unless(table)
    undoable = tuple(text for _, text in table.take_texts("undoable", about=_UNDOABLE))
    named = " ".join((*(words[0] for words in prefix if words), *effects))
    rule_id = take_id(table, ids, default=f"commands:{named}")
    reason = table.take_text("reason", "", about=_REASON)
    match = tuple(text for _, text in table.take_texts("match", about=_MATCH))
    not_match = tuple(text for _, text in table.take_texts("not_match", about=_NOT_MATCH))
    enforcement = take_enforcement(table)
    complete = table.require("verdict")
    table.finish()
    if verdict is Verdict.ALLOW and layer is Layer.REQUIREMENTS:
        table.fault("verdict", "requirements only tighten; a rule that allows belongs in `policy.toml`")
    if verdict is Verdict.ALLOW and unless:
        table.fault("unless", "a rule that allows has no exceptions; write a narrower `prefix`")
    if not table.has("prefix") and not table.has("effects"):
        table.fault("prefix", "a rule has `prefix`, `effects` or both")
    if undoable and (verdict not in (None, Verdict.ASK) or not effects):
        table.fault("undoable", "`undoable` belongs to a rule that asks about `effects`")
    if objects and not effects:
        table.fault("objects", "`objects` says what `effects` fall on; name those too")
    if not complete or verdict is None or not (prefix or effects):
        return None
    return CommandRule(
        id=rule_id,
        prefix=prefix,
        effects=effects,
        objects=objects,
        verdict=verdict,
        reason=reason or "",
        unless=unless,
        undoable=undoable,
        match=match,
        not_match=not_match,
        origin=table.faults.origin(table.path),
        enforcement=enforcement,
    )


def _effects(table: Table) -> tuple[EffectKind, ...]:
    kinds = []
    for path, text in table.take_texts("effects", about=_EFFECTS):
        try:
            kinds.append(EffectKind(text))
        except ValueError:
            listed = ", ".join(f"`{kind}`" for kind in EffectKind)
            table.faults.add(path, f"`{escaped(text)}` is not an effect; the effects are {listed}")
    return tuple(kinds)


def _prefix(table: Table) -> tuple[tuple[str, ...], ...]:
    positions = _positions(table, "prefix", table.take_list("prefix", element="word or words", about=_PREFIX))
    if table.is_empty("prefix"):
        table.fault("prefix", "`prefix` is empty; its first position names the program")
    return positions


def _unless(table: Table) -> tuple[tuple[tuple[str, ...], ...], ...]:
    found = []
    for path, value in table.take_list("unless", element="positions", about=_UNLESS):
        if isinstance(value, list) and value:
            elements = tuple(((*path, index), element) for index, element in enumerate(value))
            found.append(_exception(table, path, _positions(table, "unless", elements)))
        else:
            table.faults.add(path, "each exception in `unless` is a list that is written like a `prefix`")
    return tuple(found)


def _exception(table: Table, path: KeyPath, positions: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    if any(OPEN_END in words for words in positions[:-1]) or (positions and OPEN_END in positions[0]):
        table.faults.add(path, f"`{OPEN_END}` ends an exception, and stands behind at least one word")
    return positions


def _positions(table: Table, key: str, elements: Sequence[tuple[KeyPath, object]]) -> tuple[tuple[str, ...], ...]:
    positions = []
    for path, value in elements:
        words = value if isinstance(value, list) else [value]
        if words and all(isinstance(word, str) and word for word in words):
            positions.append(tuple(words))
        else:
            table.faults.add(path, f"each position of `{key}` is a word or a list of words")
    if positions and any(word.startswith("-") or "/" in word for word in positions[0]):
        table.fault(key, f"the first position of `{key}` is the name of a program, without options or folders")
    if len(positions) > MAX_POSITIONS:
        table.fault(key, f"`{key}` has {len(positions)} positions; the limit is {MAX_POSITIONS}")
    return tuple(positions)
