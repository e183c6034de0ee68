"""Command rules on their way into a policy: each is tried on what it was written for, and on its own examples.

Ringfence hits more than argument prefixes do: through wrappers, global options and paths to a program. Where that
contradicts an example, the example is left out and the difference is said; where a rule would hit less, that is a loss.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import msgspec

from ringfence.agents.exchange.draft import CommandPart, Draft
from ringfence.model.decision import Verdict
from ringfence.policy.commands import hits_rule
from ringfence.policy.effective import CommandRule, Origin
from ringfence.policy.sections.commands import MAX_POSITIONS
from ringfence.policy.shell.analysis import analyse_shell

_NOWHERE = Origin(layer="user", source="import:1")


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A rule about commands as an agent's settings have it."""

    agent: str
    item: str
    """As it was written, for messages."""
    prefix: tuple[tuple[str, ...], ...]
    verdict: Verdict
    reason: str = ""
    match: tuple[str, ...] = ()
    """Commands, as shells read them, that it hits."""
    not_match: tuple[str, ...] = ()
    origin: str


def carry(draft: Draft, written: Written) -> bool:
    """Put a rule into the draft, with notes on all that differs; False where nothing of it could be carried over."""
    programs = _programs(draft, written)
    prefix = (programs, *written.prefix[1:])
    if not programs or not _fits(draft, written, prefix):
        return False
    rule = _rule(prefix, written.verdict)
    missed = [example for example in _own_examples(prefix) if not hits(rule, example)]
    for example in missed:
        _lose(draft, written, f"a rule of Ringfence would not hit `{example}`")
    if len(missed) == len(tuple(_own_examples(prefix))):
        return False
    draft.add_command(
        CommandPart(
            id=draft.free_id(written.agent, (words[0] for words in prefix)),
            prefix=prefix,
            verdict=written.verdict,
            reason=written.reason,
            match=_kept_matches(draft, written, rule),
            not_match=_kept_exceptions(draft, written, rule),
            origin=written.origin,
        )
    )
    return True


def hits(rule: CommandRule, command: str) -> bool:
    """Whether a rule hits a command."""
    return hits_rule(rule, analyse_shell(command, home=None).invocations)


def _programs(draft: Draft, written: Written) -> tuple[str, ...]:
    """The names of programs in the first position: a policy of ours names them without folders."""
    found: list[str] = []
    for word in written.prefix[0]:
        name = word.rpartition("/")[2]
        if not name or word.startswith("-"):
            _lose(draft, written, f"`{word}` is not the name of a program")
            continue
        if name != word and written.verdict is Verdict.ALLOW:
            _lose(draft, written, f"rules name programs without folders, and `{name}` alone would allow more")
            continue
        if name != word:
            draft.tighten(written.origin, written.item, f"holds for every program called `{name}`, not only `{word}`")
        found.append(name)
    return tuple(dict.fromkeys(found))


def _fits(draft: Draft, written: Written, prefix: Sequence[tuple[str, ...]]) -> bool:
    if len(prefix) > MAX_POSITIONS:
        _lose(draft, written, f"it has {len(prefix)} positions; the limit is {MAX_POSITIONS}")
        return False
    if any(not word for words in prefix for word in words):
        _lose(draft, written, "it names an empty argument")
        return False
    return True


def _own_examples(prefix: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Commands that are just what the rule says: each word of each position once."""
    first = [words[0] for words in prefix]
    yield shlex.join(first)
    for at, words in enumerate(prefix):
        for word in words[1:]:
            yield shlex.join([*first[:at], word, *first[at + 1 :]])


def _kept_matches(draft: Draft, written: Written, rule: CommandRule) -> tuple[str, ...]:
    kept = []
    for example in written.match:
        if hits(rule, example):
            kept.append(example)
        else:
            _lose(draft, written, f"the rule of Ringfence does not hit its example `{example}`")
    return tuple(kept)


def _kept_exceptions(draft: Draft, written: Written, rule: CommandRule) -> tuple[str, ...]:
    kept = []
    for example in written.not_match:
        if hits(rule, example):
            text = f"also holds for `{example}`, which it was not written for: it is the same command to the program"
            draft.tighten(written.origin, written.item, text)
        else:
            kept.append(example)
    return tuple(kept)


def _rule(prefix: tuple[tuple[str, ...], ...], verdict: Verdict) -> CommandRule:
    return CommandRule(id="import", prefix=prefix, verdict=verdict, origin=_NOWHERE)


def _lose(draft: Draft, written: Written, reason: str) -> None:
    draft.lose(written.origin, written.item, reason, restricts=written.verdict is not Verdict.ALLOW)
