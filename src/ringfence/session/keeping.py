"""Keeps the workspace before an action that loses something in it, so that it can run without a question.

A snapshot that is not whole keeps nothing that anybody could rely on: then the question is put as ever.
"""

from __future__ import annotations

import asyncio
import time

from ringfence.model.action import CommandAction
from ringfence.model.decision import Decision
from ringfence.model.event import NoticeGiven
from ringfence.model.ids import new_id
from ringfence.model.ports import Recorder
from ringfence.model.wording import action_text
from ringfence.policy.judges.undoing import folders_of
from ringfence.session.snapshots import Snapshots, SnapshotsBroken

MOST = 50
"""In one session. Whatever wants more of them than that is worth a question."""
_PREFIX = 26


class Keeping:
    """The snapshots that stand in for questions in one session."""

    def __init__(self, snapshots: Snapshots, session: str, recorder: Recorder, *, home: str) -> None:
        self._snapshots = snapshots
        self._session = session
        self._recorder = recorder
        self._home = home
        self._taken = 0
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, decision: Decision) -> str:
        """The command that brings back what the action loses; empty where a person has to be asked."""
        async with self._one_at_a_time:
            if self._taken >= MOST:
                return ""
            number = self._taken + 1
            action = decision.action
            folders = folders_of(action, home=self._home) if isinstance(action, CommandAction) else ()
            try:
                problem = await asyncio.to_thread(
                    self._snapshots.before_action,
                    id=new_id(),
                    session=self._session,
                    number=number,
                    now_ns=time.time_ns(),
                    folders=folders,
                )
            except (SnapshotsBroken, OSError) as failure:
                problem = failure.message if isinstance(failure, SnapshotsBroken) else str(failure)
            if problem:
                text = f"`{action_text(decision.action)}` is asked about, because it could not be undone: {problem}"
                self._recorder.record_soon(NoticeGiven(topic="snapshot", text=text))
                return ""
            self._taken = number
            return f"ringfence workspace undo {self._session[:_PREFIX]} --action {number}"
