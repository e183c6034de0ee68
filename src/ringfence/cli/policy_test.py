"""`ringfence policy test`: the `[[test]]` entries of every file that applies, judged by the effective policy."""

from __future__ import annotations

import argparse
import json
import os
from typing import TextIO

from ringfence.cli import codes
from ringfence.model.decision import Decision
from ringfence.model.display import visible
from ringfence.policy.effective import PolicyTest
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.questions import action_of
from ringfence.session.loaded import Here, load_here
from ringfence.session.sources import working_folder


def run_tests(parsed: argparse.Namespace, out: TextIO) -> int:
    """Run them; 1 where any verdict is another than expected."""
    here = load_here(os.environ, cwd=working_folder(), workspace=parsed.workspace, choice=parsed.policy)
    evaluator = here.evaluator()
    failed = 0
    used: set[str] = set()
    for test in here.policy.tests:
        decision = _decide(test, here, evaluator)
        used.update(reason.rule for reason in decision.reasons)
        passed = decision.verdict is test.expect
        failed += not passed
        if parsed.json:
            out.write(json.dumps(_row(test, decision, passed=passed)) + "\n")
        elif not passed:
            out.write(f"{test.origin.source}: expected {test.expect.value}, got {decision.verdict.value}: ")
            out.write(f"{visible(decision.message)}\n")
    if not parsed.json:
        _summary(here, used, failed, out)
    return codes.FAILED if failed else codes.OK


def _decide(test: PolicyTest, here: Here, evaluator: Evaluator) -> Decision:
    question: dict[str, object] = {**dict(test.question)}
    if test.argv:
        question["argv"] = list(test.argv)
    if test.arguments:
        question["arguments"] = dict(test.arguments)
    return evaluator.evaluate(action_of(question, cwd=here.workspace, home=here.places.home))


def _row(test: PolicyTest, decision: Decision, *, passed: bool) -> dict[str, object]:
    return {
        "schema": 1,
        "source": test.origin.source,
        "expect": test.expect.value,
        "verdict": decision.verdict.value,
        "passed": passed,
        "rules": [reason.rule for reason in decision.reasons],
    }


def _summary(here: Here, used: set[str], failed: int, out: TextIO) -> None:
    policy = here.policy
    total = len(policy.tests)
    examples = sum(len(rule.match) + len(rule.not_match) for rule in policy.commands.rules)
    written = [(rule.id, rule.origin) for rule in policy.commands.rules]
    written += [(rule.id, rule.origin) for rule in policy.network.rules]
    mine = {name for name, origin in written if origin.layer in _OWN}
    passed = f"{total - failed} of {total} tests passed" if total else "there are no `[[test]]` entries"
    out.write(f"{passed}; {examples} examples of rules hold\n")
    for rule in sorted(mine - used):
        out.write(f"  rule `{visible(rule)}` has no test\n")


_OWN = frozenset({"user", "project", "managed"})
