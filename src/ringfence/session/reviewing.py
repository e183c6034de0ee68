"""The reviewer of a session, made of what the policy says and of the person's environment."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping

from ringfence.approvals.reviewing.asking import Ask, by_command, over_http
from ringfence.approvals.reviewing.opinion import Reviewed
from ringfence.approvals.reviewing.reviewer import Reviewer
from ringfence.approvals.reviewing.transcript import Transcript
from ringfence.approvals.reviewing.wires import WIRES
from ringfence.model.action import action_digest
from ringfence.model.decision import Decision
from ringfence.model.event import ReviewMade
from ringfence.model.ports import Recorder
from ringfence.model.wording import action_text
from ringfence.policy.effective import ApprovalPolicy, ReviewerKind, ReviewerRule

_KEPT = ("PATH", "HOME", "LANG")

Review = Callable[[Decision], Awaitable[Reviewed]]


def reviewing(
    said: ApprovalPolicy, transcript: Transcript, recorder: Recorder, environ: Mapping[str, str]
) -> Review | None:
    """What reviews a question of this session; nothing where the policy names nobody."""
    rule = said.reviewer
    if rule is None:
        return None
    reviewer = Reviewer(
        name=f"{rule.kind.value}:{rule.model}" if rule.model else rule.kind.value,
        ask=_ask(rule, environ),
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


def _ask(rule: ReviewerRule, environ: Mapping[str, str]) -> Ask | None:
    if rule.kind is ReviewerKind.FEATURES:
        return None
    if rule.kind is ReviewerKind.COMMAND:
        kept = {name: environ[name] for name in (*_KEPT, rule.key_variable) if name in environ}
        kept.setdefault("PATH", os.defpath)
        return by_command(rule.argv, environment=kept, seconds=rule.seconds)
    return over_http(
        WIRES[rule.kind.value],
        url=rule.url,
        model=rule.model,
        key=lambda: environ.get(rule.key_variable, ""),
        seconds=rule.seconds,
    )
