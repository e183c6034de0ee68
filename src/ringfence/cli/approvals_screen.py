"""The full-screen approver: the queue, the question that is selected, and the keys that answer it.

What is asked stays where it is: a request that ends, or comes in, never puts another one under the finger. Only this
module and `approvals_dialogs` need Textual; everything they decide is decided elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import ClassVar, Protocol

from rich.text import Text
from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from ringfence.approvals.objects import Request
from ringfence.approvals.transitions import State
from ringfence.cli.approvals_dialogs import Choosing, Reason
from ringfence.cli.approvals_keys import GUARD_SECONDS, Choice, Guard, choices
from ringfence.cli.approvals_page import can_be_shown, question, row, window
from ringfence.cli.approvals_view import Look, Told

LOOK_SECONDS = 0.5
_QUEUE_ROWS = 7
_SMALL = 20
"""Lines of a screen on which the question needs every one."""
_NO_ANSWER = "no answer was given: "


class Source(Protocol):
    """Where requests come from and answers go to."""

    async def look(self, selected: str) -> Look:
        """What there is."""
        ...

    async def answer(self, request: Request, choice: Choice, reason: str) -> Told:
        """Give an answer."""
        ...


class Approver(App[None]):
    """The screen."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c,ctrl+q", "quit", priority=True)]
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    Static { width: 1fr; height: auto; }
    #title { text-style: bold; }
    #queue { text-wrap: nowrap; text-overflow: ellipsis; }
    #details { border-top: solid ansi_default; border-bottom: solid ansi_default; height: 1fr;
               scrollbar-size-vertical: 1; scrollbar-color: ansi_default; scrollbar-background: ansi_default; }
    #status { text-style: bold; }
    """

    def __init__(self, source: Source, *, guard_seconds: float = GUARD_SECONDS) -> None:
        super().__init__(ansi_color=True)
        self._source = source
        self._guard_seconds = guard_seconds
        self._guard = Guard(guard_seconds)
        self._look = Look()
        self._rows: tuple[Request, ...] = ()
        self._selected = ""
        self._guarded = ""
        """The request whose time on the screen is counted, or will be once it is drawn."""
        self._drawn: dict[str, Text] = {}
        self._known: frozenset[str] | None = None
        """The requests that were there when it last looked; None before it did."""
        self._unread = False
        """Whether the last look failed."""
        self._told_ended = ""
        """The request of which it was said that it ended."""
        self._busy = False

    def compose(self) -> ComposeResult:
        """The parts of the screen, from top to bottom."""
        yield Static(id="title", markup=False)
        yield Static(id="queue", markup=False)
        with VerticalScroll(id="details", can_focus=False):
            yield Static(id="question", markup=False)
            yield Static(id="beside", markup=False)
        yield Static(id="status", markup=False)
        yield Static(id="keys", markup=False)

    async def on_mount(self) -> None:
        """Begin to look."""
        self._say("")
        await self._refresh_all()
        self.set_interval(LOOK_SECONDS, self._refresh_all)

    async def _refresh_all(self) -> None:
        """Look again. What is selected stays selected, even once it has ended."""
        wanted = self._selected
        look = await self._source.look(wanted)
        if wanted != self._selected:
            return  # The person has moved on meanwhile; this is about another request.
        if look.problem:
            self._unread = True
            self._say(f"the requests cannot be read: {look.problem}; trying again")
            return
        if self._unread:
            self._unread = False
            self._say("")
        ids = frozenset(one.id for one in look.waiting)
        if self._known is not None and ids - self._known:
            self.bell()
        self._known = ids
        self._look = look
        self._rows = _in_order(look.waiting, look.selected)
        self._draw()
        if look.selected is not None and look.selected.id != self._selected:
            self._select(look.selected.id)

    def _select(self, request_id: str) -> None:
        self._selected, self._guarded, self._told_ended = request_id, "", ""
        self._guard.hide()
        self._details.scroll_home(animate=False)
        self._draw()

    def _appeared(self, request_id: str) -> None:
        if request_id == self._guarded:
            self._guard.show(time.monotonic())

    @property
    def _shown(self) -> Request | None:
        """The request whose question is on the screen."""
        found = self._look.selected
        return found if found is not None and found.id == self._selected else None

    @property
    def _details(self) -> VerticalScroll:
        return self.query_one("#details", VerticalScroll)

    def _draw(self) -> None:
        shown, now = self._shown, time.time_ns()
        number = len(self._look.waiting)
        waits = "no request waits" if not number else "1 request waits" if number == 1 else f"{number} requests wait"
        self._put("title", Text(f"ringfence approvals: {waits}"))
        at = next((place for place, one in enumerate(self._rows) if one.id == self._selected), 0)
        height = max(1, min(_QUEUE_ROWS, self.size.height // 5))
        marked = [f"{'>' if one.id == self._selected else ' '} {row(one, now)}" for one in self._rows]
        lines = [_row_text(line) for line in window(marked, at, height)]
        self._put("queue", Text("\n").join(lines))
        self._put("question", _lines_text(question(shown), first="bold") if shown else Text(""))
        self._put("beside", _lines_text(self._look.beside) if shown else Text(""))
        self._put("keys", Text(self._keys(shown)))
        if shown is not None and self._look.ended and self._told_ended != shown.id:
            self._told_ended = shown.id
            self._say(f"no longer open: {self._look.ended}; j and k go to another")
        if shown is not None and shown.id != self._guarded:
            self._guarded = shown.id
            # Only once it is on the screen does its time begin.
            self.call_after_refresh(self._appeared, shown.id)

    def _keys(self, shown: Request | None) -> str:
        if shown is None or self._look.ended:
            return "j/k: move   q: leave"
        small = self.size.height < _SMALL
        answers = "  ".join(f"{choice.key}: {choice.short if small else choice.text}" for choice in choices(shown))
        if small:
            return f"{answers}  Enter: list  j/k: move  Space: read  q: leave"
        return f"{answers}\nEnter: choose from a list   j/k: move   Space PgUp PgDn: read   q: leave"

    def _put(self, name: str, text: Text) -> None:
        if self._drawn.get(name) != text:
            self._drawn[name] = text
            self.query_one(f"#{name}", Static).update(text)

    def _say(self, text: str) -> None:
        self._put("status", Text(text))

    def _at_end(self) -> bool:
        """Whether the last line of the question is on the screen."""
        end = self.query_one("#question").virtual_region.bottom
        return self._details.scroll_offset.y + self._details.size.height >= end > 0

    def on_resize(self) -> None:
        """Draw for the new size."""
        if self.query("#title"):
            self.call_after_refresh(self._draw)

    async def on_key(self, event: events.Key) -> None:
        """What a key does. Where a dialog is open, it has the keys."""
        if len(self.screen_stack) > 1:
            return
        key = event.character if event.character and event.character.isprintable() else event.key
        match key:
            case "q":
                self.exit()
            case "j" | "down":
                await self._move(1)
            case "k" | "up":
                await self._move(-1)
            case " " | "pagedown":
                self._scroll(1)
            case "b" | "pageup":
                self._scroll(-1)
            case _:
                await self._answering(key, event.time)

    async def _move(self, by: int) -> None:
        places = [one.id for one in self._rows]
        if not places:
            return
        at = places.index(self._selected) if self._selected in places else 0
        self._say("")
        self._select(places[max(0, min(len(places) - 1, at + by))])
        await self._refresh_all()

    def _scroll(self, by: int) -> None:
        self._details.scroll_relative(y=by * max(1, self._details.size.height - 2), animate=False)

    async def _answering(self, key: str, moment: float) -> None:
        shown = self._shown
        if shown is None or self._busy:
            return
        found = next((choice for choice in choices(shown) if choice.key == key), None)
        if found is None and key != "enter":
            return
        if self._look.ended:
            self._say(f"no longer open: {self._look.ended}; j and k go to another")
        elif not self._guard.counts(moment):
            self._say(f"{_NO_ANSWER}the key came before the question could be read; press it again")
        elif found is None:
            self.push_screen(Choosing(choices(shown), Guard(self._guard_seconds)), lambda one: self._chosen(shown, one))
        else:
            self._chosen(shown, found)

    def _chosen(self, shown: Request, choice: Choice | None) -> None:
        """Go on with a choice: for a reason, or to the desk."""
        if choice is None:
            self._say("no answer was given")
            return
        if problem := self._refusal(shown, choice):
            self._say(_NO_ANSWER + problem)
            return
        if choice.with_reason:
            self.push_screen(Reason(choice), lambda reason: self._reasoned(shown, choice, reason))
            return
        self._give(shown, choice, "")

    def _refusal(self, shown: Request, choice: Choice) -> str:
        """Why a yes cannot be given here."""
        if not choice.approve:
            return ""
        if not can_be_shown(shown):
            return "the question holds characters that cannot be shown as they are; it can only be denied"
        # SECURITY: padding must not push the harmful part out of sight.
        return "" if self._at_end() else "read the question to its end first, with Space"

    def _reasoned(self, shown: Request, choice: Choice, reason: str | None) -> None:
        if not reason:
            self._say(f"{_NO_ANSWER}it needs a reason")
            return
        self._give(shown, choice, reason)

    def _give(self, shown: Request, choice: Choice, reason: str) -> None:
        self._busy = True
        self.run_worker(self._cast(shown, choice, reason))

    async def _cast(self, shown: Request, choice: Choice, reason: str) -> None:
        try:
            told = await self._source.answer(shown, choice, reason)
        finally:
            self._busy = False
        if told.taken and self._selected == shown.id:
            others = [one.id for one in self._look.waiting if one.id != shown.id]
            self._select(next((one for one in others if one > shown.id), others[0] if others else ""))
        await self._refresh_all()
        self._say(told.text)


def _in_order(waiting: Sequence[Request], selected: Request | None) -> tuple[Request, ...]:
    """What waits, and what is shown where it has ended meanwhile, at the place that it had."""
    ended = (selected,) if selected is not None and selected.state is not State.PENDING else ()
    return tuple(sorted((*waiting, *ended), key=lambda one: one.id))


def _row_text(line: str) -> Text:
    return Text(line, style="reverse" if line.startswith(">") else "", no_wrap=True, overflow="ellipsis")


def _lines_text(lines: Sequence[str], *, first: str = "") -> Text:
    """Lines with the signs of a diff in colour; the signs say the same without."""
    text = Text()
    for number, line in enumerate(lines):
        begin = line[4:5] if line.startswith("    ") else ""
        style = first if number == 0 else {"+": "green", "-": "red"}.get(begin, "")
        text.append(line + "\n", style=style)
    return text


def run(source: Source) -> int:
    """Show the screen until it is left; not zero where it broke."""
    # Textual takes the size from here where it is set, and would not see the terminal change.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    approver = Approver(source)
    approver.run(mouse=False)
    return approver.return_code or 0
