"""Asks on the terminal that the person sits at.

Type-ahead cannot approve: what was typed before is thrown away, nothing counts until the keyboard was silent for a
moment, and an approval takes a letter and Enter on a line of their own. Everything else is a deny, or asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from ringfence.approvals.channels import batch
from ringfence.approvals.channels.channel import Answer, Outcome, Unanswered
from ringfence.approvals.channels.screen import CONTROLLING, NoRelay, Relay, Screen, TerminalGone, borrowed
from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.permission import wider
from ringfence.model.canonical import digest

GUARD_SECONDS = 0.4
"""How long the keyboard must be silent before a key counts."""

_ENTER = b"\r\n"
_NO = b"\x03\x04"
"""^C and ^D: they deny, at any moment."""
_ERASE = b"\x7f\x08"
_DENY = {b"", b"d", b"deny", b"n", b"no"}
_CHOICES = {b"o": Scope.ONCE, b"s": Scope.SESSION}
REASON_LENGTH = 400
_MENU_ONCE = "  [o] once   [d] deny      then Enter; Enter alone denies"
_MENU = "  [o] once   [s] for this session   [d] deny      then Enter; Enter alone denies"


_MENU_LIST = (
    "  [o] all of these, once   [1 3] only the first and the third, once   [l] one by one\n"
    "  [d] none of these        then Enter; Enter alone denies them all"
)
FLOOD_SECONDS = 0.05
"""How long a question waits for others of its kind before it is put."""


class _Waiting:
    """A question that waits for its turn, or for its answer."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.alone = batch.kind(request) is None
        self.outcome: Outcome | None = None


