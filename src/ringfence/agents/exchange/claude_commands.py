"""`Bash(...)` rules of Claude Code as command rules.

There, `git push:*` and `git push *` mean commands that begin so, `*` elsewhere stands for any text, and anything else
is one exact command. Rules of ours name words, so a text that ends inside a word is carried over as far as words go.
"""

from __future__ import annotations

import re
import shlex

import msgspec

from ringfence.agents.exchange.carried import Written, carry
from ringfence.agents.exchange.draft import Draft, TestPart
from ringfence.model.decision import Verdict
from ringfence.policy.schema import escaped

AGENT = "claude"

_STAR = re.compile(r"(?<!\\)\*")
_SHELL = re.compile(r"[|&;<>`\n]|\$\(|\$\{")
_EVERYTHING = {"", "*", ":*"}


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a specifier says, in words."""

    words: tuple[str, ...]
    """The words that a command begins with, then options that may stand anywhere."""
    exact: bool = False
    """Nothing may follow."""
    part: bool = False
    """The last word may go on."""


def import_command(draft: Draft, specifier: str, verdict: Verdict, origin: str, item: str) -> None:
    """One `Bash(...)` rule."""
    restricts = verdict is not Verdict.ALLOW
    if specifier.strip() in _EVERYTHING:
        _everything(draft, verdict, origin, item)
        return
    shape = _shape(specifier)
    if isinstance(shape, str):
        draft.lose(origin, item, shape, restricts=restricts)
    elif shape.exact and verdict is Verdict.ALLOW:
        # A rule by prefix would allow more than this one command; a test says that it is allowed as it is.
        draft.tests.append(TestPart(shell=shlex.join(shape.words), expect=verdict, origin=origin))
    elif shape.part and verdict is not Verdict.ALLOW:
        _begin(draft, shape, verdict, origin, item)
    else:
        _carry(draft, shape, verdict, origin, item)


def _everything(draft: Draft, verdict: Verdict, origin: str, item: str) -> None:
    if verdict is Verdict.ALLOW:
        draft.cover(origin, item, "commands that no rule names run inside the sandbox without a question")
    else:
        reason = "rules name programs; keep this in Claude Code, which then never runs its shell tool"
        draft.lose(origin, item, reason, restricts=True)


def _begin(draft: Draft, shape: _Shape, verdict: Verdict, origin: str, item: str) -> None:
    """A rule that ends inside a word: as much of it as words can say, and the rest listed."""
    reason = f"it also means words that go on behind `{escaped(shape.words[-1])}`, and rules name whole words"
    draft.lose(origin, item, reason, restricts=True)
    _carry(draft, msgspec.structs.replace(shape, part=False), verdict, origin, item)


def _carry(draft: Draft, shape: _Shape, verdict: Verdict, origin: str, item: str) -> None:
    written = Written(
        agent=AGENT,
        item=item,
        prefix=tuple((word,) for word in shape.words),
        verdict=verdict,
        match=(shlex.join(shape.words),),
        origin=origin,
    )
    if not carry(draft, written):
        return
    if shape.exact:
        draft.tighten(origin, item, "holds with further arguments too")
    if shape.part:
        draft.tighten(origin, item, f"allows the whole word `{escaped(shape.words[-1])}` only")


def _shape(specifier: str) -> _Shape | str:
    """What a specifier means, or why it cannot be said in words."""
    text = specifier.strip()
    if _SHELL.search(text):
        return "it names several commands, or parts of the shell's language; write a rule for each command"
    if text.endswith(":*"):
        words = _split(text[:-2])
        return words if isinstance(words, str) else _Shape(words=words)
    stars = [match.start() for match in _STAR.finditer(text)]
    if not stars:
        words = _split(text.replace("\\*", "*"))
        return words if isinstance(words, str) else _Shape(words=words, exact=True)
    return _with_stars(text, stars)


def _with_stars(text: str, stars: list[int]) -> _Shape | str:
    head, tail = text[: stars[0]], text[stars[0] :]
    begun = _split(head)
    if isinstance(begun, str):
        return begun
    if tail == "*":
        return _Shape(words=begun, part=not head.endswith(" "))
    # `git push * --force *`: ours finds an option wherever it stands.
    options = tail.replace("*", " ").split()
    separate = head.endswith(" ") and all(part == "*" or "*" not in part for part in tail.split())
    if separate and options and all(word.startswith("-") for word in options):
        return _Shape(words=(*begun, *options))
    return "`*` inside a command stands for any text, and rules name words"


def _split(text: str) -> tuple[str, ...] | str:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        return f"it is not complete: {error}"
    if not words:
        return "it names no program"
    if "=" in words[0]:
        return "it begins with a variable; write the rule for the program behind it"
    return words
