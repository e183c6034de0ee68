from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ringfence.cli.summary import host_lines
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import (
    Body,
    ConnectionClosed,
    DecisionMade,
    ModelAnswered,
    ModelToolCall,
    NoticeGiven,
    Receipt,
    ToolCallRequested,
)
from ringfence.model.situations import LedgerBroken
from ringfence.session.tally import Tally, unreported_text
from ringfence.telemetry.ledger import Ledger


class Kept:
    """A recorder that keeps nothing back."""

    async def record(self, body: Body) -> Receipt:
        return Receipt(sequence=0, time_ns=0)

    def record_soon(self, body: Body, done: Callable[[Receipt | LedgerBroken], None] | None = None) -> None:
        if done is not None:
            done(Receipt(sequence=0, time_ns=0))


async def test_an_event_that_nobody_waits_for_is_not_lost_in_silence(tmp_path: Path) -> None:
    ledger = await Ledger.start(str(tmp_path / "ledger.db"), session="session-1")
    tally = Tally(ledger, on_denial=lambda _: None)

    tally.record_soon(NoticeGiven(topic="test", text="\ud800"))

    broken = ledger.broken
    await ledger.close()
    assert isinstance(broken, LedgerBroken)


def test_calls_that_a_model_asked_for_and_no_hook_reported_are_known() -> None:
    tally = Tally(Kept(), on_denial=lambda _: None)
    for call, kind in (("1", "function"), ("2", "function"), ("3", "custom"), ("", "function")):
        tally.record_soon(ModelToolCall(tool=f"tool{call}", call=call, kind=kind, arguments="{}"))
    tally.record_soon(ToolCallRequested(tool="Bash", call="1", arguments="{}"))

    assert tally.unreported == ("tool2",)
    assert unreported_text(("a", "b", "a")) == (
        "the model asked for 3 calls of tools that no hook reported (`a`, `b`): not carried out, or past the hooks"
    )


def test_tokens_are_added_up_by_the_model_that_answered() -> None:
    tally = Tally(Kept(), on_denial=lambda _: None)
    for named, sent in (("m-1", 10), ("m-1", 20), ("", 5)):
        tally.record_soon(
            ModelAnswered(
                provider="p",
                interface="anthropic",
                host="h",
                port=443,
                model="asked",
                answered_by=named,
                input_tokens=sent,
                output_tokens=1,
                cost_millionths=7,
                estimated=not named,
            )
        )

    assert tally.models == {"m-1": [2, 30, 2], "asked": [1, 5, 1]}
    assert (tally.model_cost, tally.model_estimated) == (21, True)


def test_a_destination_that_was_denied_does_not_stand_among_those_that_were_reached() -> None:
    tally = Tally(Kept(), on_denial=lambda _: None)
    for host in ("denied.test", "partly.test", "unheard.test"):
        action = ConnectAction(host=host, port=443)
        decision = Decision(verdict=Verdict.DENY, action=action, reasons=(), policy="p")
        tally.record_soon(DecisionMade(decision=decision, asked_by="egress"))
    for host, address in (("denied.test", ""), ("partly.test", "192.0.2.1"), ("nowhere.test", ""), ("a.test", "::1")):
        tally.record_soon(
            ConnectionClosed(host=host, port=443, address=address, sent_bytes=1, received_bytes=2, duration_ms=3)
        )

    lines = host_lines(tally)

    assert lines == [
        "  hosts    a.test:443, partly.test:443",
        "           denied: denied.test:443, unheard.test:443",
        "           not reached: nowhere.test:443",
    ]


def test_requests_that_were_led_elsewhere_count_for_where_they_went() -> None:
    tally = Tally(Kept(), on_denial=lambda _: None)
    tally.record_soon(
        ConnectionClosed(
            host="models.test",
            port=443,
            address="192.0.2.1",
            sent_bytes=1,
            received_bytes=2,
            duration_ms=3,
            reached=("corp.test:443",),
        )
    )

    assert host_lines(tally) == ["  hosts    corp.test:443"]
