"""The approver as plain text, for screen readers and simple terminals: it only ever writes lines, and takes words.

One request after the other is written out whole. Nothing moves, nothing is drawn, nothing is coloured.
"""

from __future__ import annotations

import os
import select
import termios
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from ringfence.approvals.objects import Request, Scope
from ringfence.cli.approvals_keys import GUARD_SECONDS, Choice, choices
from ringfence.cli.approvals_page import can_be_shown, question
from ringfence.cli.approvals_view import Look, Told

_LOOK_SECONDS = 0.5
_WORDS = {Scope.ONCE: "once", Scope.SESSION: "session", Scope.REPO: "repo"}


class Lines(Protocol):
    """A terminal that gives lines."""

    def discard(self) -> None:
        """Throw away what was typed before now, and until nobody has typed for a moment."""
        ...

    def line(self, seconds: float) -> str | None:
        """A line, or None where none came in that time. `EOFError` at the end."""
        ...


class Source(Protocol):
    """Where requests come from and answers go to."""

    def look(self, selected: str) -> Look:
        """What there is."""
        ...

    def answer(self, request: Request, choice: Choice, reason: str) -> Told:
        """Give an answer."""
        ...


class Terminal:
    """The terminal on the standard input."""

    def __init__(self, guard_seconds: float = GUARD_SECONDS) -> None:
        self._guard_seconds = guard_seconds

    def discard(self) -> None:
        """Throw away what was typed, a half line too."""
        # SECURITY: what was typed before the question could be heard is no answer to it.
        termios.tcflush(0, termios.TCIFLUSH)
        time.sleep(self._guard_seconds)
        termios.tcflush(0, termios.TCIFLUSH)

    def line(self, seconds: float) -> str | None:
        """A line, once Enter was pressed."""
        ready, _, _ = select.select([0], [], [], seconds)
        if not ready:
            return None
        typed = os.read(0, 4096)
        if not typed:
            raise EOFError
        return typed.decode("utf-8", "replace").strip()


def run(source: Source, terminal: Lines, write: Callable[[str], None] = print) -> None:
    """Put one request after the other, until the person leaves."""
    passed: set[str] = set()
    told_empty = False
    while True:
        look = source.look("")
        following = next((one for one in look.waiting if one.id not in passed), None)
        if following is None:
            if not told_empty:
                rest = f"; {len(look.waiting)} passed over, `again` reads them again" if look.waiting else ""
                write(f"no other request waits{rest}; new ones are read as they come; `quit` leaves")
            told_empty = True
            match _typed(terminal):
                case "quit":
                    return
                case "again":
                    passed, told_empty = set(), False
                case str():
                    write("no answer was given: no request is being read; type `again` or `quit`")
            continue
        told_empty = False
        passed.add(following.id)
        if not _put(source, terminal, following, len(look.waiting), write):
            return


def _put(source: Source, terminal: Lines, request: Request, number: int, write: Callable[[str], None]) -> bool:
    """Put one request; false where the person leaves."""
    look = source.look(request.id)
    for line in _page(request, look, number):
        write(line)
    terminal.discard()
    while True:
        typed = _typed(terminal)
        if typed == "quit":
            return False
        if typed == "next":
            return True
        if typed is None:
            ended = source.look(request.id).ended
            if ended:
                write(f"no longer open: {ended}")
                return True
            continue
        choice, _, reason = typed.partition(" ")
        found = _choice(request, choice)
        problem = _refusal(request, found, reason.strip())
        if found is None or problem:
            write(f"no answer was given: {problem}")
            continue
        write(source.answer(request, found, reason.strip()).text)
        return True


def _typed(terminal: Lines) -> str | None:
    try:
        return terminal.line(_LOOK_SECONDS)
    except EOFError:
        return "quit"


def _page(request: Request, look: Look, number: int) -> Iterator[str]:
    yield ""
    yield f"request {request.id}, {number} waiting"
    yield from question(request)
    yield from look.beside
    words = ", ".join(f"`{_word(choice)}`" for choice in choices(request) if choice.key != "D")
    yield f"type {words}, `next` or `quit`, then Enter; a reason may follow the word"


def _word(choice: Choice) -> str:
    return _WORDS[choice.scope] if choice.approve else "deny"


def _choice(request: Request, word: str) -> Choice | None:
    return next((choice for choice in choices(request) if _word(choice) == word), None)


def _refusal(request: Request, choice: Choice | None, reason: str) -> str:
    if choice is None:
        words = ", ".join(dict.fromkeys(f"`{_word(one)}`" for one in choices(request)))
        return f"type {words}, `next` or `quit`"
    if choice.approve and not can_be_shown(request):
        return "the question holds characters that cannot be shown as they are; it can only be denied"
    if choice.approve and choice.with_reason and not reason:
        return f"it needs a reason: `{_word(choice)} REASON`"
    return ""