class Terminal:
    """Asks on a terminal (`ringfence.approvals.channels.channel.Channel`)."""

    name = "terminal"
    refusal = ""

    def __init__(
        self,
        *,
        approver: str,
        new_id: Callable[[], str],
        colours: bool,
        relay: Relay | None = None,
        path: str = CONTROLLING,
        guard_seconds: float = GUARD_SECONDS,
    ) -> None:
        self._approver = approver
        self._new_id = new_id
        self._colours = colours
        self._relay = relay if relay is not None else NoRelay()
        self._path = path
        self._guard_seconds = guard_seconds
        self._one_at_a_time = asyncio.Lock()
        self._waiting: list[_Waiting] = []

    async def ask(self, request: Request) -> Outcome:
        """Put the question and wait for a line."""
        mine = _Waiting(request)
        self._waiting.append(mine)
        try:
            async with self._one_at_a_time:
                if mine.outcome is None:
                    await self._put(mine)
        finally:
            self._waiting.remove(mine)
        assert mine.outcome is not None
        return mine.outcome

    async def _put(self, mine: _Waiting) -> None:
        """Put a question, with those of its kind that wait; each gets its own answer."""
        if not mine.alone:
            # A flood of questions arrives within a moment: whoever is first waits for the others.
            await asyncio.sleep(FLOOD_SECONDS)
        waiting = [one for one in self._waiting if one.outcome is None and not one.alone]
        shown = (mine.request,) if mine.alone else batch.together(mine.request, [one.request for one in waiting])
        try:
            async with borrowed(self._path, self._relay) as screen:
                if len(shown) == 1:
                    mine.outcome = await self._converse(screen, mine.request)
                    return
                said = await self._list(screen, shown, more=len(waiting) - len(shown))
        except TerminalGone as gone:
            mine.outcome = Unanswered(reason=str(gone))
            return
        for one in [one for one in waiting if any(one.request is request for request in shown)]:
            if said is None:
                one.alone = True
            else:
                allowed = said[next(at for at, request in enumerate(shown) if request is one.request)]
                one.outcome = self._answer(one.request, Scope.ONCE if allowed else None)
        if said is None:
            await self._put(mine)

    async def _list(self, screen: Screen, shown: Sequence[Request], *, more: int) -> tuple[bool, ...] | None:
        """What is said about each question of a list; None where they are to be asked one by one."""
        screen.discard()
        await screen.write("\n".join(["", *batch.drawn(shown, more=more), "", _MENU_LIST]))
        ended = "no answer was taken"
        try:
            denied = await self._silence(screen)
            while not denied:
                await screen.write("\n> ")
                line = await _line(screen, most=32)
                if line == b"l":
                    ended = "one by one"
                    return None
                denied = line is None or line in _DENY
                said = None if denied else batch.answered(line or b"", len(shown))
                if said is not None:
                    ended = f"allowed, once: {sum(said)} of {len(said)}"
                    return said
                if not denied:
                    await screen.write("\n  type o, numbers, l or d, then Enter")
            ended = "all denied"
            return (False,) * len(shown)
        finally:
            await _parting(screen, ended)

    async def _converse(self, screen: Screen, request: Request) -> Outcome:
        screen.discard()
        await screen.write(self._drawn(request))
        ended = "no answer was taken"
        try:
            if await self._silence(screen):
                ended = "denied"
                return self._answer(request, None)
            await screen.write("\n> ")
            while True:
                line = await _line(screen)
                if line is None or line in _DENY:
                    ended = "denied"
                    return self._answer(request, None)
                scope = _CHOICES.get(line)
                if scope is not None and not wider(scope, request.widest):
                    reason = await _reason(screen) if request.override else ""
                    if reason is not None:
                        ended = f"allowed, {scope.value}"
                        return self._answer(request, scope, reason)
                    return self._answer(request, None)
                letters = "o, s or d" if _offers_session(request) else "o or d"
                await screen.write(f"\n  type {letters}, then Enter\n> ")
        finally:
            await _parting(screen, ended)

    def _drawn(self, request: Request) -> str:
        strong, plain = ("\x1b[0;1m", "\x1b[0m") if self._colours else ("", "")
        first, *rest = request.prompt
        menu = _MENU if _offers_session(request) else _MENU_ONCE
        return "\n".join(["", f"{strong}ringfence: {first}{plain}", *rest, "", menu])

    async def _silence(self, screen: Screen) -> bool:
        """Wait until nobody types. True where what came was a refusal.

        SECURITY: somebody who is typing to the agent when the question appears has not read it.
        """
        while True:
            try:
                async with asyncio.timeout(self._guard_seconds):
                    typed = await screen.read()
            except TimeoutError:
                return False
            if any(byte in _NO for byte in typed):
                return True

    def _answer(self, request: Request, scope: Scope | None, reason: str = "") -> Answer:
        return Answer(
            vote=self._new_id(),
            approver=self._approver,
            approve=scope is not None,
            seen=digest(list(request.prompt)),
            scope=scope if scope is not None else Scope.ONCE,
            reason=reason,
        )


def _offers_session(request: Request) -> bool:
    return not wider(Scope.SESSION, request.widest)


async def _reason(screen: Screen) -> str | None:
    """Why somebody overrides a rule; None where they rather do not."""
    await screen.write("\n  why? The reason goes on record; Enter alone denies\n> ")
    line = await _line(screen, most=REASON_LENGTH)
    return line.decode("utf-8", "replace").strip() or None if line else None


async def _line(screen: Screen, *, most: int = 16) -> bytes | None:
    """What was typed before Enter, echoed as far as it is letters; None for ^C and ^D."""
    line = b""
    while True:
        for byte in await screen.read():
            if byte in _NO:
                return None
            if byte in _ENTER:
                return line
            if byte in _ERASE:
                line = line[:-1]
                await screen.write("\b \b")
            elif len(line) < most:
                # Escape sequences of arrows and mice stay in the line, so that the line is no answer.
                line += bytes((byte,))
                await screen.write(chr(byte) if 0x20 <= byte < 0x7F else "?")


async def _parting(screen: Screen, word: str) -> None:
    # Where nobody is there to read it, the answer, or that there is none, stands already.
    with suppress(TerminalGone):
        await screen.write(f"\n  {word}\n")
