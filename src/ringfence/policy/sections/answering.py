"""Who answers a question: `[[approvals.quorum]]`, `[[approvals.step]]`, and what stands beside them."""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import msgspec

from ringfence.model.decision import Risk
from ringfence.model.vote import Authentication
from ringfence.policy.effective import Assurance, Delegate, Origin, QuorumRule, StepRule, WebhookRule
from ringfence.policy.schema import Table
from ringfence.policy.sections.names import take_people
from ringfence.policy.sections.webhooks import webhook

DENIALS = 50
"""How many answers the circuit breaker looks back on."""
_MOST = 32
_Value = TypeVar("_Value")


class AnsweringSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about who answers."""

    self_approval: tuple[bool, Origin] | None = None
    quorums: tuple[QuorumRule, ...] = ()
    steps: tuple[StepRule, ...] = ()
    break_glass: tuple[tuple[str, ...], Origin] | None = None
    break_glass_minutes: tuple[int, Origin] | None = None
    denials_in_a_row: tuple[int, Origin] | None = None
    denials_of_50: tuple[int, Origin] | None = None
    wait_seconds: tuple[int, Origin] | None = None
    webhooks: tuple[WebhookRule, ...] = ()
    delegate: tuple[Delegate, Origin] | None = None


def answering(table: Table) -> AnsweringSection:
    """Read what `[approvals]` says about who answers."""
    about = "Whether whoever runs a session may approve its questions."
    own = table.take_flag("self_approval", about=about)
    about = "Who may go ahead without waiting for approval, with a reason, for a time, and with a review afterwards."
    break_glass = take_people(table, "break_glass", about)
    about = "How long a broken glass lasts at most."
    minutes = table.take_integer("break_glass_minutes", least=1, most=60, about=about)
    about = "After so many denied questions in a row, nothing is asked any more in this turn of the agent."
    in_a_row = table.take_integer("denials_in_a_row", least=1, most=DENIALS, about=about)
    about = "Likewise, after so many of the last 50."
    of_recent = table.take_integer("denials_of_50", least=1, most=DENIALS, about=about)
    about = "After so long, an agent is told that its question is queued, and goes on with other work; 0 for never."
    wait = table.take_integer("wait_seconds", least=0, most=24 * 3600, about=about)
    about = "The highest risk at which `--ask delegated` leaves a question to the agent's own prompt."
    delegate = table.take_choice("delegate", Delegate, about=about)
    about = "A set of people of whom enough have to agree; several all have to be met, by different people."
    quorums = tuple(_quorum(one) for one in table.take_tables("quorum", most=_MOST, about=about))
    about = "A step of the ladder: who is asked as well, and when."
    steps = tuple(_step(one) for one in table.take_tables("step", most=_MOST, about=about))
    about = "Somewhere that is told of every question, and that may bring the answers of people it names."
    hooks = tuple(webhook(one) for one in table.take_tables("webhook", most=_MOST, about=about))
    found = tuple(step for step in steps if step is not None)
    for earlier, later in pairwise(found):
        if later.after_seconds <= earlier.after_seconds:
            table.faults.add_at(
                later.origin, "each step is later than the one before: give it a larger `after_seconds`"
            )
    if found and found[0].after_seconds:
        table.faults.add_at(found[0].origin, "the first step is asked at once: leave out its `after_seconds`")
    return AnsweringSection(
        self_approval=_written(table, "self_approval", own),
        quorums=tuple(one for one in quorums if one is not None),
        steps=found,
        break_glass=break_glass,
        break_glass_minutes=_written(table, "break_glass_minutes", minutes),
        denials_in_a_row=_written(table, "denials_in_a_row", in_a_row),
        denials_of_50=_written(table, "denials_of_50", of_recent),
        wait_seconds=_written(table, "wait_seconds", wait),
        webhooks=tuple(one for one in hooks if one is not None),
        delegate=_written(table, "delegate", delegate),
    )


def _quorum(table: Table) -> QuorumRule | None:
    who = take_people(table, "who", "Users, groups as `@GROUP`, and `:owner` for whoever runs the session.", owner=True)
    approve = table.take_integer("approve", least=1, most=16, about="How many of them have to approve.")
    deny = table.take_integer("deny", least=1, most=16, about="How many of them are enough for a deny.")
    about = "How they have to show who they are, at least."
    assurance = table.take_choice("assurance", Assurance, about=about)
    risk = table.take_choice("risk", Risk, about="The lowest risk that it is about.")
    rules = tuple(text for _, text in table.take_texts("rules", about="The rules whose questions it is about."))
    if table.is_empty("rules"):
        table.fault("rules", "`rules` is empty: it would be about no question; leave it out for all of them")
    complete = table.require("who")
    table.finish()
    if not complete or who is None:
        return None
    return QuorumRule(
        who=who[0],
        approve=approve or 1,
        deny=deny or 1,
        assurance=Authentication(assurance or Assurance.ACCOUNT),
        risk=risk or Risk.LOW,
        rules=rules,
        origin=table.faults.origin(table.path),
    )


def _step(table: Table) -> StepRule | None:
    who = take_people(table, "who", "Users, groups as `@GROUP`, and `:owner` for whoever runs the session.", owner=True)
    after = table.take_integer("after_seconds", least=1, most=7 * 24 * 3600, about="When they are asked as well.")
    complete = table.require("who")
    table.finish()
    if not complete or who is None:
        return None
    return StepRule(who=who[0], after_seconds=after or 0, origin=table.faults.origin(table.path))


def _written(table: Table, key: str, value: _Value | None) -> tuple[_Value, Origin] | None:
    return None if value is None else (value, table.faults.origin(table.at(key)))
