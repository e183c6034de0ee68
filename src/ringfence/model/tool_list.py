"""The list of tools that an MCP server gives: a digest of it, what changed in it, and what in it hides from people.

Pure; it judges nothing. An agent's model reads every word of these descriptions, and its person hardly ever does.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping

import msgspec

from ringfence.model.canonical import json_text, text_from_os

MOST_TOOLS = 10_000
LONGEST_NAME = 500
LONGEST_TEXT = 4_000
"""Characters of what is said about one tool that are kept, so that somebody can be shown what changed."""
MOST_TEXT = 200_000
MOST_COMPARED = 12
"""So many changed tools are shown with their texts; the others by name."""
LONGEST_PART = 400

_UNSEEN = frozenset({"Cf", "Cs", "Co", "Cn"})
_NOT_SHOWN_TO_MODELS = "_meta"
_HIDING = re.compile(
    r"<\s*(?:important|system|secret|hidden|instructions?)\b"
    r"|\bignore (?:all |any )?(?:the )?(?:previous|prior|other|above)\b"
    r"|\b(?:do not|don't|never) (?:mention|tell|inform|reveal|show|notify)\b"
    r"|\bwithout (?:telling|informing|asking|mentioning)\b"
    r"|\b(?:before|instead of|after) (?:using|calling|running) (?:this|any|another|other)\b",
    re.IGNORECASE,
)
"""What descriptions say that speak to a model behind a person's back. A hint for the record, and no more."""


class ListUnread(ValueError):
    """What a server gives as its tools is no list of tools."""


class ToolList(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of one server."""

    tools: tuple[tuple[str, str], ...]
    """Names with the digest of all that is said about the tool, sorted."""
    hidden: tuple[str, ...] = ()
    """Tools whose description holds characters that cannot be seen, or speaks to a model behind a person's back."""
    texts: tuple[tuple[str, str], ...] = ()
    """Names with what is said about the tool, as far as that is kept. The digests are about all of it."""

    @property
    def digest(self) -> str:
        """One digest for all of it."""
        return _digest([list(pair) for pair in self.tools])


class ListChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is different in a list of tools."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.altered)

    def in_words(self) -> str:
        """What changed, in a few words."""
        parts = (("new", self.added), ("gone", self.removed), ("described otherwise", self.altered))
        return "; ".join(f"{word}: {_some(names)}" for word, names in parts if names)


def read_tools(found: Iterable[object]) -> ToolList:
    """The list in what a server answered; `ListUnread` where it is none."""
    described: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    hidden = []
    for number, tool in enumerate(found):
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(tool, dict) or not isinstance(name, str) or not name:
            raise ListUnread("a tool in the list has no name")
        if len(name) > LONGEST_NAME:
            raise ListUnread(f"a tool in the list has a name of more than {LONGEST_NAME} characters")
        if number >= MOST_TOOLS:
            raise ListUnread(f"the list has more than {MOST_TOOLS} tools")
        shown = {key: value for key, value in tool.items() if key != _NOT_SHOWN_TO_MODELS}
        name = text_from_os(name)
        # A name that stands there twice: which of the two a model is shown is the agent's choice, so both count.
        described.setdefault(name, []).append(_digest(shown))
        texts[name] = f"{texts[name]}\n{_said(shown)}" if name in texts else _said(shown)
        if _hides(shown):
            hidden.append(name)
    pairs = sorted((name, parts[0] if len(parts) == 1 else _digest(parts)) for name, parts in described.items())
    return ToolList(tools=tuple(pairs), hidden=tuple(dict.fromkeys(hidden)), texts=_kept(texts))


def change(before: Mapping[str, str], after: Mapping[str, str]) -> ListChange:
    """What is different between two lists."""
    return ListChange(
        added=tuple(sorted(set(after) - set(before))),
        removed=tuple(sorted(set(before) - set(after))),
        altered=tuple(sorted(name for name in before if name in after and before[name] != after[name])),
    )


def compared(found: ListChange, before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What was and is said about tools that are new or described otherwise, each around what differs."""
    texts = {}
    for name in (*found.altered, *found.added)[:MOST_COMPARED]:
        was, now = before.get(name), after.get(name)
        if name in found.added:
            texts[name] = {"now": NOT_KEPT if now is None else _part(now, 0, 0)}
        elif was is None or now is None:
            texts[name] = {"was": NOT_KEPT, "now": NOT_KEPT if now is None else _part(now, 0, 0)}
        elif was == now:
            texts[name] = {"was": BEYOND, "now": BEYOND}
        else:
            start = _same(was, now)
            end = _same(was[start:][::-1], now[start:][::-1])
            texts[name] = {"was": _part(was, start, end), "now": _part(now, start, end)}
    return texts


NOT_KEPT = "(its text was not kept)"
BEYOND = f"(what differs stands behind its first {LONGEST_TEXT} characters)"
_AROUND = 60
"""Characters that are shown before and after what differs."""


def _part(text: str, start: int, end: int) -> str:
    """The text from where it differs to where it does so no more, with a little around it; what is left out is said."""
    begin, stop = max(0, start - _AROUND), len(text) - max(0, end - _AROUND)
    part = text[begin:stop]
    if len(part) > LONGEST_PART:
        half = LONGEST_PART // 2
        part = f"{part[:half]} [... {len(part) - LONGEST_PART} CHARACTERS ARE NOT SHOWN HERE ...] {part[-half:]}"
    return f"{'…' if begin else ''}{part}{'…' if stop < len(text) else ''}"


def _same(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    return next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


def _said(tool: dict[str, object]) -> str:
    """What is said about a tool beside its name: its description first, then the rest as it stands."""
    description = tool.get("description")
    text = description if isinstance(description, str) else ""
    rest = {key: value for key, value in tool.items() if key != "name" and (key != "description" or not text)}
    return " ".join(part for part in (text_from_os(text), json_text(rest) if rest else "") if part)


def _kept(texts: dict[str, str]) -> tuple[tuple[str, str], ...]:
    kept, left = [], MOST_TEXT
    for name in sorted(texts):
        text = texts[name][:LONGEST_TEXT]
        left -= len(text)
        if left < 0:
            break
        kept.append((name, text))
    return tuple(kept)


def _digest(value: object) -> str:
    return f"sha256:{hashlib.sha256(json_text(value).encode()).hexdigest()}"


def _hides(value: object) -> bool:
    """Whether any text in it, at any depth, hides something."""
    text = json.dumps(value, ensure_ascii=False)
    return _HIDING.search(text) is not None or any(unicodedata.category(one) in _UNSEEN for one in text if one > "~")


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{name[:60]}`" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
