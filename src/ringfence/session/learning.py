"""What one recorded session teaches: reads it, asks `policy.learn` for proposals, and checks them with the evaluator.

It changes no file. Each proposal that is left has been read by our own reader as part of the whole policy, and lets
pass what it is for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence

import msgspec

from ringfence.model.action import Action
from ringfence.model.decision import Decision, Verdict
from ringfence.model.situations import LedgerBroken, PolicyInvalid, UsageInvalid
from ringfence.policy.amendment import NotAmendable, amended, decided, unified
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.layers import Layer
from ringfence.policy.learn import Evidence, Lesson, Proposal, Uncovered, learn
from ringfence.policy.widening import also_allowed
from ringfence.session.policy_files import load_policy, read_bytes
from ringfence.session.recorded import (
    HOUSEKEEPING,
    Fidelity,
    RecordedAction,
    Skipped,
    opened_by_session,
    recorded_actions,
)
from ringfence.session.sources import Places
from ringfence.telemetry.reader import LedgerReader, Wanted

_HOW = {
    "person": "a person said no",
    "timeout": "denied: nobody answered in time",
    "nobody": "denied: nobody could be asked",
    "cancelled": "denied: the session or the caller ended first",
}


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What a session teaches, on top of one policy file."""

    session: str
    file: str
    """The policy that the difference is against."""
    diff: str
    """Empty where nothing is to be added."""
    lesson: Lesson
    skipped: tuple[Skipped, ...]
    """Decisions on record that cannot be used."""
    redacted: int
    """Actions that were left out because a secret in them was replaced: a rule for them would name the stand-in."""


def learn_from(places: Places, reader: LedgerReader, session: str, *, choice: str | None = None) -> Learned:
    """Learn from a session. `choice` is a policy file in place of the user's own."""
    found = tuple(recorded_actions(reader, Wanted(session=session)))
    actions = [one for one in found if isinstance(one, RecordedAction)]
    if not actions:
        raise LedgerBroken(
            f"session `{session}` has no decision on record that could be learned from",
            remedy="see what it holds with `ringfence log`",
        )
    whole = [one for one in actions if one.fidelity is Fidelity.WHOLE and not _is_housekeeping(one)]
    learning = _Learning(places, actions, choice)
    lesson = learning.lesson([_evidence(one) for one in whole], session)
    after = learning.amended(lesson.proposals, active=False)
    return Learned(
        session=session,
        file=learning.file,
        diff=unified(learning.text, after, file=learning.file, exists=learning.exists),
        lesson=lesson,
        skipped=tuple(one for one in found if isinstance(one, Skipped)),
        redacted=sum(one.fidelity is not Fidelity.WHOLE for one in actions),
    )


class _Learning:
    """One policy file, and the place and profile of the session that is learned from."""

    def __init__(self, places: Places, actions: Sequence[RecordedAction], choice: str | None) -> None:
        self.places = places
        self.workspace = actions[0].workspace
        self.file = places.user_policy if choice is None else os.path.abspath(choice)
        self.exists = os.path.exists(self.file)
        if choice is not None and not self.exists:
            raise UsageInvalid(f"there is no policy file `{choice}`", remedy="name a file, or leave it to your own")
        # Bytes that are no text stop where the file is read as a policy, with their place.
        self.text = read_bytes(self.file, Layer.USER).decode(errors="replace") if self.exists else ""
        # What the person opened for the session is to be learned; what the agent's profile opens, every session has.
        opened = opened_by_session(actions, by_profile=True)
        self.grants = next(iter(opened.values())).grants() if opened else ()
        self.title = f"learned from session {actions[0].session}"

    def lesson(self, wanted: Sequence[Evidence], session: str) -> Lesson:
        """The proposals that hold what they promise, with examples of what else they allow."""
        before = self.loaded(self.file if self.exists else None)
        first = learn(wanted, before, why=f"learned from session {session[:12]}")
        after = self.evaluator(self.amended(first.proposals, active=True))
        kept: list[Proposal] = []
        uncovered = list(first.uncovered)
        for proposal in first.proposals:
            passing = [one for one in proposal.evidence if after.evaluate(one.action).verdict is Verdict.ALLOW]
            uncovered += _still_stopped([one for one in proposal.evidence if one not in passing], after)
            if passing:
                seen = [one.action for one in passing]
                also = also_allowed(proposal.addition, seen, before=before, after=after)
                kept.append(msgspec.structs.replace(proposal, evidence=tuple(passing), also=also))
        return Lesson(proposals=tuple(kept), uncovered=tuple(dict.fromkeys(uncovered)), settled=first.settled)

    def amended(self, proposals: Sequence[Proposal], *, active: bool) -> str:
        """The text with the proposals; with `active` also those count that need a decision."""
        try:
            return amended(self.text, proposals, title=self.title, active=_always if active else decided)
        except NotAmendable as cannot:
            raise UsageInvalid(
                f"nothing can be added to `{self.file}`: {cannot}", remedy="correct it, then learn again"
            ) from cannot

    def evaluator(self, text: str) -> Evaluator:
        """What judges under this text in place of the policy file, loaded the way every policy is."""
        with tempfile.TemporaryDirectory(prefix="ringfence-learn-") as folder:
            path = os.path.join(folder, "policy.toml")
            with open(path, "w", encoding="utf-8", newline="") as stream:
                stream.write(text)
            try:
                return self.loaded(path)
            except PolicyInvalid as invalid:
                mine = tuple(one for one in invalid.diagnostics if one.file == path)
                if not mine:
                    raise
                renamed = tuple(msgspec.structs.replace(one, file=self.file) for one in mine)
                raise PolicyInvalid(renamed) from invalid

    def loaded(self, choice: str | None) -> Evaluator:
        """What judges under a policy file, or without one."""
        policy = load_policy(self.places, self.workspace, choice=choice, grants=self.grants)
        return Evaluator(policy, self.places.context(self.workspace))


def _always(proposal: Proposal) -> bool:
    del proposal
    return True


def _still_stopped(evidence: Sequence[Evidence], after: Evaluator) -> list[Uncovered]:
    by_action: dict[Action, list[Evidence]] = {}
    for one in evidence:
        by_action.setdefault(one.action, []).append(one)
    return [
        Uncovered(action=action, evidence=tuple(found), why=_left(after.evaluate(action)))
        for action, found in by_action.items()
    ]


def _left(decision: Decision) -> str:
    stopping = [reason for reason in decision.reasons if reason.verdict is not Verdict.ALLOW]
    return "; ".join(
        f"rule `{reason.rule}` at {reason.source} still says {reason.verdict.value}" for reason in stopping
    )


def _is_housekeeping(one: RecordedAction) -> bool:
    return any(reason.rule == HOUSEKEEPING for reason in one.reasons)


def _evidence(one: RecordedAction) -> Evidence:
    return Evidence(
        event=one.event,
        time_ns=one.time_ns,
        action=one.action,
        asked=one.asked,
        final=one.final,
        how=_how(one),
        refused=one.resolved_by == "person" and one.final is Verdict.DENY,
    )


def _how(one: RecordedAction) -> str:
    if one.final is Verdict.ALLOW:
        if one.resolved_by == "policy":
            return "opened for that session" if any(reason.layer == "session" for reason in one.reasons) else "allowed"
        return "approved before, by a grant" if one.resolved_by.startswith("grant:") else "approved by a person"
    return _HOW.get(one.resolved_by, "denied by the policy of then")
