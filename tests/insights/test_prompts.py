"""Friction, counted from events as the gate records them."""

from __future__ import annotations

from ringfence.insights.prompts import Moment, Prompts, RulePrompts, prompts
from ringfence.model.action import CommandAction, action_digest
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import ApprovalRequested, ApprovalTransition, Body, DecisionMade

HOUR = 3_600_000_000_000


def asked(rule: str, verdict: Verdict, by: str, *argv: str) -> DecisionMade:
    reason = Reason(rule=rule, layer="preset:workspace", source="workspace.toml:1", verdict=Verdict.ASK, text="asks")
    action = CommandAction(argv=argv or ("git", "push"), cwd="/w")
    decision = Decision(verdict=verdict, action=action, reasons=(reason,), policy="p", resolved_by=by)
    return DecisionMade(decision=decision, asked_by="hook")


def passed(*argv: str) -> DecisionMade:
    action = CommandAction(argv=argv, cwd="/w")
    return DecisionMade(
        decision=Decision(verdict=Verdict.ALLOW, action=action, reasons=(), policy="p"), asked_by="hook"
    )


def answered(made: DecisionMade, request: str, latency_ms: int) -> list[Body]:
    digest = action_digest(made.decision.action)
    return [
        ApprovalRequested(request=request, action=digest, policy="p", channel="terminal", shown="s", expires_ms=1),
        ApprovalTransition(
            request=request, before="pending", after="approved", actor="person:ada", channel="terminal",
            latency_ms=latency_ms,
        ),
        made,
    ]  # fmt: skip


def told(bodies: list[Body], session: str = "s", start: int = 0, hours: float = 1.0) -> list[Moment]:
    step = int(hours * HOUR / max(1, len(bodies) - 1))
    return [Moment(session=session, time_ns=start + at * step, body=body) for at, body in enumerate(bodies)]


def test_nothing_recorded_is_no_friction() -> None:
    assert prompts([]) == Prompts(
        sessions=0, hours=0, decisions=0, prompts=0, answered=0, approved=0, median_ms=None, rules=(), proposal=(),
        removed=0,
    )  # fmt: skip


def test_prompts_are_counted_by_rule_with_answers_and_times() -> None:
    yes = asked("git-publish", Verdict.ALLOW, "person", "git", "push")
    no = asked("git-publish", Verdict.DENY, "person", "git", "push", "--force")
    late = asked("cloud", Verdict.DENY, "timeout", "aws", "s3", "ls")
    bodies = [*answered(yes, "r1", 2_000), *answered(no, "r2", 6_000), late, passed("ls"), passed("pwd")]

    found = prompts(told(bodies, hours=2.0))

    assert (found.sessions, round(found.hours, 6), found.decisions) == (1, 2.0, 5)
    assert (found.prompts, found.answered, found.approved, found.median_ms) == (3, 2, 1, 4_000)
    assert found.per_hour is not None and round(found.per_hour, 6) == 1.5
    assert found.rules == (
        RulePrompts(
            rule="git-publish", layer="preset:workspace", source="workspace.toml:1", prompts=2, answered=2, approved=1,
            median_ms=4_000,
        ),
        RulePrompts(
            rule="cloud", layer="preset:workspace", source="workspace.toml:1", prompts=1, answered=0, approved=0,
            median_ms=None,
        ),
    )  # fmt: skip


def test_what_a_remembered_answer_or_the_policy_settled_is_no_prompt() -> None:
    remembered = asked("git-publish", Verdict.ALLOW, "grant:g1")
    denied = asked("git-publish", Verdict.DENY, "policy")

    assert prompts(told([remembered, denied])).prompts == 0


def test_hours_are_those_of_each_session() -> None:
    bodies: list[Body] = [passed("ls"), passed("ls")]

    found = prompts([*told(bodies, "a"), *told(bodies, "b", start=100 * HOUR)])

    assert (found.sessions, round(found.hours, 6)) == (2, 2.0)


def test_only_rules_that_were_always_approved_are_proposed_until_four_fifths_are_named() -> None:
    bodies: list[Body] = []
    for rule, count, verdict in (
        ("often", 6, Verdict.ALLOW),
        ("mixed", 5, Verdict.DENY),
        ("seldom", 3, Verdict.ALLOW),
        ("once", 1, Verdict.ALLOW),
    ):
        bodies += [asked(rule, verdict, "person", rule, str(at)) for at in range(count)]

    found = prompts(told(bodies))

    assert (found.proposal, found.removed, found.prompts) == (("often", "seldom"), 9, 15)


def test_the_proposal_stops_when_enough_is_named() -> None:
    bodies: list[Body] = [asked("often", Verdict.ALLOW, "person", str(at)) for at in range(12)]
    bodies += [asked("seldom", Verdict.ALLOW, "person", "x", str(at)) for at in range(3)]

    assert prompts(told(bodies)).proposal == ("often",)


def test_what_was_left_to_the_agents_own_prompt_is_a_prompt_and_no_answer_of_a_person() -> None:
    found = prompts(told([asked("git-publish", Verdict.ASK, "delegated")] * 4))

    assert (found.prompts, found.answered, found.approved, found.delegated, found.proposal) == (4, 0, 0, 4, ())
