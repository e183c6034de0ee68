"""The reviewer of a session, made of what the policy says and of the person's environment."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping

from ringfence.approvals.reviewing.asking import Ask, ReviewerUnavailable, by_command, over_http
from ringfence.approvals.reviewing.opinion import Opinion, Reviewed
from ringfence.approvals.reviewing.request import ReviewRequest
from ringfence.approvals.reviewing.reviewer import Reviewer
from ringfence.approvals.reviewing.transcript import Transcript
from ringfence.approvals.reviewing.wires import WIRES
from ringfence.model.action import action_digest
from ringfence.model.decision import Decision
from ringfence.model.event import ReviewMade
from ringfence.model.ports import Recorder
from ringfence.model.wording import action_text
from ringfence.policy.effective import ApprovalPolicy, ReviewerKind, ReviewerRule
from ringfence.session.outside_environment import is_below

_KEPT = ("PATH", "HOME", "LANG")

Review = Callable[[Decision], Awaitable[Reviewed]]


def reviewing(
    said: ApprovalPolicy, transcript: Transcript, recorder: Recorder, environ: Mapping[str, str], workspace: str
) -> Review | None:
    """What reviews a question of this session; nothing where the policy names nobody. `environ`: the person's, without
    what leads into the workspace."""
    rule = said.reviewer
    if rule is None:
        return None
    reviewer = Reviewer(
        name=f"{rule.kind.value}:{rule.model}" if rule.model else rule.kind.value,
        ask=_ask(rule, environ, workspace),
        ceiling=said.reviewer_ceiling,
        tenant=rule.instructions,
        audit_fraction=said.reviewer_audit_percent / 100,
    )

    async def review(decision: Decision) -> Reviewed:
        began = time.monotonic()
        reviewed = await reviewer.review(decision, transcript)
        opinion = reviewed.opinion
        await recorder.record(
            ReviewMade(
                reviewer=reviewed.reviewer,
                conclusion=reviewed.conclusion.value,
                action=action_digest(decision.action),
                what=action_text(decision.action),
                risk=None if opinion is None else opinion.risk_level.value,
                authorization=None if opinion is None else opinion.user_authorization.value,
                reason=reviewed.problem or (opinion.rationale if opinion is not None else ""),
                seen=reviewed.seen,
                audit=reviewed.audited,
                latency_ms=round((time.monotonic() - began) * 1000),
            )
        )
        return reviewed

    return review


def _ask(rule: ReviewerRule, environ: Mapping[str, str], workspace: str) -> Ask | None:
    if rule.kind is ReviewerKind.FEATURES:
        return None
    if rule.kind is ReviewerKind.COMMAND:
        kept = {name: environ[name] for name in (*_KEPT, rule.key_variable) if name in environ}
        kept.setdefault("PATH", os.defpath)
        return _if_foreign(by_command(rule.argv, environment=kept, seconds=rule.seconds), rule.argv, workspace)
    return over_http(
        WIRES[rule.kind.value],
        url=rule.url,
        model=rule.model,
        key=lambda: environ.get(rule.key_variable, ""),
        seconds=rule.seconds,
    )


def _if_foreign(ask: Ask, argv: tuple[str, ...], workspace: str) -> Ask:
    """Asks only while nothing of the command lies where the agent could have written it.

    SECURITY: the program runs outside the sandbox, and its word opens what is asked about.
    """

    async def asked(request: ReviewRequest) -> Opinion:
        for word in argv:
            if word.startswith("/") and is_below(word, workspace):
                raise ReviewerUnavailable(f"`{word}` lies in the workspace, where the agent could replace it")
        return await ask(request)

    return asked
