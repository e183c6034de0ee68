"""The life of a request: the table, its diagram, and what it does not allow."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from ringfence.approvals.transitions import TABLE, TERMINAL, Illegal, State, Trigger, at, mermaid, step

DOCS = Path(__file__).parents[2] / "docs" / "approvals.md"


def test_the_documentation_holds_the_diagram_of_the_table() -> None:
    assert f"```mermaid\n{mermaid()}\n```" in DOCS.read_text()


def test_the_documentation_says_what_each_state_means() -> None:
    text = DOCS.read_text()

    assert [state for state in State if f"| `{state}` |" not in text] == []


def test_no_row_contradicts_another() -> None:
    assert len({(row.before, row.trigger) for row in TABLE}) == len(TABLE)


def test_what_the_table_does_not_hold_is_an_error_value() -> None:
    listed = {(row.before, row.trigger): row.after for row in TABLE}

    assert {pair: step(*pair) for pair in product(State, Trigger)} == {
        pair: listed.get(pair, Illegal(state=pair[0], trigger=pair[1])) for pair in product(State, Trigger)
    }


def test_only_an_approval_leads_to_an_execution_or_the_agent_reports_one_that_it_asked_about_itself() -> None:
    assert [(row.before, row.trigger) for row in TABLE if row.after is State.CONSUMED] == [
        (State.DELEGATED, Trigger.REPORT),
        (State.APPROVED, Trigger.CONSUME),
    ]
    assert [row.trigger for row in TABLE if row.after is State.APPROVED] == [Trigger.APPROVE, Trigger.BREAK_GLASS]


def test_nothing_leaves_a_final_state() -> None:
    assert frozenset(State) - {State.PENDING, State.DELEGATED, State.APPROVED} == TERMINAL


@pytest.mark.parametrize(
    ("state", "late"),
    [
        (State.PENDING, State.EXPIRED),
        (State.DELEGATED, State.EXPIRED),
        (State.APPROVED, State.LAPSED),
        *((state, state) for state in sorted(TERMINAL)),
    ],
)
def test_a_deadline_counts_from_its_moment_on(state: State, late: State) -> None:
    assert at(state, expires_ns=10, now_ns=9) is state
    assert at(state, expires_ns=10, now_ns=10) is late
