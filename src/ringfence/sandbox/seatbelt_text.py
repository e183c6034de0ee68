"""Writes parts of a Seatbelt profile: paths and patterns as its language takes them. Pure.

A path of a person's is data in a program here, so nothing is written that the language could read otherwise.
"""

from __future__ import annotations

import posixpath
import re

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.globs import components, is_glob

LINKS = ("/tmp", "/var", "/etc")  # noqa: S108
"""Links of every Mac into `/private`: rules see where they lead."""
_PLAIN = re.compile(r"[A-Za-z0-9 /_,:;~@%=!&<>'#-]")


def canonical(path: str) -> str:
    """A path as the kernel of a Mac knows it."""
    path = posixpath.normpath(path)
    for link in LINKS:
        if path == link or path.startswith(link + "/"):
            return "/private" + path
    return path


def quoted(text: str) -> str:
    """A string of the language."""
    if not text.isprintable():
        # SECURITY: a line break or a control character in a name could end up as a rule of its own (T1).
        raise SandboxUnavailable(
            f"the path {text!a} has characters that cannot be named in a Seatbelt profile",
            remedy="rename it, or leave it out of the policy",
        )
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def subpath(path: str) -> str:
    """A path and everything below it."""
    return f"(subpath {quoted(canonical(path))})"


def literal(path: str) -> str:
    """A path alone."""
    return f"(literal {quoted(canonical(path))})"


def below(pattern: str, workspace: str, *, any_case: bool) -> str:
    """What a glob matches, and everything below. `any_case`: file systems of Macs take `.ENV` for `.env`, so what is
    denied is denied in every spelling."""
    written = pattern if pattern.startswith("/") else f"{workspace}/{pattern}"
    fixed = []
    for name in components(written):
        if is_glob(name):
            break
        fixed.append(name)
    base = canonical("/" + "/".join(fixed))
    steps = components(written)[len(fixed) :]
    text = "^" + _letters(base.rstrip("/"), any_case=any_case)
    for step in steps:
        text += "(/[^/]+)*" if step == "**" else "/" + _step(step, any_case=any_case)
    return f"(regex {quoted(text + '(/.*)?$')})"


def any_spelling(path: str) -> str:
    """A path in every spelling, and everything below it."""
    return f"(regex {quoted('^' + _letters(canonical(path), any_case=True) + '(/.*)?$')})"


def _step(name: str, *, any_case: bool) -> str:
    text, at = "", 0
    while at < len(name):
        character = name[at]
        end = name.find("]", at + 2 if name.startswith("[!", at) else at + 1)
        if character == "*":
            text += "[^/]*"
        elif character == "?":
            text += "[^/]"
        elif character == "[" and end > 0:
            text += _class(name[at + 1 : end])
            at = end
        else:
            text += _letters(character, any_case=any_case)
        at += 1
    return text


def _class(inside: str) -> str:
    negated, inside = ("^", inside[1:]) if inside.startswith("!") else ("", inside)
    if negated:
        inside += "/"
    escaped = inside.replace("\\", "\\\\").replace("^", "\\^").replace("[", "\\[")
    return f"[{negated}{escaped}]"


def _letters(text: str, *, any_case: bool) -> str:
    return "".join(_letter(character, any_case=any_case) for character in text)


def _letter(character: str, *, any_case: bool) -> str:
    lower, upper = character.lower(), character.upper()
    if any_case and lower != upper and len(lower) == len(upper) == 1:
        return f"[{upper}{lower}]"
    if _PLAIN.fullmatch(character) or not character.isascii():
        return character
    return "\\" + character
