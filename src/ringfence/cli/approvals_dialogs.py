"""The two dialogs of the full-screen approver: a list of named answers, and a line for a reason."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from ringfence.approvals.channels.terminal import REASON_LENGTH
from ringfence.cli.approvals_keys import Choice, Guard

_CSS = """
Choosing, Reason { align: center bottom; background: transparent; }
.box { width: 100%; height: auto; border: solid ansi_default; padding: 0 1; background: ansi_default; }
Input, Input:focus { border: none; height: 1; padding: 0; background: ansi_default; }
"""


class Choosing(ModalScreen[Choice | None]):
    """Lets a person choose an answer by its name. What Enter takes at first is to go back."""

    CSS = _CSS

    def __init__(self, offered: tuple[Choice, ...], guard: Guard) -> None:
        super().__init__()
        self._offered: tuple[Choice | None, ...] = (None, *offered)
        self._guard = guard
        self._at = 0

    def compose(self) -> ComposeResult:
        """The list."""
        yield Static(self._drawn(), classes="box", markup=False)

    def on_mount(self) -> None:
        """Begin to count."""
        self.call_after_refresh(lambda: self._guard.show(time.monotonic()))

    def on_key(self, event: events.Key) -> None:
        """Move, take or go back."""
        event.stop()
        match event.key:
            case "escape" | "q":
                self.dismiss(None)
            case "down" | "j":
                self._move(1)
            case "up" | "k":
                self._move(-1)
            case "enter" if self._guard.counts(event.time):
                self.dismiss(self._offered[self._at])

    def _move(self, by: int) -> None:
        self._at = (self._at + by) % len(self._offered)
        self.query_one(Static).update(self._drawn())

    def _drawn(self) -> Text:
        rows = []
        for place, choice in enumerate(self._offered):
            name = "go back, no answer" if choice is None else choice.text
            here = place == self._at
            rows.append(Text(f"{'>' if here else ' '} {name}", style="reverse" if here else ""))
        return Text("\n").join([*rows, Text("\nj k: move   Enter: take it   Esc: go back")])


class Reason(ModalScreen[str | None]):
    """Asks why."""

    CSS = _CSS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "back", priority=True)]

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self._choice = choice

    def compose(self) -> ComposeResult:
        """A line to write on."""
        about = f"{self._choice.text}: why? It goes on record. Enter gives the answer, Esc goes back."
        with Vertical(classes="box"):
            yield Static(about, markup=False)
            yield Input(max_length=REASON_LENGTH)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the reason."""
        self.dismiss(event.value.strip())

    def action_back(self) -> None:
        """Go back without an answer."""
        self.dismiss(None)
