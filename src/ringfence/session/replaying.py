"""Recorded actions decided again, each under the policy of the workspace it was for and what its session had opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from ringfence.model.situations import PolicyInvalid, UsageInvalid
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.replay import Change, Replay
from ringfence.session.policy_files import load_policy
from ringfence.session.recorded import Fidelity, Opened, RecordedAction, Skipped, opened_by_session
from ringfence.session.sources import Places


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """A change, and the recorded action that it is about."""

    recorded: RecordedAction
    change: Change


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a replay."""

    judged: int
    sessions: int
    redacted: int
    changed: tuple[Changed, ...]
    skipped: tuple[tuple[str, int], ...]
    """Why decisions on record were not judged again, and how many."""


def replay(found: Sequence[RecordedAction | Skipped], places: Places, choice: str | None) -> Replayed:
    """Decide again what is on record. `choice` is a preset or file in place of the user's own policy."""
    evaluators = _Evaluators(places, choice)
    actions = [one for one in found if isinstance(one, RecordedAction)]
    opened = opened_by_session(actions)
    skipped = Counter(one.why.value for one in found if isinstance(one, Skipped))
    again = Replay()
    changed: list[Changed] = []
    judged: list[RecordedAction] = []
    for one in actions:
        evaluator = evaluators.get(one.workspace, opened.get(one.session, Opened()))
        if isinstance(evaluator, str):
            skipped[evaluator] += 1
            continue
        judged.append(one)
        change = again.change(one.action, before=one.asked, reasons=one.reasons, evaluator=evaluator)
        if change is not None:
            changed.append(Changed(recorded=one, change=change))
    return Replayed(
        judged=len(judged),
        sessions=len({one.session for one in judged}),
        redacted=sum(one.fidelity is Fidelity.REDACTED for one in judged),
        changed=tuple(changed),
        skipped=tuple(skipped.most_common()),
    )


class _Evaluators:
    """One evaluator for each workspace and what its sessions opened."""

    def __init__(self, places: Places, choice: str | None) -> None:
        self._places = places
        self._choice = choice
        self._known: dict[tuple[str, Opened], Evaluator | str] = {}

    def get(self, workspace: str, opened: Opened) -> Evaluator | str:
        """The evaluator, or why there is none."""
        key = (workspace, opened)
        if key not in self._known:
            self._known[key] = self._load(workspace, opened)
        return self._known[key]

    def _load(self, workspace: str, opened: Opened) -> Evaluator | str:
        try:
            policy = load_policy(self._places, workspace, choice=self._choice, grants=opened.grants())
        except PolicyInvalid as invalid:
            return f"the policy of their workspace is invalid: {invalid.diagnostics[0]}"
        except UsageInvalid as wrong:
            return f"what their session opened cannot be read: {wrong.message}"
        return Evaluator(policy, self._places.context(workspace))
