"""Reads what a screen of approvals shows, and casts its votes, on one thread of its own.

The store belongs to that thread: a screen that waits for a locked database still answers to keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from ringfence.approvals import amendments
from ringfence.approvals.desk import Cast
from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.permission import wider
from ringfence.approvals.stores.opening import open_store
from ringfence.approvals.transitions import State
from ringfence.cli.approvals_edits import edit_lines
from ringfence.cli.approvals_inbox import Inbox
from ringfence.cli.approvals_keys import Choice
from ringfence.cli.approvals_page import history_lines, vote_line
from ringfence.model.display import visible
from ringfence.model.situations import RingfenceError
from ringfence.session.answering import desk_of
from ringfence.session.sources import Places

CHANNEL = "screen"
_T = TypeVar("_T")


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What there is at one moment."""

    waiting: tuple[Request, ...] = ()
    selected: Request | None = None
    """The request that is shown, as it stands now."""
    beside: tuple[str, ...] = ()
    """Lines about it that are no part of the question."""
    ended: str = ""
    """How it ended, where it has."""
    problem: str = ""
    """Why nothing could be read."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an answer."""

    text: str
    taken: bool


class View:
    """What there is, and what becomes of an answer. To be used on one thread."""

    def __init__(self, where: Places) -> None:
        self._places = where
        self._store = open_store(where.approvals)
        self._inbox = Inbox(desk_of(self._store, where), where, channel=CHANNEL)
        self._fixed: tuple[str, tuple[str, ...]] = ("", ())
        """What does not change about the request that is shown: its edit and its history."""

    def look(self, selected: str) -> Look:
        """What waits, and everything about the one that is shown; the oldest, where none is."""
        waiting = self._inbox.waiting()
        selected = selected or (waiting[0].id if waiting else "")
        request = self._inbox.desk.request(selected) if selected else None
        if request is None:
            return Look(waiting=waiting)
        return Look(
            waiting=waiting, selected=request, beside=tuple(self._beside(request)), ended=self._how_it_ended(request)
        )

    def answer(self, request: Request, choice: Choice, reason: str) -> Told:
        """Give an answer to a request as it was shown."""
        cast = self._inbox.answer(request, approve=choice.approve, scope=choice.scope, reason=reason)
        return Told(text=self._said(cast, choice), taken=cast.counted or cast.waits)

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _said(self, cast: Cast, choice: Choice) -> str:
        if cast.problem and cast.request.state is not State.PENDING:
            did = "approval" if choice.approve else "no"
            ended = self._inbox.ended_by(cast.request)
            return f"your {did} came too late and changes nothing: {cast.request.id} was {ended}"
        return self._inbox.told(cast)

    def _how_it_ended(self, request: Request) -> str:
        return "" if request.state is State.PENDING else self._inbox.ended_by(request)

    def _beside(self, request: Request) -> list[str]:
        if self._fixed[0] != request.id:
            earlier = [(one, self._inbox.desk.votes(one.id)) for one in self._inbox.history(request)]
            found = [*_for_more(request), *history_lines(earlier), *self._edit(request)]
            self._fixed = (request.id, tuple(found))
        lines = [
            f"  request  {visible(request.id)}, in session {visible(request.session)}",
            f"  asked    {self._inbox.asked(request)}",
        ]
        return [
            *lines,
            *(vote_line(one, self._inbox.desk.problem(one)) for one in self._inbox.desk.votes(request.id)),
            *self._fixed[1],
        ]

    def _edit(self, request: Request) -> list[str]:
        try:
            return edit_lines(request, self._places.ledger)
        except RingfenceError as problem:
            return [f"  edit     cannot be shown: {problem.message}"]


def _for_more(request: Request) -> list[str]:
    """How to answer for every command that begins alike, where that is offered: it is tried out before, elsewhere."""
    few = request.begins[: amendments.FEWEST]
    if not few or wider(Scope.REPO, request.widest):
        return []
    how = f"`ringfence approvals approve {visible(request.id)} --scope repo --words {len(few)}`"
    return [f"  more     every `{visible(' '.join(few))} ...`: {how}"]


class Reading:
    """A view on a thread of its own."""

    def __init__(self, where: Places) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="approvals")
        self._view = self._thread.submit(View, where).result()

    async def look(self, selected: str) -> Look:
        """What there is; a store that is locked or gone is a problem to show, not an end."""
        try:
            return await self._run(lambda: self._view.look(selected))
        except RingfenceError as problem:
            return Look(problem=problem.message)

    async def answer(self, request: Request, choice: Choice, reason: str) -> Told:
        """Give an answer; one that could not be taken down was not given."""
        try:
            return await self._run(lambda: self._view.answer(request, choice, reason))
        except RingfenceError as problem:
            return Told(text=f"it is not known whether your answer was taken: {problem.message}", taken=False)

    def close(self) -> None:
        """Close it, after what is under way."""
        self._thread.submit(self._view.close).result()
        self._thread.shutdown()

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
