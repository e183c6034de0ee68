"""Recorded sessions, read back: what the policy said, how it ended, and what cannot be used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.telemetry.recorded import started

from ringfence.model.action import CommandAction, ConnectAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import DecisionMade
from ringfence.session.recorded import (
    HOUSEKEEPING,
    Fidelity,
    Opened,
    RecordedAction,
    Skipped,
    Unusable,
    opened_by_session,
    recorded_actions,
)
from ringfence.telemetry.ledger import Ledger
from ringfence.telemetry.reader import LedgerReader, Wanted

HOST = ConnectAction(host="a.test", port=443)


def reason(rule: str, verdict: Verdict, layer: str = "user", source: str = "policy.toml:1") -> Reason:
    return Reason(rule=rule, layer=layer, source=source, verdict=verdict, text="because")


def decision(verdict: Verdict, *reasons: Reason, by: str = "policy", **fields: object) -> DecisionMade:
    made = Decision(verdict=verdict, action=HOST, reasons=reasons, policy="sha256:p", resolved_by=by)
    return DecisionMade(decision=msgspec.structs.replace(made, **fields), asked_by="exec")


def read_back(path: Path, *bodies: DecisionMade, start: bool = True) -> list[RecordedAction | Skipped]:
    async def record() -> None:
        ledger = await Ledger.start(str(path / "ledger.db"), session="s")
        for body in ((started(),) if start else ()) + bodies:
            await ledger.record(body)
        await ledger.close()

    asyncio.run(record())
    reader = LedgerReader(str(path / "ledger.db"))
    try:
        return list(recorded_actions(reader, Wanted()))
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        (decision(Verdict.ALLOW, reason("r", Verdict.ALLOW)), Verdict.ALLOW),
        (decision(Verdict.DENY, reason("r", Verdict.DENY)), Verdict.DENY),
        (decision(Verdict.ALLOW, reason("r", Verdict.ASK), by="person"), Verdict.ASK),
        (decision(Verdict.ALLOW, reason("r", Verdict.ASK), by="grant:g"), Verdict.ASK),
        (
            decision(Verdict.DENY, reason("approvals.nobody", Verdict.DENY), reason("r", Verdict.ASK), by="nobody"),
            Verdict.ASK,
        ),
        (decision(Verdict.DENY, reason(HOUSEKEEPING, Verdict.DENY), reason("r", Verdict.ASK)), Verdict.ASK),
        (decision(Verdict.DENY, by="error"), Verdict.DENY),
    ],
)
def test_what_the_policy_said_is_told_from_how_it_ended(tmp_path: Path, made: DecisionMade, asked: Verdict) -> None:
    [found] = read_back(tmp_path, made)

    assert isinstance(found, RecordedAction)
    assert (found.asked, found.final, found.workspace) == (asked, made.decision.verdict, "/w")
    assert all(not one.rule.startswith("approvals.") for one in found.reasons)


def test_what_cannot_be_decided_again_is_named_with_its_reason(tmp_path: Path) -> None:
    cut = CommandAction(argv=("bash", "-c", "x" * 20_000), cwd="/w")

    found = read_back(
        tmp_path,
        decision(Verdict.DENY, by="gateway"),
        decision(Verdict.ALLOW, action=cut),
    )

    assert [one.why for one in found if isinstance(one, Skipped)] == [Unusable.GATEWAY, Unusable.CUT]


def test_without_the_start_of_its_session_nothing_is_decided_again(tmp_path: Path) -> None:
    [found] = read_back(tmp_path, decision(Verdict.ALLOW), start=False)

    assert isinstance(found, Skipped)
    assert found.why is Unusable.NO_START


def test_an_action_with_a_secret_is_marked_as_redacted(tmp_path: Path) -> None:
    action = CommandAction(argv=("curl", "--token", "abcdefghijklmnop"), cwd="/w")

    found = read_back(tmp_path, decision(Verdict.ALLOW, action=action), decision(Verdict.ALLOW))

    assert [one.fidelity for one in found if isinstance(one, RecordedAction)] == [Fidelity.REDACTED, Fidelity.WHOLE]


def test_what_a_session_had_opened_is_found_in_its_reasons(tmp_path: Path) -> None:
    person, profile = "the command line", "the profile of the agent codex"
    found = read_back(
        tmp_path,
        decision(Verdict.ALLOW, reason("session:**.a.test:443", Verdict.ALLOW, "session", person)),
        decision(Verdict.ALLOW, reason("session:model.test", Verdict.ALLOW, "session", profile)),
        decision(Verdict.ALLOW, reason("network.host_ports.5432", Verdict.ALLOW, "session", profile)),
        decision(Verdict.ALLOW, reason("filesystem.write:/srv/x:y", Verdict.ALLOW, "session", person)),
        decision(Verdict.ALLOW, reason("session:no.test", Verdict.ALLOW, "user", person)),
    )
    actions = [one for one in found if isinstance(one, RecordedAction)]

    assert opened_by_session(actions) == {
        "s": Opened(allow_hosts=("**.a.test:443", "model.test"), host_ports=(5432,), write=("/srv/x:y",))
    }
    assert opened_by_session(actions, by_profile=True) == {"s": Opened(allow_hosts=("model.test",), host_ports=(5432,))}
