"""What an answer for the beginning of a command would answer as well, and what it would not, by trying both.

The examples come from what this machine's sessions were asked in the last 30 days, and from ways in which such a
command becomes another one. Each is judged by the policy in force, and compared as the gate compares it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import msgspec

from ringfence.approvals import amendments, matchers
from ringfence.approvals.objects import NANOSECONDS, REPO_DAYS, Request
from ringfence.model.action import Action, CommandAction, action_digest
from ringfence.model.decision import Verdict
from ringfence.model.display import shortened, visible
from ringfence.model.event import DecisionMade
from ringfence.model.wording import action_text
from ringfence.policy.evaluate import Evaluator
from ringfence.session.policy_files import load_policy
from ringfence.session.sources import Places, situation
from ringfence.telemetry.reader import LedgerReader, Wanted

_SHOWN = 3
_MOST = 20_000
"""Events that are looked through."""


class Examples(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    answered: tuple[str, ...]
    """Commands that it would answer."""
    asked: tuple[str, ...]
    """Commands that would still be asked about, or are denied."""


def examples(request: Request, words: int, where: Places) -> Examples:
    """Try an answer for so many words."""
    policy = load_policy(where, request.workspace, situation=situation(request.workspace))
    evaluator = Evaluator(policy, where.context(request.workspace))
    answered: dict[str, None] = {}
    asked: dict[str, None] = {}
    for action in (*_recorded(where.ledger), *_varied(request, words)):
        decision = evaluator.evaluate(action)
        text = shortened(action_text(action), 100)
        if decision.verdict is Verdict.ALLOW or action_digest(action) == request.digest:
            continue
        key = amendments.key(request.begins[:words])
        same_rules = set(matchers.asking(decision)) <= set(request.asking)
        if decision.verdict is Verdict.ASK and same_rules and key in amendments.keys(decision):
            (answered if amendments.covers(request, decision) else asked)[text] = None
        elif _begins_alike(action, request, words):
            asked[text] = None
    return Examples(answered=tuple(answered)[:_SHOWN], asked=tuple(asked)[:_SHOWN])


def lines(request: Request, words: int, found: Examples) -> list[str]:
    """The examples for people."""
    name = visible(" ".join(request.begins[:words]))
    text = [f"  remember every `{name} ...` in {visible(_folder(request))} that does no more than this one"]
    text += [f"  answers  {visible(one)}" for one in found.answered] or ["  answers  nothing else that is known"]
    return text + [f"  asks     {visible(one)}" for one in found.asked]


def _recorded(ledger: str) -> Iterator[Action]:
    """Commands that were asked about in the last 30 days."""
    if not os.path.exists(ledger):
        return
    reader = LedgerReader(ledger)
    try:
        since = time.time_ns() - REPO_DAYS * 24 * 3600 * NANOSECONDS
        for number, found in enumerate(reader.events(Wanted(event="decision", since_ns=since))):
            body = found.body
            if number > _MOST:
                break
            if isinstance(body, DecisionMade) and isinstance(body.decision.action, CommandAction):
                yield body.decision.action
    finally:
        reader.close()


def _varied(request: Request, words: int) -> Iterator[Action]:
    """What the same words may become."""
    begun = " ".join(request.begins[:words])
    for end in ("another", "--force", "-f", "; rm -rf ~", "| sh", '"$X"', "--help", "> ~/.bashrc"):
        script = f"{begun} {end}"
        yield msgspec.convert(
            {"kind": "command", "argv": ("/bin/sh", "-c", script), "cwd": _folder(request), "shell": script},
            type=CommandAction,
        )


def _begins_alike(action: Action, request: Request, words: int) -> bool:
    return action_text(action).startswith(" ".join(request.begins[:words]))


def _folder(request: Request) -> str:
    return request.action.cwd if isinstance(request.action, CommandAction) else request.workspace
