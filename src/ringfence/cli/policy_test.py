"""`ringfence policy test`: the `[[test]]` entries of every file that applies, and how many rules they reach.

The examples of rules are checked whenever a file is read: a file with one that does not hold is invalid, and this
command then lists it with its place, as every other does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TextIO

import msgspec

from ringfence.cli import codes
from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.decision import Decision
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid
from ringfence.policy.assumed import assumed
from ringfence.policy.coverage import WRITTEN_HERE, RuleCoverage, coverage, share
from ringfence.policy.effective import PolicyTest
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.questions import action_of
from ringfence.session.loaded import Here, load_here
from ringfence.session.sources import working_folder


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One test and what came of it."""

    test: PolicyTest
    decision: Decision | None
    """None where the test is no question that can be asked."""
    fault: str = ""

    @property
    def passed(self) -> bool:
        """Whether the verdict is the expected one."""
        return self.decision is not None and self.decision.verdict is self.test.expect

    @property
    def got(self) -> str:
        """The verdict, or that there is none."""
        return "no verdict" if self.decision is None else self.decision.verdict.value


def run_tests(parsed: argparse.Namespace, out: TextIO) -> int:
    """Run them; 1 where a verdict is another than expected, or fewer rules are reached than asked for."""
    least = _least(parsed.min_coverage)
    here = load_here(os.environ, cwd=working_folder(), workspace=parsed.workspace, choice=parsed.policy)
    evaluator = here.evaluator()
    outcomes = [_run(test, here, evaluator) for test in here.policy.tests]
    rules = coverage(here.policy, (one.decision for one in outcomes if one.decision is not None))
    # A preset has its own tests; whoever changes nothing about its rules is not asked to test them.
    counted = rules if parsed.coverage == "all" else [rule for rule in rules if rule.origin.layer in WRITTEN_HERE]
    reached = share(counted)
    if parsed.json:
        _as_json(outcomes, counted, out)
    else:
        examples = sum(len(rule.match) + len(rule.not_match) for rule in here.policy.commands.rules)
        _as_text(outcomes, counted, out, examples=examples, listed=parsed.coverage is not None)
        without = sum(one.told for one in here.policy.inactive)
        if without:
            out.write(f"lines without effect: {without}; see them with `ringfence policy show --origin`\n")
    if least is not None and reached < least:
        print(f"ringfence: {reached} % of the rules are reached; `--min-coverage` is {least}", file=sys.stderr)
        return codes.FAILED
    return codes.OK if all(one.passed for one in outcomes) else codes.FAILED


def _least(written: int | None) -> int | None:
    if written is not None and not 0 <= written <= 100:
        raise UsageInvalid(f"`--min-coverage {written}` is not from 0 to 100", remedy="name a percentage")
    return written


def _run(test: PolicyTest, here: Here, evaluator: Evaluator) -> Outcome:
    question: dict[str, object] = {**dict(test.question)}
    if test.argv:
        question["argv"] = list(test.argv)
    if test.arguments:
        question["arguments"] = dict(test.arguments)
    try:
        action = action_of(question, cwd=here.workspace, home=here.places.home)
    except ValueError as error:
        return Outcome(test=test, decision=None, fault=str(error))
    return Outcome(test=test, decision=evaluator.evaluate(assumed(action, here.policy).action))


def _as_json(outcomes: Sequence[Outcome], rules: Sequence[RuleCoverage], out: TextIO) -> None:
    for one in outcomes:
        row: dict[str, object] = {
            "schema": 1,
            "kind": "test",
            "source": one.test.origin.source,
            "expect": one.test.expect.value,
            "verdict": None if one.decision is None else one.decision.verdict.value,
            "passed": one.passed,
            "rules": [reason.rule for reason in one.decision.reasons] if one.decision else [],
        }
        if one.fault:
            row["error"] = one.fault
        out.write(json.dumps(row) + "\n")
    for rule in rules:
        out.write(json.dumps({"schema": 1, "kind": "rule", "covered": rule.covered, **_plain(rule)}) + "\n")
    summary = {
        "schema": 1,
        "kind": "summary",
        "tests": len(outcomes),
        "failed": sum(not one.passed for one in outcomes),
        "rules": len(rules),
        "covered": sum(rule.covered for rule in rules),
        "coverage": share(rules),
    }
    out.write(json.dumps(summary) + "\n")


def _plain(rule: RuleCoverage) -> dict[str, object]:
    return {
        "rule": rule.rule,
        "rule_kind": rule.kind.value,
        "layer": rule.origin.layer,
        "source": rule.origin.source,
        "tests": rule.tests,
        "examples": rule.examples,
    }


def _as_text(
    outcomes: Sequence[Outcome], rules: Sequence[RuleCoverage], out: TextIO, *, examples: int, listed: bool
) -> None:
    palette = Palette(colour=wants_colour(out))
    for one in outcomes:
        if not one.passed:
            why = one.fault or (one.decision.message if one.decision else "")
            said = f"expected {one.test.expect.value}, got {one.got}"
            out.write(f"{visible(one.test.origin.source)}: {palette.red(said)}: {visible(why)}\n")
            for reason in one.decision.reasons if one.decision else ():
                out.write(f"  rule {visible(reason.rule)} ({visible(reason.layer)}, {visible(reason.source)})\n")
    passed = sum(one.passed for one in outcomes)
    total = f"{passed} of {len(outcomes)} tests passed" if outcomes else "there are no `[[test]]` entries"
    out.write(f"{palette.bold(total)}; {examples} examples of rules hold\n")
    _coverage(rules, out, palette, listed=listed)


def _coverage(rules: Sequence[RuleCoverage], out: TextIO, palette: Palette, *, listed: bool) -> None:
    if not rules:
        out.write("no rule was written for this machine or project\n")
        return
    covered = sum(rule.covered for rule in rules)
    out.write(f"{covered} of {len(rules)} rules are reached by a test or an example ({share(rules)} %)\n")
    for rule in rules:
        place = palette.dim(f"({visible(rule.origin.layer)}, {visible(rule.origin.source)})")
        if not rule.covered:
            out.write(f"  {palette.yellow('no test')}  {rule.kind.value} rule `{visible(rule.rule)}` {place}\n")
        elif listed:
            reached = f"tests {rule.tests}, examples {rule.examples}"
            out.write(f"  reached  {rule.kind.value} rule `{visible(rule.rule)}` {place}: {reached}\n")
