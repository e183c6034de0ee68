"""What a session does about its limits: puts each that is reached on record and says it; a budget used up ends it.

A watch that fails ends the session too: a limit that nobody holds is no limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ringfence.model.event import LimitReached
from ringfence.model.situations import RingfenceError, SandboxLost
from ringfence.policy.effective import Policy
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.limits import Keeper, Outcome, Reached, words
from ringfence.session.tally import Tally

_REMEDY = "start another one, or ask whoever set this limit"


class Limiting:
    """The limits of one session."""

    def __init__(
        self, policy: Policy, tally: Tally, announce: Callable[[str], None], lost: asyncio.Future[RingfenceError]
    ) -> None:
        self._policy = policy
        self._tally = tally
        self._announce = announce
        self._lost = lost

    async def watch(self, sandbox: Sandbox) -> None:
        """Watch over what the sandbox uses up."""
        try:
            await sandbox.watch(self.reached)
        except SandboxLost:
            # Whoever waits for the sandbox says so.
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the limits are not held any more
            self._lose(f"the watch over the limits failed: {error}", "report this with the session's record")

    async def end_after(self) -> None:
        """A session has only so much time."""
        seconds = self._policy.limits.wall_seconds
        if seconds is not None:
            await asyncio.sleep(seconds)
            outcome, keeper = Outcome.ENDED, Keeper.CLOCK
            self.reached(Reached(limit="wall_seconds", allowed=seconds, seen=seconds, outcome=outcome, keeper=keeper))

    def reached(self, reached: Reached) -> None:
        """Put it on record and say it."""
        origin = self._policy.origin_of(f"limits.{reached.limit}")
        event = LimitReached(
            limit=reached.limit,
            allowed=reached.allowed,
            seen=reached.seen,
            outcome=reached.outcome.value,
            keeper=reached.keeper.value,
            program=reached.program,
            layer=origin.layer,
            source=origin.source,
        )
        self._tally.record_soon(event)
        text = words(reached, origin)
        if reached.outcome is Outcome.ENDED:
            self._lose(text, _REMEDY)
        elif not reached.said:
            self._announce(f"ringfence: {text}")

    def _lose(self, text: str, remedy: str) -> None:
        if not self._lost.done():
            self._lost.set_result(SandboxLost(text, remedy=remedy))
