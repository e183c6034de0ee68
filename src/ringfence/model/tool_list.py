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
    hidden = []
    for number, tool in enumerate(found):
        name = tool.get("name") if isinstance(tool, dict) else None
        if not isinstance(tool, dict) or not isinstance(name, str) or not name:
            raise ListUnread("a tool in the list has no name")
        if number >= MOST_TOOLS:
            raise ListUnread(f"the list has more than {MOST_TOOLS} tools")
        shown = {key: value for key, value in tool.items() if key != _NOT_SHOWN_TO_MODELS}
        name = text_from_os(name)
        # A name that stands there twice: which of the two a model is shown is the agent's choice, so both count.
        described.setdefault(name, []).append(_digest(shown))
        if _hides(shown):
            hidden.append(name)
    pairs = sorted((name, parts[0] if len(parts) == 1 else _digest(parts)) for name, parts in described.items())
    return ToolList(tools=tuple(pairs), hidden=tuple(dict.fromkeys(hidden)))


def change(before: Mapping[str, str], after: Mapping[str, str]) -> ListChange:
    """What is different between two lists."""
    return ListChange(
        added=tuple(sorted(set(after) - set(before))),
        removed=tuple(sorted(set(before) - set(after))),
        altered=tuple(sorted(name for name in before if name in after and before[name] != after[name])),
    )


def _digest(value: object) -> str:
    return f"sha256:{hashlib.sha256(json_text(value).encode()).hexdigest()}"


def _hides(value: object) -> bool:
    """Whether any text in it, at any depth, hides something."""
    text = json.dumps(value, ensure_ascii=False)
    return _HIDING.search(text) is not None or any(unicodedata.category(one) in _UNSEEN for one in text if one > "~")


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{name[:60]}`" for name in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
