"""Many questions of one kind, as one list on a real terminal: one answer never covers what was not in the list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from tests.approvals.made import Time, command, connection, counting, decision, desk_at
from tests.approvals.pseudoterminal import Person

from ringfence.approvals.channels import batch
from ringfence.approvals.channels.channel import Answer, Outcome
from ringfence.approvals.channels.terminal import Terminal
from ringfence.approvals.objects import Request
from ringfence.approvals.prompt import prompt
from ringfence.model.action import Action
from ringfence.model.canonical import digest
from ringfence.model.decision import Placement, Risk


def asked(actions: Sequence[Action], rules: Sequence[str] = ()) -> list[Request]:
    desk = desk_at(":memory:", Time())
    made = []
    for number, action in enumerate(actions):
        wanted = decision(action, decision(action).verdict, rules[number] if rules else "rule")
        made.append(desk.open(wanted, session="s", workspace="/w", channel="t", prompt=prompt(wanted), seconds=60)[0])
    return made


def hosts(count: int) -> list[Request]:
    return asked([connection(f"{letter}.example") for letter in "abcdefghijklmnop"[:count]])


def test_the_list_shows_every_line_of_every_question_and_its_digest() -> None:
    three = hosts(3)

    assert batch.drawn(three, more=2) == [
        "ringfence: 3 questions of one kind wait",
        f"  1  the agent wants to connect to a.example:443  ({three[0].shown[:19]})",
        "     to       a.example:443",
        "     session  would remember: connections to a.example:443, as far as the same rules ask",
        f"  2  the agent wants to connect to b.example:443  ({three[1].shown[:19]})",
        "     to       b.example:443",
        "     session  would remember: connections to b.example:443, as far as the same rules ask",
        f"  3  the agent wants to connect to c.example:443  ({three[2].shown[:19]})",
        "     to       c.example:443",
        "     session  would remember: connections to c.example:443, as far as the same rules ask",
        "  all of them:",
        "     request  any method",
        "     because  because (rule rule, user, policy.toml:1)",
        "     risk     low; inside the sandbox",
        "  2 more wait, and are asked next",
    ]


@pytest.mark.parametrize("count", [3, 5, 8])
def test_invariant_2_no_line_of_a_question_is_left_out_of_a_list(count: int) -> None:
    requests = batch.together(hosts(count)[0], hosts(count))
    text = "\n".join(batch.drawn(requests))

    assert [line for one in requests for line in one.prompt if line.strip() not in text] == []
    assert len(batch.drawn(requests)) <= batch.MOST_LINES


def test_two_are_asked_one_after_the_other_and_of_many_no_more_than_are_seen_at_once() -> None:
    two, many = hosts(2), hosts(16)

    assert batch.together(two[0], two) == (two[0],)
    assert 3 <= len(batch.together(many[0], many)) <= batch.MOST


@pytest.mark.parametrize(
    "change",
    [{"risk": Risk.HIGH}, {"risk": Risk.CRITICAL}, {"override": True}, {"placement": Placement.OUTSIDE}],
)
def test_what_is_grave_is_asked_by_itself(change: dict[str, object]) -> None:
    four = hosts(4)
    grave = msgspec.structs.replace(four[0], **change)

    assert batch.together(grave, [grave, *four[1:]]) == (grave,)
    assert grave not in batch.together(four[1], [grave, *four[1:]])


def test_what_another_rule_asks_or_is_another_kind_of_action_is_in_another_list() -> None:
    alike = [connection("a.example"), connection("b.example"), connection("c.example")]
    made = asked([*alike, connection("d.example"), command("ls")], ["rule", "rule", "rule", "other", "rule"])

    assert batch.together(made[0], made) == tuple(made[:3])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"o", (True, True, True)),
        (b"1 3", (True, False, True)),
        (b"2,3", (False, True, True)),
        (b"2", (False, True, False)),
        (b"4", None),
        (b"0", None),
        (b"1 x", None),
        (b"yes", None),
        (b"oo", None),
        (b"\xc2\xb2", None),
        (b"-1", None),
    ],
)
def test_a_line_answers_all_or_those_that_it_numbers(line: bytes, said: tuple[bool, ...] | None) -> None:
    assert batch.answered(line, 3) == said


@pytest.fixture
async def person() -> AsyncIterator[Person]:
    somebody = Person()
    yield somebody
    somebody.hang_up()


def terminal(person: Person) -> Terminal:
    return Terminal(approver="person:ada", new_id=counting("vote"), colours=False, path=person.path, guard_seconds=0.05)


async def flood(person: Person, requests: Sequence[Request], *keys: str) -> list[Outcome]:
    asking = terminal(person)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        outcomes = [tasks.create_task(asking.ask(request)) for request in requests]
        for number, line in enumerate(keys, 1):
            while person.seen.count("\n> ") < number:
                await asyncio.sleep(0.01)
            person.type(f"{line}\r")
    return [one.result() for one in outcomes]


def said(outcomes: Sequence[Outcome]) -> list[tuple[bool, str]]:
    return [(one.approve, one.seen) for one in outcomes if isinstance(one, Answer)]


async def test_invariant_8_a_flood_is_one_list_and_one_answer_approves_each_by_its_own_digest(person: Person) -> None:
    four = hosts(4)

    outcomes = await flood(person, four, "o")

    assert said(outcomes) == [(True, digest(list(one.prompt))) for one in four]
    assert len({one.vote for one in outcomes if isinstance(one, Answer)}) == 4


@pytest.mark.parametrize(("keys", "allowed"), [("1 3", [True, False, True]), ("d", [False] * 3), ("", [False] * 3)])
async def test_those_that_are_not_numbered_are_denied(person: Person, keys: str, allowed: list[bool]) -> None:
    outcomes = await flood(person, hosts(3), keys)

    assert [approve for approve, _ in said(outcomes)] == allowed


async def test_what_was_not_in_the_list_is_asked_next(person: Person) -> None:
    many = hosts(10)
    first = len(batch.together(many[0], many))

    outcomes = await flood(person, many, "o", *["d"] * (1 if len(many) - first >= batch.FEWEST else len(many) - first))

    assert [approve for approve, _ in said(outcomes)] == [True] * first + [False] * (10 - first)
    assert f"{10 - first} more wait, and are asked next" in person.seen


@pytest.mark.slow
async def test_one_by_one_asks_each_with_its_whole_question(person: Person) -> None:
    outcomes = await flood(person, hosts(3), "l", "o", "d", "s")

    assert [approve for approve, _ in said(outcomes)] == [True, False, True]
    assert person.seen.count("[s] for this session") == 3


async def test_what_was_typed_before_a_list_approves_nothing(person: Person) -> None:
    person.type("o\ro\r")

    outcomes = await flood(person, hosts(3), "")

    assert [approve for approve, _ in said(outcomes)] == [False] * 3


@pytest.mark.slow
async def test_whoever_led_the_list_may_go_away_and_the_others_are_asked(person: Person) -> None:
    asking, four = terminal(person), hosts(4)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        lead, *others = [tasks.create_task(asking.ask(request)) for request in four]
        await person.sees("4 questions of one kind")
        lead.cancel()
        await person.sees("3 questions of one kind")
        while person.seen.count("\n> ") < 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        person.type("o\r")

    assert [approve for approve, _ in said([one.result() for one in others])] == [True] * 3
