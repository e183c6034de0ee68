"""`ringfence policy diff` and `ringfence policy prove`: what another policy would change, each change with an action
that shows it."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from collections.abc import Iterable
from typing import TextIO

import msgspec

from ringfence.cli import codes
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.decision import Verdict
from ringfence.model.display import shortened, visible
from ringfence.model.situations import UsageInvalid
from ringfence.model.wording import action_text
from ringfence.policy.compare.comparison import Comparison, compare
from ringfence.policy.compare.difference import Area, Difference, Side, question
from ringfence.policy.compare.proof import QUESTIONS, Answer, Proof, Witness, prove
from ringfence.policy.effective import CommandRule
from ringfence.policy.sections.settings import AGENTS
from ringfence.session.loaded import Here, load_here
from ringfence.session.sources import working_folder

_WIDTH = 110
_ROWS = 15
"""Changes of one kind in one area that people are shown; `--json` has all."""
_NAMED = 4
"""Things of one change that are named one by one."""

_CHANGES = {Verdict.ALLOW: "newly passes", Verdict.ASK: "newly asks", Verdict.DENY: "newly stops"}
_WORDS = {Verdict.ALLOW: "passes", Verdict.ASK: "asks", Verdict.DENY: "stops"}


def run_diff(parsed: argparse.Namespace, out: TextIO) -> int:
    """Print what differs; 0 whatever it is."""
    subjects = _subjects(parsed)
    for subject in subjects:
        comparison = compare(subject.before.evaluator(), subject.after.evaluator())
        if parsed.json:
            for line in _json_lines(comparison):
                _write_json(out, subject, line)
        else:
            page = _Page(out)
            page.subject(subject)
            page.differences(comparison, subject.before)
    return codes.OK


def run_prove(parsed: argparse.Namespace, out: TextIO) -> int:
    """Answer the four questions; 1 where any is not answered with no."""
    answers: list[Answer] = []
    for subject in _subjects(parsed):
        proofs = prove(subject.before.evaluator(), subject.after.evaluator())
        answers += [proof.answer for proof in proofs]
        page = _Page(out)
        if not parsed.json:
            page.subject(subject)
        for proof in proofs:
            if parsed.json:
                _write_json(out, subject, _json_proof(proof))
            else:
                page.proof(proof, parsed.policies[-1])
    return codes.OK if set(answers) == {Answer.NO} else codes.FAILED


class _Subject(msgspec.Struct, frozen=True, kw_only=True):
    """Agents for which both policies are the same as for one another, and those policies."""

    agents: tuple[str, ...]
    """Empty where no section of either policy is for some agents only."""
    before: Here
    after: Here


def _subjects(parsed: argparse.Namespace) -> list[_Subject]:
    """The policies before and after, once for all agents that they treat alike: two that were named, or what is in
    force here and one that was named."""
    if len(parsed.policies) > 2:
        raise UsageInvalid(
            f"{len(parsed.policies)} policies were named; two can be compared, or one with what is in force here"
        )
    first, second = (None, *parsed.policies) if len(parsed.policies) == 1 else parsed.policies
    found: dict[tuple[str, str], list[tuple[str, Here, Here]]] = {}
    for agent in AGENTS:
        before, after = _load(parsed, first, agent), _load(parsed, second, agent)
        found.setdefault((before.policy.digest, after.policy.digest), []).append((agent, before, after))
    return [
        _Subject(
            agents=tuple(agent for agent, _, _ in members) if len(found) > 1 else (),
            before=members[0][1],
            after=members[0][2],
        )
        for members in found.values()
    ]


def _load(parsed: argparse.Namespace, choice: str | None, agent: str) -> Here:
    return load_here(os.environ, cwd=working_folder(), workspace=parsed.workspace, choice=choice, agent=agent)


def _write_json(out: TextIO, subject: _Subject, line: dict[str, object]) -> None:
    agents = {"agents": list(subject.agents)} if subject.agents else {}
    out.write(json.dumps({"schema": 1, **agents, **line}) + "\n")


def _json_lines(comparison: Comparison) -> Iterable[dict[str, object]]:
    counts = dict.fromkeys(_WORDS.values(), 0)
    for one in comparison.differences:
        change = _WORDS[one.after.verdict]
        counts[change] += 1
        yield {
            "kind": "difference",
            "area": one.area.value,
            "change": change,
            "what": one.what,
            "before": _json_side(one.before),
            "after": _json_side(one.after),
            "action": question(one.action),
        }
    for value in comparison.values:
        told = {"key": value.key, "before": value.before, "after": value.after, "loosens": value.loosens}
        yield {"kind": "value", **told}
    for rule in comparison.unheld:
        yield {"kind": "rule", "rule": rule.id, "source": rule.origin.source, "verdict": rule.verdict.value}
    for area in comparison.undecided:
        yield {"kind": "undecided", "area": area.area.value, "why": area.why}
    yield {"kind": "summary", **counts, "values": len(comparison.values), "undecided": len(comparison.undecided)}


def _json_side(side: Side) -> dict[str, object]:
    return {"verdict": side.verdict.value, "rule": side.rule, "source": side.source}


def _json_proof(proof: Proof) -> dict[str, object]:
    return {
        "question": proof.question.value,
        "text": QUESTIONS[proof.question],
        "answer": proof.answer.value,
        "witnesses": [
            {"what": one.what, "before": one.before, "after": one.after, "action": question(one.action)}
            for one in proof.witnesses
        ],
        "notes": list(proof.notes),
    }


class _Page:
    """Writes for people."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._palette = Palette(colour=wants_colour(out))

    def subject(self, subject: _Subject) -> None:
        if subject.agents:
            self._line(self._palette.bold(f"for {', '.join(subject.agents)}"))

    def differences(self, comparison: Comparison, here: Here) -> None:
        for verdict, title in _CHANGES.items():
            self._changes(title, [one for one in comparison.differences if one.after.verdict is verdict])
        if comparison.values:
            self._line(self._palette.bold("other values"))
            for value in comparison.values:
                looser = f"  {self._palette.yellow('looser')}" if value.loosens else ""
                self._line(f"  {_cut(value.key)}: {_cut(value.before)} -> {_cut(value.after)}{looser}")
        self._unheld(comparison)
        for area in comparison.undecided:
            self._line(f"{self._palette.yellow('not compared')}: {area.area.value}: {visible(area.why)}")
        if comparison.is_empty and not comparison.unheld:
            self._line("nothing differs: every kind of action gets the same verdict")
        else:
            self._line(f"`~` is {visible(here.places.home)}, the workspace {visible(here.workspace)}")

    def proof(self, proof: Proof, policy: str) -> None:
        colour = {
            Answer.NO: self._palette.green,
            Answer.YES: self._palette.red,
            Answer.UNDECIDED: self._palette.yellow,
        }[proof.answer]
        self._line(f"{colour(proof.answer.value)}: {self._palette.bold(QUESTIONS[proof.question])}")
        for witness in proof.witnesses[:_ROWS]:
            self._witness(witness, policy)
        self._rest(len(proof.witnesses) - _ROWS)
        for note in proof.notes:
            self._line(f"  note    {visible(note)}")

    def _witness(self, witness: Witness, policy: str) -> None:
        self._line(f"  witness {_cut(witness.what)}: {witness.before} -> {witness.after}")
        self._line(self._palette.dim(f"          {_explain(question(witness.action), policy)}"))

    def _changes(self, title: str, found: list[Difference]) -> None:
        groups: dict[tuple[object, ...], list[Difference]] = {}
        for one in found:
            groups.setdefault((one.area, one.before, one.after), []).append(one)
        if groups:
            self._line(self._palette.bold(title))
        for area in Area:
            rows = [members for members in groups.values() if members[0].area is area]
            for members in rows[:_ROWS]:
                self._change(members)
            self._rest(len(rows) - _ROWS)

    def _change(self, members: list[Difference]) -> None:
        first = members[0]
        named = ", ".join(_cut(one.what) for one in members[:_NAMED])
        more = f" and {len(members) - _NAMED} more" if len(members) > _NAMED else ""
        example = action_text(first.action)
        shown = "" if example in first.what else f", for example {_cut(example)}"
        self._line(f"  {first.area.value:<8} {named}{more}{shown}")
        was, now = _side(first.before), _side(first.after)
        self._line(self._palette.dim(f"           {was} before, now {now}"))

    def _unheld(self, comparison: Comparison) -> None:
        shown = {one.before.rule for one in comparison.differences}
        rest = [rule for rule in comparison.unheld if rule.id not in shown]
        if rest:
            self._line(self._palette.bold("rules that are gone or weaker, without an example of what passes"))
        for rule in rest:
            self._line(f"  {visible(rule.id)} ({visible(rule.origin.source)}) {rule.verdict.value}: {_cut(_why(rule))}")

    def _rest(self, number: int) -> None:
        if number > 0:
            self._line(f"  ... and {number} more; `--json` lists all")

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")


def _side(side: Side) -> str:
    word = {Verdict.ALLOW: "allowed", Verdict.ASK: "asked", Verdict.DENY: "denied"}[side.verdict]
    return f"{word} by {_cut(side.rule)} ({visible(side.source)})"


def _why(rule: CommandRule) -> str:
    return rule.reason or " ".join(words[0] for words in rule.prefix)


def _cut(text: str) -> str:
    return shortened(visible(text), _WIDTH)


def _explain(asked: dict[str, object], policy: str) -> str:
    """The command line that asks `policy explain` the same."""
    words = ["ringfence", "policy", "explain", "--policy", policy]
    if "argv" in asked:
        argv = asked["argv"]
        assert isinstance(argv, list)
        return visible(shlex.join([*words, "--", *argv]))
    if "mcp" in asked:
        call = (str(asked["mcp"]), str(asked["tool"]), json.dumps(asked["arguments"]))
        return visible(shlex.join([*words, "--mcp", *call]))
    options = [(key, str(value)) for key, value in asked.items() if key not in {"cwd", "arguments"}]
    return visible(shlex.join([*words, *(word for key, value in options for word in (f"--{key}", value))]))
