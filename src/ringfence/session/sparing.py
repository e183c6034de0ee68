"""Keeps denials from filling a disk: an agent chooses what it is denied, and how often.

The same denial again and again, and denials beyond what a session may write, are counted instead of written one by one.
It stands before every recorder of a session. Nothing is left out in silence: each count is an event of its own.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from typing import TypeAlias

import msgspec

from ringfence.model.decision import Verdict
from ringfence.model.event import Body, ConnectionClosed, DecisionMade, DenialsCounted, Receipt, SessionEnded
from ringfence.model.ports import Recorder
from ringfence.model.situations import LedgerBroken

Denial: TypeAlias = DecisionMade | ConnectionClosed
"""A decision, or the end of a connection that one of them was about."""

EACH = 16
"""How often the same denial is written; from there on its number is, each time that has doubled."""
BURST_BYTES, BYTES_PER_SECOND, MOST_BYTES = 4 << 20, 16 << 10, 256 << 20
"""What different denials may write: at once, from then on, and in a session."""
_ANSWERED_BY_NOBODY = frozenset(("policy", "gateway", "nobody", "breaker", "error"))
"""What a person, a reviewer or the time has answered is written each time: it takes theirs."""
_DENIED = "denied: "
_REMEMBERED = 1024
_GROUPS = 256


class _Count:
    """One denial, or all that are alike in what denied them."""

    def __init__(self, said: Denial) -> None:
        if isinstance(said, DecisionMade):
            self._rule = said.decision.reasons[0].rule if said.decision.reasons else ""
            self._kind, self._asked_by = str(said.decision.action.__struct_config__.tag), said.asked_by
        else:
            self._rule, self._kind, self._asked_by = said.error.removeprefix(_DENIED), "closed", "gateway"
        self._digest = b""
        self.receipt: Receipt | None = None
        self.is_written = False
        """Whether it is on its way to the record, at least."""
        self.times = 0
        self.told = 0
        """How many of them stand on record, or in a number there."""
        self.next = 0

    @property
    def group(self) -> tuple[str, str, str]:
        """What those have in common that are alike. Of a rule about one text, all of them are."""
        return self._rule.partition("#")[0], self._kind, self._asked_by

    def add(self, digest: bytes) -> None:
        """One more that is not written."""
        self._digest = digest if self._digest in (b"", digest) else sha256(self._digest + digest).digest()

    def event(self) -> DenialsCounted:
        """What is to be said of those that were not written."""
        count, self.told, self.next = self.times - self.told, self.times, 2 * self.times
        return DenialsCounted(
            count=count,
            total=self.times,
            like=None if self.receipt is None else self.receipt.sequence,
            rule=self._rule,
            kind=self._kind,
            asked_by=self._asked_by,
            digest=self._digest.hex(),
        )


class Sparing:
    """A recorder that writes what is said too often as a number."""

    def __init__(self, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._recorder = recorder
        self._clock = clock
        self._same: OrderedDict[bytes, _Count] = OrderedDict()
        self._alike: OrderedDict[tuple[str, str, str], _Count] = OrderedDict()
        self._left, self._left_in_all = float(BURST_BYTES), MOST_BYTES
        self._at = clock()

    async def record(self, body: Body) -> Receipt:
        """Record it, or count it where the same stands on record already."""
        planned = self._planned(body, waits=True)
        if planned is None:
            return await self._recorder.record(body)
        written, count = planned
        if written is None:
            assert count.receipt is not None
            return count.receipt
        receipt = count.receipt = await self._recorder.record(written)
        return receipt

    def record_soon(self, body: Body, done: Callable[[Receipt | LedgerBroken], None] | None = None) -> None:
        """The same without waiting."""
        planned = self._planned(body, waits=done is not None)
        if planned is None:
            return self._recorder.record_soon(body) if done is None else self._recorder.record_soon(body, done)
        written, count = planned
        if done is None:
            return self._recorder.record_soon(written) if written is not None else None
        if written is None:
            assert count.receipt is not None
            asyncio.get_running_loop().call_soon(done, count.receipt)
            return None

        def recorded(outcome: Receipt | LedgerBroken) -> None:
            if isinstance(outcome, Receipt):
                count.receipt = outcome
            done(outcome)

        return self._recorder.record_soon(written, recorded)

    def _planned(self, body: Body, *, waits: bool) -> tuple[Body | None, _Count] | None:
        """What is written for a denial, if anything, and what it counts among; None for what is none."""
        if isinstance(body, SessionEnded):
            self._tell_all()
        if not isinstance(body, Denial) or not _is_spared(body):
            return None
        try:
            content = _content(body)
        except UnicodeEncodeError:
            return None  # the ledger says what is wrong with it
        digest = sha256(content).digest()
        count = self._count_of(digest, body)
        count.times += 1
        if count.times <= EACH:
            if self._has_room(len(content)):
                count.told, count.next, count.is_written = count.times, 2 * EACH, True
                return body, count
            count.times -= 1
            count = self._count_alike(body)
            count.times += 1
        count.add(digest)
        known = count.receipt is not None if waits else count.is_written
        if known and count.times < count.next:
            return None, count
        count.is_written = True
        return count.event(), count

    def _count_of(self, digest: bytes, body: Denial) -> _Count:
        count = self._same.get(digest)
        if count is None:
            count = self._same[digest] = _Count(body)
            if len(self._same) > _REMEMBERED:
                self._tell(self._same.popitem(last=False)[1])
        self._same.move_to_end(digest)
        return count

    def _count_alike(self, body: Denial) -> _Count:
        fresh = _Count(body)
        group = fresh.group
        count = self._alike.setdefault(group, fresh)
        self._alike.move_to_end(group)
        if len(self._alike) > _GROUPS:
            self._tell(self._alike.popitem(last=False)[1])
        return count

    def _has_room(self, size: int) -> bool:
        now = self._clock()
        self._left = min(self._left + (now - self._at) * BYTES_PER_SECOND, BURST_BYTES)
        self._at = now
        if size > self._left or size > self._left_in_all:
            return False
        self._left -= size
        self._left_in_all -= size
        return True

    def _tell_all(self) -> None:
        for count in (*self._same.values(), *self._alike.values()):
            self._tell(count)

    def _tell(self, count: _Count) -> None:
        if count.times > count.told:
            self._recorder.record_soon(count.event())


def _is_spared(said: Denial) -> bool:
    if isinstance(said, DecisionMade):
        return said.decision.verdict is Verdict.DENY and said.decision.resolved_by in _ANSWERED_BY_NOBODY
    return not said.sent_bytes and said.error.startswith(_DENIED)


def _content(said: Denial) -> bytes:
    """What makes two of them the same."""
    if isinstance(said, DecisionMade):
        return msgspec.json.encode((said.decision, said.asked_by))
    return msgspec.json.encode((said.host, said.port, said.error))
