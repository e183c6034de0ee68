"""Four questions about a change of policy, each answered with yes and a witness, with no, or with what is undecided.

A no is a proof: every kind of connection and path that the two policies can tell apart was judged by both, or all that
decides about it is the same in both (`alike`). Commands are the exception, because nobody can list them; there a no
means that every rule that stopped one still does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from ringfence.model.action import Action, FileAction, FileOperation
from ringfence.model.decision import Placement
from ringfence.policy.compare.comparison import Comparison, compare
from ringfence.policy.compare.credentials import (
    Carried,
    Handling,
    handling_of,
    newly_carried,
    newly_carried_variables,
    newly_foreign,
    newly_uninspected,
)
from ringfence.policy.compare.difference import Area, Difference
from ringfence.policy.compare.reach import Reached, newly_reached
from ringfence.policy.evaluate import Evaluator


class Question(StrEnum):
    """What is asked about a change."""

    PRIVATE = "private-address"
    INSPECTION = "inspection"
    CREDENTIAL = "credential"
    CAPABILITY = "capability"


QUESTIONS = {
    Question.PRIVATE: "can anything newly reach a link-local, private or other address that is not public?",
    Question.INSPECTION: "can anything newly pass a host that has a credential without inspection?",
    Question.CREDENTIAL: "does a credential reach a new host?",
    Question.CAPABILITY: "does anybody gain a capability (a path to write, host, command, tool, place outside)?",
}


class Answer(StrEnum):
    """What was found."""

    NO = "no"
    YES = "yes"
    UNDECIDED = "undecided"
    """Neither a witness nor a proof; the notes say what has to be looked at."""


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """An action that shows a yes."""

    what: str
    before: str
    after: str
    action: Action


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one question."""

    question: Question
    answer: Answer
    witnesses: tuple[Witness, ...] = ()
    notes: tuple[str, ...] = ()
    """What the answer rests on, and what is undecided."""


def prove(
    before: Evaluator, after: Evaluator, *, handling: tuple[Handling, Handling] | None = None
) -> tuple[Proof, ...]:
    """The answers to all four questions. `handling` stands in for what the documents say about credentials."""
    first, second = handling or (handling_of(before.policy), handling_of(after.policy))
    comparison = compare(before, after, handling=(first, second))
    return (
        _private(comparison, before, after),
        _inspection(comparison, first, second),
        _credential(comparison, first, second, before, after),
        _capability(comparison),
    )


def _private(comparison: Comparison, before: Evaluator, after: Evaluator) -> Proof:
    found = newly_reached(comparison.connections, before, after)
    return _proof(Question.PRIVATE, map(_reached, found), _undecided(comparison, Area.NETWORK))


def _inspection(comparison: Comparison, first: Handling, second: Handling) -> Proof:
    found = newly_uninspected(comparison.connections, first, second)
    notes = () if second.bindings else (_NOTHING_BOUND,)
    return _proof(Question.INSPECTION, map(_carried, found), _undecided(comparison, Area.NETWORK), notes)


def _credential(
    comparison: Comparison, first: Handling, second: Handling, before: Evaluator, after: Evaluator
) -> Proof:
    bound = newly_carried(comparison.connections, first, second)
    variables = newly_carried_variables(comparison.connections, before.policy.environment, after.policy.environment)
    foreign = newly_foreign(comparison.connections, first, second)
    notes = (_VARIABLES,) if second.bindings else (_NOTHING_BOUND, _VARIABLES)
    witnesses = [*map(_carried, bound), *map(_carried, foreign), *map(_carried, variables)]
    return _proof(Question.CREDENTIAL, witnesses, _undecided(comparison, Area.NETWORK), notes)


def _capability(comparison: Comparison) -> Proof:
    gained = [_gained(one) for one in comparison.differences if _is_capability(one)]
    undecided = list(_undecided(comparison, Area.NETWORK, Area.FILES, Area.MCP))
    stopped = {one.before.rule for one in comparison.differences if one.area is Area.COMMANDS and one.loosens}
    undecided += [
        f"rule `{rule.id}` ({rule.origin.source}) has no equal in the second policy, and no example shows what passes"
        for rule in comparison.unheld
        if rule.id not in stopped
    ]
    return _proof(Question.CAPABILITY, gained, undecided, (_PLACEMENT,))


def _proof(
    question: Question, witnesses: Iterable[Witness], undecided: Iterable[str], notes: Iterable[str] = ()
) -> Proof:
    found, open_points = tuple(witnesses), tuple(undecided)
    answer = Answer.YES if found else Answer.UNDECIDED if open_points else Answer.NO
    return Proof(question=question, answer=answer, witnesses=found, notes=(*open_points, *notes))


def _undecided(comparison: Comparison, *areas: Area) -> Iterator[str]:
    for one in comparison.undecided:
        if one.area in areas:
            yield f"{one.area.value}: {one.why}"


def _is_capability(difference: Difference) -> bool:
    """Reading is none of the four questions; `policy diff` tells it."""
    action = difference.action
    reads = isinstance(action, FileAction) and action.operation is FileOperation.READ
    return difference.loosens and not reads


def _gained(difference: Difference) -> Witness:
    before, after = difference.before, difference.after
    outside = {True: " outside the sandbox", False: ""}
    return Witness(
        what=f"{difference.area.value}: {difference.what}",
        before=before.verdict.value + outside[before.placement is Placement.OUTSIDE],
        after=after.verdict.value + outside[after.placement is Placement.OUTSIDE],
        action=difference.action,
    )


def _reached(found: Reached) -> Witness:
    leads = "" if found.action.host == found.address else f", which may lead to {found.address}"
    return Witness(
        what=f"{found.kind.value} address: {found.action.host}{leads}",
        before=found.before.value,
        after=found.after.value,
        action=found.action,
    )


def _carried(found: Carried) -> Witness:
    return Witness(
        what=f"credential {found.credential}", before=found.before.value, after=found.after.value, action=found.action
    )


_NOTHING_BOUND = "the second policy binds no credential to a host"
_VARIABLES = "counted as credentials are variables that reach the sandbox and are named like one (`*_TOKEN`, `*_KEY`)"
_PLACEMENT = "no document can place a command outside the sandbox; commands are judged by rules and by example"
