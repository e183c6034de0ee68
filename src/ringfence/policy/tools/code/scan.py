"""Code in languages without a parser here, by its words: calls that start, connect, open or build code.

SECURITY: words are looked for in the raw text, also inside what looks like a string, because a wrong guess about where
a string ends would hide the code behind it. The price is a question about a text that only names such a call.
"""

from __future__ import annotations

import re

import msgspec

from ringfence.model.action import EffectKind
from ringfence.policy.tools.code import saying
from ringfence.policy.tools.reading import Reading

LITERAL = r"""\s*\(?\s*(?P<quote>["'`])(?P<text>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)"""
_INTERPOLATES = re.compile(r"\$[\w{(]|#\{|@\{|\\")


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of one language, each as a regular expression."""

    shells: str
    """Calls whose first argument is a shell string."""
    starts: str = r"(?!)"
    """Other ways of starting a program."""
    builds: str = r"(?!)"
    """Calls that run code which is made."""
    urls: str = r"(?!)"
    """Calls whose first argument is a URL or host."""
    sockets: str = r"(?!)"
    reads: str = r"(?!)"
    writes: str = r"(?!)"
    deletes: str = r"(?!)"
    environment: str = r"(?!)"


def scan(words: Words, text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what these calls do."""
    starts = _shells(words.shells, text, reading)
    for match in re.finditer(words.starts, text):
        starts = True
        saying.starts_something(reading, f"`{match[0].strip()[:40]}`")
    for match in re.finditer(words.builds, text):
        saying.builds_code(reading, f"`{match[0].strip()[:40]}`")
    connected = _urls(words.urls, text, reading)
    if re.search(words.sockets, text):
        connected = True
        saying.connects_somewhere(reading, "a socket")
    if connected and starts and re.search(words.sockets, text):
        saying.reverse_shell(reading)
    for kind, calls in (
        (EffectKind.READ, words.reads),
        (EffectKind.WRITE, words.writes),
        (EffectKind.DELETE, words.deletes),
    ):
        for match in re.finditer(f"(?:{calls}){LITERAL}", text):
            if match["quote"] == "'" or not _INTERPOLATES.search(match["text"]):
                saying.path(reading, kind, match["text"], home)
    if re.search(words.environment, text):
        saying.whole_environment(reading)


def _shells(calls: str, text: str, reading: Reading) -> bool:
    found = False
    for match in re.finditer(f"(?:{calls})", text):
        found = True
        literal = re.compile(LITERAL).match(text, match.end())
        if literal is None or (literal["quote"] != "'" and _INTERPOLATES.search(literal["text"])):
            saying.starts_something(reading, f"`{match[0].strip()[:40]}`")
        else:
            rest = re.findall(r"""["']([^"']*)["']""", text[literal.end() : literal.end() + 400].partition(")")[0])
            saying.shell(reading, " ".join((literal["text"], *rest)))
    return found


def _urls(calls: str, text: str, reading: Reading) -> bool:
    found = False
    for match in re.finditer(f"(?:{calls})", text):
        found = True
        literal = re.compile(LITERAL).match(text, match.end())
        # An address that is only known when it runs is decided by the gateway, when it is connected to.
        if literal is not None and not _INTERPOLATES.search(literal["text"]):
            saying.url(reading, literal["text"])
    return found
