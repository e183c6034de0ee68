"""Opens the screen of approvals, or its plain text; says what is missing where it cannot, and never shows something
else instead."""

from __future__ import annotations

import os
import sys

from ringfence.cli import codes
from ringfence.model.situations import RingfenceError, UsageInvalid
from ringfence.session.sources import Places


class ScreenMissing(RingfenceError):
    """What the screen is drawn with is not installed."""


def is_terminal() -> bool:
    """Whether a person sits here."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def run(where: Places, *, plain: bool) -> int:
    """Show it until it is left."""
    return _plain(where) if plain else _screen(where)


def _plain(where: Places) -> int:
    if not is_terminal():
        raise UsageInvalid(
            "`--plain` reads answers from a terminal, and here is none",
            remedy="answer with `ringfence approvals approve ID` or `deny ID`",
        )
    from ringfence.cli import approvals_plain
    from ringfence.cli.approvals_view import View

    view = View(where)
    try:
        approvals_plain.run(view, approvals_plain.Terminal())
        return codes.OK
    finally:
        view.close()


def _screen(where: Places) -> int:
    if os.environ.get("TERM", "dumb") == "dumb":
        raise UsageInvalid("this terminal cannot draw a screen", remedy="take `ringfence approvals --plain`")
    try:
        from ringfence.cli import approvals_screen
    except ImportError as missing:
        raise ScreenMissing(
            f"the screen of approvals needs what is not installed: {missing.name}",
            remedy='`pip install "ringfence[tui]"`, or take `ringfence approvals --plain`, or the commands that'
            " `ringfence approvals --help` lists",
        ) from missing
    from ringfence.cli.approvals_view import Reading

    reading = Reading(where)
    try:
        return codes.FAILED if approvals_screen.run(reading) else codes.OK
    finally:
        reading.close()
