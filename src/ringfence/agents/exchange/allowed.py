"""Whether what an agent's settings allow is allowed by the imported policy too: a preset's rule may still ask."""

from __future__ import annotations

import shlex

from ringfence.agents.exchange.draft import Draft
from ringfence.model.action import CommandAction
from ringfence.model.decision import Decision, Verdict
from ringfence.policy.choosing import DEFAULT_PRESET
from ringfence.policy.documents import Document
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset

_HOME, _WORKSPACE = "/home/someone", "/home/someone/project"
"""Stand-ins: no command that is tried here names them."""


def check_allowed(draft: Draft, document: Document) -> None:
    """Say what still asks or is denied, and keep no test that would fail."""
    name = DEFAULT_PRESET if draft.extends is None else draft.extends[0]
    evaluator = _evaluator(document, name)
    for part in draft.commands:
        if part.verdict is Verdict.ALLOW:
            command = part.match[0] if part.match else shlex.join(words[0] for words in part.prefix)
            _compare(draft, part.origin, command, evaluator)
    draft.tests = [test for test in draft.tests if _compare(draft, test.origin, test.shell, evaluator)]


def _compare(draft: Draft, origin: str, command: str, evaluator: Evaluator) -> bool:
    decision = evaluator.evaluate(CommandAction(argv=("bash", "-c", command), shell=command, cwd=_WORKSPACE))
    if decision.verdict is Verdict.ALLOW:
        return True
    draft.tighten(origin, f"allow `{command}`", _why(decision))
    return False


def _why(decision: Decision) -> str:
    reason = decision.reasons[0]
    still = "is still denied" if decision.verdict is Verdict.DENY else "still asks"
    return f"{still}: rule `{reason.rule}` ({reason.source}), {reason.text}"


def _evaluator(document: Document, name: str) -> Evaluator:
    policy = merge((preset(name), document), facts=Facts(home=_HOME, workspace=_WORKSPACE))
    return Evaluator(policy, Context(home=_HOME, workspace=_WORKSPACE))
