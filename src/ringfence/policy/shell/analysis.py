"""What a command comes down to: every program it starts, every file its shell opens, and what stayed unclear.

The parser is loaded only where a shell string needs one: plain words are split here, in a few microseconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from ringfence.policy.shell.peel import Invocation, peel
from ringfence.policy.shell.tree import Command, Issue, Redirect, Script, Unclear, Word

MAX_DEPTH = 8
MAX_SCRIPTS = 64

_PLAIN = re.compile(r"[A-Za-z0-9_./:@,+-][A-Za-z0-9_./:@,+= -]*")
_KEYWORDS = frozenset(
    {
        "if", "then", "else", "elif", "fi", "case", "esac", "for", "select", "while", "until", "do", "done", "in",
        "function", "time", "coproc", "declare", "typeset", "export", "readonly", "local", "unset",
    }
)  # fmt: skip


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of a command before it runs."""

    invocations: tuple[Invocation, ...]
    redirects: tuple[Redirect, ...]
    issues: tuple[Issue, ...]


def analyse_argv(argv: Sequence[str], *, home: str | None) -> Analysis:
    """What a program with these exact arguments comes down to."""
    words = tuple(Word(text=text, raw=text) for text in argv)
    return _analyse(Script(commands=(Command(words=words),)), home)


def analyse_shell(text: str, *, home: str | None) -> Analysis:
    """What a shell string comes down to."""
    return _analyse(_script(text, home), home)


def _script(text: str, home: str | None) -> Script:
    if _PLAIN.fullmatch(text):
        parts = text.split()
        if parts[0] not in _KEYWORDS and "=" not in parts[0]:
            return Script(commands=(Command(words=tuple(Word(text=part, raw=part) for part in parts)),))
    from ringfence.policy.shell.parse import parse

    return parse(text, home=home)


def _analyse(first: Script, home: str | None) -> Analysis:
    invocations: list[Invocation] = []
    redirects: list[Redirect] = []
    issues: list[Issue] = []
    waiting = [(first, 0)]
    seen: set[str] = set()
    while waiting:
        script, depth = waiting.pop()
        redirects.extend(msgspec.structs.replace(one, after=len(invocations) + one.after) for one in script.redirects)
        issues.extend(script.issues)
        for command in script.commands:
            peeled = peel(command)
            invocations.extend(peeled.invocations)
            issues.extend(peeled.issues)
            for text in peeled.scripts:
                if text in seen:
                    continue
                seen.add(text)
                if depth >= MAX_DEPTH or len(seen) > MAX_SCRIPTS:
                    issues.append(
                        Issue(kind=Unclear.SIZE, text="it runs shell strings inside shell strings too deeply")
                    )
                else:
                    waiting.append((_script(text, home), depth + 1))
    return Analysis(invocations=tuple(invocations), redirects=tuple(redirects), issues=tuple(dict.fromkeys(issues)))
