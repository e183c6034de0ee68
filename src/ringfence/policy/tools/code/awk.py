"""An awk program, by its tokens: commands that it runs, files that it opens, and the environment."""

from __future__ import annotations

import re
from typing import NamedTuple

from ringfence.model.action import EffectKind
from ringfence.policy.tools.code import saying
from ringfence.policy.tools.reading import Reading

_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|\\\n|#[^\n]*)|(?P<end>[;\n{}])|(?P<string>\"(?:\\.|[^\"\\])*\")|(?P<name>@?[A-Za-z_]\w*)"
    r"|(?P<number>\d[\w.]*)|(?P<operator>\|\||\|&|&&|>>|>=|<=|==|!=|!~|\+\+|--|[-+*%^]=|.)",
    re.DOTALL,
)
_REGEX = re.compile(r"/(?:\\.|\[[^\]\n]*\]|[^/\\\n])+/")
_STREAMS = frozenset({"/dev/stdout", "/dev/stderr", "/dev/stdin", "-"})
_VALUES = frozenset({")", "]", "$"})


class Token(NamedTuple):
    """One token."""

    kind: str
    text: str


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what an awk program does."""
    tokens = _tokens(text)
    printing = -1
    depth = 0
    for at, token in enumerate(tokens):
        if token.kind == "end":
            printing = -1
        elif token.text in {"(", ")"}:
            depth += 1 if token.text == "(" else -1
        elif token.text in {"print", "printf"}:
            printing = depth
        elif token.text == "system" and token.kind == "name":
            _command(reading, tokens, at + 2, ")")
        elif token.text in {"|", "|&"}:
            _pipe(reading, tokens, at)
        elif token.text in {">", ">>"} and printing == depth:
            _file(reading, EffectKind.WRITE, tokens, at + 1)
        elif token.text == "<" and _after_getline(tokens, at):
            _file(reading, EffectKind.READ, tokens, at + 1)
        elif token.text in {"@load", "@include"}:
            saying.builds_code(reading, f"`{token.text}`")
        elif token.text == "ENVIRON" and (at + 1 >= len(tokens) or tokens[at + 1].text != "["):
            saying.whole_environment(reading)
        elif token.text.startswith("@") and len(token.text) > 1:
            saying.builds_code(reading, f"the indirect call `{token.text}`")


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text):
        if text[at] == "/" and not _is_value(found):
            regex = _REGEX.match(text, at)
            if regex is not None:
                found.append(Token("regex", regex[0]))
                at = regex.end()
                continue
        match = _TOKEN.match(text, at)
        if match is None:
            break
        at = match.end()
        if match.lastgroup not in {None, "space"}:
            found.append(Token(match.lastgroup or "", match[0]))
    return found


def _after_getline(tokens: list[Token], at: int) -> bool:
    """Whether `<` stands behind `getline`, or `getline VARIABLE`, so that it opens a file."""
    for token in reversed(tokens[max(at - 6, 0) : at]):
        if token.text == "getline":
            return True
        if token.kind == "end" or token.text in {"(", "<", "&&", "||"}:
            return False
    return False


def _is_value(tokens: list[Token]) -> bool:
    """Whether what stands before a slash is a value, so that it divides."""
    return bool(tokens) and (tokens[-1].kind in {"name", "number", "string"} or tokens[-1].text in _VALUES)


def _string(tokens: list[Token], at: int) -> str | None:
    """The string at a place, where it stands alone."""
    if not 0 <= at < len(tokens) or tokens[at].kind != "string":
        return None
    return tokens[at].text[1:-1].replace('\\"', '"').replace("\\\\", "\\")


def _command(reading: Reading, tokens: list[Token], at: int, closing: str) -> None:
    text = _string(tokens, at)
    following = tokens[at + 1].text if at + 1 < len(tokens) else ""
    if text is not None and (following in {closing, ""} or (at + 1 < len(tokens) and tokens[at + 1].kind == "end")):
        saying.shell(reading, text)
    else:
        saying.starts_something(reading, "a command that it puts together")


def _pipe(reading: Reading, tokens: list[Token], at: int) -> None:
    if at + 1 < len(tokens) and tokens[at + 1].text == "getline":
        text = _string(tokens, at - 1)
        before = tokens[at - 2] if at > 1 else Token("end", "")
        alone = before.kind == "end" or before.text in {"(", "=", "while", "if", "&&", "||", "!"}
        if text is not None and alone:
            saying.shell(reading, text)
        else:
            saying.starts_something(reading, "a command that it puts together")
    else:
        _command(reading, tokens, at + 1, ")")


def _file(reading: Reading, kind: EffectKind, tokens: list[Token], at: int) -> None:
    text = _string(tokens, at)
    if text is None or text in _STREAMS:
        return
    if text.startswith("/inet"):
        saying.connects_somewhere(reading, f"`{text}`")
    elif at + 1 >= len(tokens) or tokens[at + 1].kind == "end" or tokens[at + 1].text == ")":
        saying.path(reading, kind, text)
    elif text.startswith("/"):
        saying.path(reading, kind, text.rpartition("/")[0] or "/")
