"""Recorded sessions as what `policy replay` and `policy learn` need: each action, what the policy said, how it ended.

It reads the ledger and decides nothing. Whatever cannot be used is counted, never left out in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from ringfence.model.action import Action
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import DecisionMade, SessionStarted
from ringfence.policy.layers import Layer
from ringfence.session.policy_files import COMMAND_LINE, SessionGrants
from ringfence.telemetry.reader import LedgerReader, Recorded, Wanted

HOUSEKEEPING = "agent.housekeeping"
"""The reason of a denial in place of a question: the agent works without it."""

_ENDINGS = "approvals."
"""How the ids of reasons begin that say how a question ended, in difference to what the policy said."""
_STAND_IN = re.compile(rb"secret:[0-9a-f]{16}")
_CUT = "… [cut: ".encode()


class Fidelity(StrEnum):
    """How much of an action is on record."""

    WHOLE = "whole"
    REDACTED = "redacted"
    """A secret in it was replaced by its stand-in."""
    CUT = "cut"
    """It was too long: what is missing could be anything."""


class Unusable(StrEnum):
    """Why a decision on record cannot be decided again."""

    ERASED = "its content was erased"
    UNKNOWN = "it was written by a newer version, or is damaged"
    NO_START = "the start of its session, which says for which folder it was, is not there"
    GATEWAY = "the gateway refused it for a reason that is not in the policy, such as where a name led"
    CUT = "it was too long to be recorded whole"


class RecordedAction(msgspec.Struct, frozen=True, kw_only=True):
    """An action that was decided once."""

    event: str
    session: str
    time_ns: int
    workspace: str
    action: Action
    asked: Verdict
    """What the policy said, before anybody was asked."""
    final: Verdict
    resolved_by: str
    reasons: tuple[Reason, ...]
    """Those of the policy."""
    fidelity: Fidelity


class Skipped(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on record that cannot be used."""

    event: str
    session: str
    why: Unusable


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What a session's own options and its agent's profile opened, as far as its decisions show it."""

    allow_hosts: tuple[str, ...] = ()
    host_ports: tuple[int, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    def grants(self) -> tuple[SessionGrants, ...]:
        """The same as grants, to load a policy with."""
        if self == Opened():
            return ()
        found = SessionGrants(
            allow_hosts=self.allow_hosts,
            host_ports=self.host_ports,
            read=self.read,
            write=self.write,
            source="what that session opened",
        )
        return (found,)


def recorded_actions(reader: LedgerReader, wanted: Wanted) -> Iterator[RecordedAction | Skipped]:
    """Every decision on record that is wanted, in order."""
    starts = {
        one.session: one.body.workspace
        for one in reader.events(Wanted(session=wanted.session, event="session.started"))
        if isinstance(one.body, SessionStarted)
    }
    for one in reader.events(msgspec.structs.replace(wanted, event="decision")):
        yield _usable(one, starts.get(one.session))


def opened_by_session(actions: Iterable[RecordedAction], *, by_profile: bool = False) -> dict[str, Opened]:
    """For each session what it had opened for itself; `by_profile`: only what its agent's profile opened."""
    words: dict[str, dict[tuple[str, str], None]] = {}
    for one in actions:
        for reason in one.reasons:
            if reason.layer == Layer.SESSION.value and not (by_profile and reason.source == COMMAND_LINE):
                kind, _, value = reason.rule.removeprefix("network.").partition(_separator(reason.rule))
                words.setdefault(one.session, {})[kind, value] = None
    return {session: _opened(found) for session, found in words.items()}


def _separator(rule: str) -> str:
    return "." if rule.startswith("network.host_ports.") else ":"


def _opened(found: Iterable[tuple[str, str]]) -> Opened:
    def of(kind: str) -> tuple[str, ...]:
        return tuple(value for name, value in found if name == kind)

    return Opened(
        allow_hosts=of("session"),
        host_ports=tuple(int(port) for port in of("host_ports") if port.isdecimal()),
        read=of("filesystem.read"),
        write=of("filesystem.write"),
    )


def _usable(found: Recorded, workspace: str | None) -> RecordedAction | Skipped:
    def skipped(why: Unusable) -> Skipped:
        return Skipped(event=found.id, session=found.session, why=why)

    if found.raw is None:
        return skipped(Unusable.ERASED)
    if not isinstance(found.body, DecisionMade):
        return skipped(Unusable.UNKNOWN)
    decision = found.body.decision
    if decision.resolved_by == "gateway":
        return skipped(Unusable.GATEWAY)
    if workspace is None:
        return skipped(Unusable.NO_START)
    fidelity = _fidelity(decision, found.raw)
    if fidelity is Fidelity.CUT:
        return skipped(Unusable.CUT)
    reasons = tuple(reason for reason in decision.reasons if not reason.rule.startswith(_ENDINGS))
    return RecordedAction(
        event=found.id,
        session=found.session,
        time_ns=found.time_ns,
        workspace=workspace,
        action=decision.action,
        asked=_asked(decision),
        final=decision.verdict,
        resolved_by=decision.resolved_by,
        reasons=reasons,
        fidelity=fidelity,
    )


def _asked(decision: Decision) -> Verdict:
    """What the policy said: of what was asked, that it asked, whoever answered and how."""
    if decision.resolved_by == "error":
        return Verdict.DENY
    if decision.resolved_by != "policy" or any(reason.rule == HOUSEKEEPING for reason in decision.reasons):
        return Verdict.ASK
    return decision.verdict


def _fidelity(decision: Decision, raw: bytes) -> Fidelity:
    if _CUT not in raw and not _STAND_IN.search(raw):
        return Fidelity.WHOLE
    action = msgspec.json.encode(decision.action)
    if _CUT in action:
        return Fidelity.CUT
    return Fidelity.REDACTED if _STAND_IN.search(action) else Fidelity.WHOLE
