"""What all layers say about who answers questions, as one: lists of people narrow each other, limits are the tightest,
and a repository neither answers nor is told.
"""

from __future__ import annotations

from typing import TypedDict

from ringfence.model.decision import Risk
from ringfence.policy.choosing import distrust
from ringfence.policy.documents import Document
from ringfence.policy.effective import (
    ApprovalPolicy,
    Delegate,
    Origin,
    QuorumRule,
    Remember,
    ReviewerRule,
    StepRule,
    WebhookRule,
)
from ringfence.policy.layers import Layer
from ringfence.policy.merging import Merging
from ringfence.policy.sections.answering import AnsweringSection
from ringfence.policy.sections.reviewer import Ceiling, ReviewerSection


class _Answering(TypedDict):
    self_approval: bool
    quorums: tuple[QuorumRule, ...]
    steps: tuple[StepRule, ...]
    break_glass: tuple[tuple[str, ...], ...] | None
    break_glass_minutes: int
    denials_in_a_row: int
    denials_of_50: int
    wait_seconds: int
    webhooks: tuple[WebhookRule, ...]
    delegate: Risk | None


class _Reviewing(TypedDict):
    reviewer: ReviewerRule | None
    reviewer_ceiling: Risk | None
    reviewer_audit_percent: int


def merged_approvals(merging: Merging) -> ApprovalPolicy:
    """Who answers, for how long, and who else is asked."""
    said = [(document, document.approvals) for document in merging.documents]
    timeouts = [(document, one.timeout_seconds) for document, one in said]
    scopes = [(document, one.remember) for document, one in said]
    days = [(document, one.remember_days) for document, one in said]
    people = [(document, "approvers", one.approvers) for document, one in said]
    overriding = [(document, "overriders", one.overriders) for document, one in said]
    order = list(Remember)
    return ApprovalPolicy(
        timeout_seconds=merging.scalar("approvals.timeout_seconds", timeouts, lambda value: -value, 300)[0],
        remember=merging.scalar("approvals.remember", scopes, lambda one: -order.index(one), Remember.REPO)[0],
        remember_days=merging.scalar("approvals.remember_days", days, lambda value: -value, 30)[0],
        approvers=_people(merging, people),
        overriders=_people(merging, overriding),
        **_answering(merging, [(document, one.answering) for document, one in said]),
        **_reviewer(merging, [(document, one.reviewer) for document, one in said]),
    )


def _reviewer(merging: Merging, said: list[tuple[Document, ReviewerSection]]) -> _Reviewing:
    """The reviewer of the highest layer that has one, never a repository's; and its limits, each the tightest."""
    kept: ReviewerRule | None = None
    binding = False
    own = []
    for document, one in said:
        rule = one.rule
        if document.layer is Layer.PROJECT or not document.trusted:
            if rule is not None:
                merging.skip(rule.origin, "the reviewer", "a repository names no reviewer")
            continue
        own.append((document, one))
        if rule is None:
            continue
        if binding and not document.layer.binds and kept is not None:
            merging.skip(rule.origin, "the reviewer", f"{kept.origin.source} has another", kept.origin)
            continue
        if kept is not None:
            merging.skip(kept.origin, "the reviewer", f"{rule.origin.source} has another", rule.origin, told=False)
        kept, binding = rule, document.layer.binds
    ceilings = [(document, one.ceiling) for document, one in own]
    order = list(Ceiling)
    ceiling = merging.scalar("approvals.reviewer.ceiling", ceilings, lambda value: -order.index(value), Ceiling.LOW)[0]
    audits = [(document, one.audit_percent) for document, one in own]
    return _Reviewing(
        reviewer=kept,
        reviewer_ceiling=None if ceiling is Ceiling.NONE else Risk(ceiling.value),
        reviewer_audit_percent=merging.scalar("approvals.reviewer.audit_percent", audits, lambda value: value, 0)[0],
    )


def _answering(merging: Merging, said: list[tuple[Document, AnsweringSection]]) -> _Answering:
    own = [(document, one.self_approval) for document, one in said]
    minutes = [(document, one.break_glass_minutes) for document, one in said]
    in_a_row = [(document, one.denials_in_a_row) for document, one in said]
    of_recent = [(document, one.denials_of_50) for document, one in said]
    waits = [(document, one.wait_seconds) for document, one in said]
    return _Answering(
        self_approval=merging.scalar("approvals.self_approval", own, lambda may: 0 if may else 1, True)[0],
        break_glass=_break_glass(merging, [(document, one.break_glass) for document, one in said]),
        break_glass_minutes=merging.scalar("approvals.break_glass_minutes", minutes, lambda value: -value, 60)[0],
        denials_in_a_row=merging.scalar("approvals.denials_in_a_row", in_a_row, lambda value: -value, 3)[0],
        denials_of_50=merging.scalar("approvals.denials_of_50", of_recent, lambda value: -value, 10)[0],
        quorums=_quorums(merging, [(document, one.quorums) for document, one in said]),
        steps=_steps(merging, [(document, one.steps) for document, one in said]),
        wait_seconds=merging.scalar("approvals.wait_seconds", waits, lambda _: 0, 0)[0],
        webhooks=_webhooks(merging, [(document, one.webhooks) for document, one in said]),
        delegate=_delegate(merging, [(document, one.delegate) for document, one in said]),
    )


