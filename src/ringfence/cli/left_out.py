"""What did not fit from one form of a policy into another, for people: one section per kind, the serious one first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

import msgspec

from ringfence.cli.screen import Palette, wants_colour
from ringfence.model.display import visible


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of one kind, each with where it was written."""

    title: str
    entries: tuple[tuple[str, str], ...]
    important: bool = False


def report(sections: Sequence[Section], out: TextIO) -> None:
    """Print every section that has entries."""
    palette = Palette(colour=wants_colour(out))
    for section in sections:
        if section.entries:
            title = f"{section.title} ({len(section.entries)}):"
            print(palette.bold(title) if section.important else title, file=out)
        for origin, text in section.entries:
            print(f"  {visible(origin)}  {visible(text)}", file=out)
