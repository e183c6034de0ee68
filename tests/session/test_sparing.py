"""An agent that is denied again and again does not fill the record, and nothing of it is kept back in silence."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.approvals.made import Memory

from ringfence.model.action import FileAction, FileOperation
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import (
    Body,
    ConnectionClosed,
    DecisionMade,
    DenialsCounted,
    NoticeGiven,
    Receipt,
    SessionEnded,
)
from ringfence.model.situations import LedgerBroken
from ringfence.session.sparing import BURST_BYTES, BYTES_PER_SECOND, EACH, MOST_BYTES, Sparing

ENDED = SessionEnded(exit_code=0, outcome="exited")


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def denial(path: str, *, verdict: Verdict = Verdict.DENY, by: str = "policy", call: str | None = None) -> DecisionMade:
    reason = Reason(rule="filesystem.deny", layer="user", source="a:1", verdict=verdict, text="no")
    action = FileAction(operation=FileOperation.READ, path=path)
    decided = Decision(verdict=verdict, action=action, reasons=(reason,), policy="p", resolved_by=by)
    return DecisionMade(decision=decided, asked_by="hook", call=call)


def counts(memory: Memory) -> list[tuple[int, int]]:
    return [(one.count, one.total) for one in memory.bodies if isinstance(one, DenialsCounted)]


def written(memory: Memory) -> int:
    return sum(isinstance(one, DecisionMade) for one in memory.bodies)


async def test_the_same_denial_is_written_a_few_times_and_then_counted() -> None:
    sparing = Sparing(memory := Memory(), Clock())

    receipts = [await sparing.record(denial("/etc/shadow", call=str(at))) for at in range(1000)]
    await sparing.record(ENDED)

    assert written(memory) == EACH
    assert counts(memory) == [(16, 32), (32, 64), (64, 128), (128, 256), (256, 512), (488, 1000)]
    assert memory.bodies[-1] == ENDED
    # Whoever is answered is told where it stands.
    assert receipts[EACH + 1] == receipts[EACH - 1]
    assert all(isinstance(one, Receipt) for one in receipts)


async def test_different_denials_are_written_as_far_as_there_is_room() -> None:
    clock = Clock()
    sparing = Sparing(memory := Memory(), clock)
    size = len(msgspec.json.encode((denial("/" + "x" * 39_990).decision, "hook")))

    async def denied(times: int, name: str) -> int:
        before = written(memory)
        for at in range(times):
            await sparing.record(denial(f"/{name}{at:06}" + "x" * 39_990))
        return written(memory) - before

    assert await denied(1000, "a") * size <= BURST_BYTES
    assert sum(count for count, _ in counts(memory)) + written(memory) > 500
    clock.now += 60
    assert 1 <= await denied(1000, "b") <= 60 * BYTES_PER_SECOND // size + 1
    for at in range(100):
        clock.now += 3600
        await denied(200, f"c{at}")
    await sparing.record(ENDED)

    assert written(memory) * size <= MOST_BYTES
    assert counts(memory)[-1][1] + written(memory) == 22_000
    assert sum(count for count, _ in counts(memory)) + written(memory) == 22_000
    assert len({one.digest for one in memory.bodies if isinstance(one, DenialsCounted)}) == len(counts(memory))
    assert len(counts(memory)) < 20


async def test_who_does_not_wait_and_who_is_called_back_are_told_the_same() -> None:
    sparing = Sparing(memory := Memory(), Clock())
    heard: list[Receipt | LedgerBroken] = []

    for _ in range(100):
        sparing.record_soon(denial("/a"), heard.append)
        await asyncio.sleep(0)
        sparing.record_soon(denial("/b"))
    await asyncio.sleep(0)
    sparing.record_soon(ENDED)

    assert len(heard) == 100
    assert written(memory) == 2 * EACH
    assert sum(count for count, _ in counts(memory)) == 2 * (100 - EACH)


def closed(*, sent: int = 0, error: str = "denied: network.default", took: int = 0) -> ConnectionClosed:
    return ConnectionClosed(
        host="a.test", port=443, address="", sent_bytes=sent, received_bytes=9, duration_ms=took, error=error
    )


async def test_connections_that_ended_with_a_denial_are_counted_as_well() -> None:
    sparing = Sparing(memory := Memory(), Clock())

    for at in range(100):
        sparing.record_soon(closed(took=at))
    sparing.record_soon(ENDED)

    assert memory.bodies[:EACH] == [closed(took=at) for at in range(EACH)]
    assert [(one.kind, one.rule) for one in memory.bodies if isinstance(one, DenialsCounted)] == [
        ("closed", "network.default")
    ] * len(counts(memory))
    assert sum(count for count, _ in counts(memory)) == 100 - EACH


@pytest.mark.parametrize(
    "body",
    [
        closed(sent=1),
        closed(error=""),
        denial("/a", verdict=Verdict.ALLOW),
        denial("/a", by="person"),
        denial("/a", by="timeout"),
        NoticeGiven(topic="a", text="b"),
    ],
)
async def test_everything_else_is_written_each_time(body: Body) -> None:
    sparing = Sparing(memory := Memory(), Clock())

    for _ in range(100):
        await sparing.record(body)

    assert memory.bodies == [body] * 100


async def test_what_is_forgotten_is_told_before() -> None:
    sparing = Sparing(memory := Memory(), Clock())

    for _ in range(EACH + 5):
        await sparing.record(denial("/a"))
    for at in range(1100):
        await sparing.record(denial(f"/{at}"))

    assert counts(memory) == [(5, EACH + 5)]


async def test_a_ledger_that_is_broken_is_said_to_be() -> None:
    class Broken(Memory):
        async def record(self, body: Body) -> Receipt:
            raise LedgerBroken("gone")

    sparing = Sparing(Broken(), Clock())

    for _ in range(3 * EACH):
        with pytest.raises(LedgerBroken):
            await sparing.record(denial("/a"))


def test_the_documented_limits_are_those_of_the_code() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "ledger.md").read_text().split())

    assert f"is written {EACH} times" in text
    assert f"{BURST_BYTES >> 20} MiB at once, {BYTES_PER_SECOND >> 10} KiB a second" in text
    assert f"{MOST_BYTES >> 20} MiB in all" in text