def _delegate(merging: Merging, written: list[tuple[Document, tuple[Delegate, Origin] | None]]) -> Risk | None:
    """How far an agent's own prompt answers. A repository can only say less."""
    said = []
    for document, one in written:
        # SECURITY: a repository brings the settings of agents too, and those can answer their prompts.
        if one is not None and document.layer is Layer.PROJECT and one[0] is not Delegate.NONE:
            merging.skip(
                one[1], "`approvals.delegate`", "only your own policy and the managed one leave questions to it"
            )
        else:
            said.append((document, one))
    order = list(Delegate)
    found = merging.scalar("approvals.delegate", said, lambda one: -order.index(one), Delegate.NONE)[0]
    return None if found is Delegate.NONE else Risk(found.value)


def _webhooks(merging: Merging, written: list[tuple[Document, tuple[WebhookRule, ...]]]) -> tuple[WebhookRule, ...]:
    """Webhooks of the person and of the administrator; of two with one name, the administrator's."""
    kept: dict[str, WebhookRule] = {}
    for document, rules in sorted(written, key=lambda one: not one[0].layer.binds):
        for rule in rules:
            # SECURITY: a repository would be told of every question, and say who has answered.
            if not document.layer.binds and document.layer is not Layer.USER:
                merging.skip(rule.origin, "a webhook", "only your own policy and the managed one name webhooks")
            elif rule.name in kept:
                merging.skip(rule.origin, "a webhook", f"another one is called `{rule.name}` already")
            else:
                kept[rule.name] = rule
    return tuple(kept.values())


def _break_glass(
    merging: Merging, written: list[tuple[Document, tuple[tuple[str, ...], Origin] | None]]
) -> tuple[tuple[str, ...], ...] | None:
    """Who may go ahead without approval: on the word of an administrator, narrowed by requirements."""
    for document, one in written:
        if one is not None and not document.layer.binds:
            merging.skip(one[1], "`approvals.break_glass`", "only the managed policy lets anybody break the glass")
    counted = [(document, "break_glass", one) for document, one in written if document.layer.binds]
    opened = any(one is not None and document.layer is Layer.MANAGED for document, _, one in counted)
    found = _people(merging, counted)
    return found if opened else None


def _quorums(merging: Merging, written: list[tuple[Document, tuple[QuorumRule, ...]]]) -> tuple[QuorumRule, ...]:
    """Every set of people that counts: each is one more that has to be met."""
    for document, rules in written:
        for rule in rules if not document.trusted else ():
            merging.skip(rule.origin, "a set of approvers", distrust(document))
    return tuple(rule for document, rules in written if document.trusted for rule in rules)


def _steps(merging: Merging, written: list[tuple[Document, tuple[StepRule, ...]]]) -> tuple[StepRule, ...]:
    """The ladder of the highest layer that has one; those of administrators stand above a person's."""
    kept: tuple[StepRule, ...] = ()
    binding = False
    for document, steps in written:
        if not steps:
            continue
        if not document.trusted:
            merging.skip(steps[0].origin, "the ladder", distrust(document))
        elif binding and not document.layer.binds:
            merging.skip(steps[0].origin, "the ladder", f"{kept[0].origin.source} has another", kept[0].origin)
        else:
            if kept:
                why = f"{steps[0].origin.source} has another"
                merging.skip(kept[0].origin, "the ladder", why, steps[0].origin, told=False)
            kept, binding = steps, document.layer.binds
    return kept


def _people(
    merging: Merging, written: list[tuple[Document, str, tuple[tuple[str, ...], Origin] | None]]
) -> tuple[tuple[str, ...], ...]:
    """Every list of people that counts: each narrows the others. A repository never says who answers."""
    found = []
    for document, key, one in written:
        if one is None:
            continue
        names, origin = one
        if document.trusted:
            found.append(names)
            merging.origins[f"approvals.{key}.{len(found)}"] = origin
        else:
            merging.skip(origin, f"`approvals.{key}`", distrust(document))
    return tuple(dict.fromkeys(found))
