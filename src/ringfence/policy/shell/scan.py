"""The everyday part of the language, read by hand: commands, pipelines, lists, quotes, variables and redirections.

It is there for speed. Whatever it does not know for certain it leaves to the parser, by giving up: it never guesses.
Continued lines have been joined before.
"""

from __future__ import annotations

import re

from ringfence.policy.shell.syntax import (
    Assign,
    Chain,
    Here,
    Open,
    Piece,
    Pipeline,
    Sequence,
    Simple,
    Statement,
    Subshell,
    Text,
)
from ringfence.policy.shell.words import ansi_c, in_double_quotes

MAX_NESTED = 12
MAX_LENGTH = 8192

_BLANK = re.compile(r"[ \t]+")
_LINES = re.compile(r"(?:[ \t\n]|(?<![^ \t\n;&|()])#[^\n]*)+")
_PLAIN = re.compile(r"[^ \t\n'\"\\$`;&|<>()]+")
_SIMPLE_WORD = re.compile(r"[A-Za-z0-9_./:@,+=%-]+(?=[ \t\n;&|)]|$)")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"([^"\\$`]*)"')
_DOUBLE_RUN = re.compile(r"(?:[^\"\\$`]|\\.|\$(?=[^A-Za-z0-9_{(\[@*#?$!'\"\\-]))+", re.DOTALL)
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([0-9@*#?$!-]))")
_LONE_DOLLAR = re.compile(r"\$(?=[ \t\n;&|)/.,:=%+]|$)")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_REDIRECT = re.compile(r"(?:[0-9]+(?=[<>]))?(&>>|&>|>>|>\||>&|<&|<>|<(?![<(])|>(?!\())")
_ELEMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[")
_CLOSES = re.compile(r"[0-9]*-?")
_LEFT_TO_PARSER = frozenset(
    "if then else elif fi case esac for select while until do done in function time coproc { } ! [[ ]]".split()
)


class Unknown(Exception):
    """Not for certain: the parser has to read it."""


def scan(text: str) -> Statement | None:
    """The statements of a string, or nothing where it has more than the everyday part of the language."""
    if len(text) > MAX_LENGTH:
        return None
    scanner = _Scanner(text)
    try:
        found = scanner.list(0)
    except Unknown:
        return None
    return found if scanner.at == len(text) else None


class _Scanner:
    __slots__ = ("at", "nested", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.nested: list[Statement] = []

    def list(self, depth: int) -> Statement:
        """Statements up to the end, or to the bracket that closes this one."""
        items: list[Statement] = []
        while True:
            self._lines()
            if self._ends():
                break
            item = self._chain(depth)
            self._blank()
            rest = self.text[self.at : self.at + 2]
            if rest[:1] == ";":
                if rest == ";;":
                    raise Unknown
                self.at += 1
            elif rest[:1] == "&":
                item = Subshell(item)
                self.at += 1
            elif rest[:1] != "\n" and not self._ends():
                raise Unknown
            items.append(item)
            self._blank()
            if self.text[self.at : self.at + 1] in {";", "&", "|"}:
                raise Unknown
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _ends(self) -> bool:
        return self.at >= len(self.text) or self.text[self.at] == ")"

    def _blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        if match:
            self.at = match.end()
        if self.text[self.at : self.at + 1] == "#":
            end = self.text.find("\n", self.at)
            before = self.text[self.at - 1 : self.at]
            if before not in {"", " ", "\t", "\n", ";", "&", "|", "(", ")"}:
                raise Unknown
            self.at = len(self.text) if end < 0 else end

    def _lines(self) -> None:
        match = _LINES.match(self.text, self.at)
        if match:
            self.at = match.end()

    def _chain(self, depth: int) -> Statement:
        items = [("", self._pipeline(depth))]
        while True:
            self._blank()
            operator = self.text[self.at : self.at + 2]
            if operator not in {"&&", "||"}:
                break
            self.at += 2
            self._lines()
            items.append((operator, self._pipeline(depth)))
        return items[0][1] if len(items) == 1 else Chain(tuple(items))

    def _pipeline(self, depth: int) -> Statement:
        items = [self._simple(depth)]
        while True:
            self._blank()
            two = self.text[self.at : self.at + 2]
            if two[:1] != "|" or two == "||":
                break
            self.at += 2 if two == "|&" else 1
            self._lines()
            items.append(self._simple(depth))
        return items[0] if len(items) == 1 else Pipeline(tuple(items))

    def _simple(self, depth: int) -> Simple:
        outer, self.nested = self.nested, []
        words: list[Text] = []
        assigns: list[Assign] = []
        opens: list[Open] = []
        here: Here | None = None
        text = self.text
        while True:
            self._blank()
            at = self.at
            plain = _SIMPLE_WORD.match(text, at)
            if plain and (words or "=" not in plain.group()):
                raw = plain.group()
                if not words and raw in _LEFT_TO_PARSER:
                    raise Unknown
                self.at = plain.end()
                words.append(Text((Piece(raw, False),), raw))
                continue
            if at >= len(text) or text[at] in "\n;|)":
                break
            redirect = _REDIRECT.match(text, at)
            if redirect:
                self.at = redirect.end()
                self._redirect(redirect.group(1), opens, depth)
                continue
            if text.startswith("<<<", at):
                self.at = at + 3
                self._blank()
                here = Here(self._word(depth))
                continue
            if text[at] in "&(<>":
                if text[at] == "&":
                    break
                raise Unknown
            assignment = _ASSIGNMENT.match(text, at) if not words else None
            if assignment:
                self.at = assignment.end()
                assigns.append(self._assign(assignment, depth))
                continue
            if not words and _ELEMENT.match(text, at):
                raise Unknown
            word = self._word(depth)
            if not words and word.raw in _LEFT_TO_PARSER:
                raise Unknown
            words.append(word)
        if not words and not assigns and not opens:
            raise Unknown
        nested, self.nested = tuple(self.nested), outer
        return Simple(tuple(words), tuple(assigns), tuple(opens), here, nested)

    def _assign(self, match: re.Match[str], depth: int) -> Assign:
        following = self.text[self.at : self.at + 1]
        if following == "(":
            raise Unknown
        empty = following in {"", " ", "\t", "\n", ";", "&", "|", ")", "<", ">"}
        value = Text((), "") if empty else self._word(depth)
        return Assign(match[1], value, bool(match[2]), self.text[match.start() : self.at])

    def _redirect(self, operator: str, opens: list[Open], depth: int) -> None:
        self._blank()
        if self.at >= len(self.text) or self.text[self.at] in "\n;&|<>()":
            raise Unknown
        target = self._word(depth)
        only = target.pieces[0].text if len(target.pieces) == 1 and not target.pieces[0].hole else None
        if not (operator in {">&", "<&"} and only is not None and _CLOSES.fullmatch(only)):
            opens.append(Open(operator, target))

    def _word(self, depth: int) -> Text:
        """One word, from here to the next character that ends one."""
        text, start = self.text, self.at
        pieces: list[Piece] = []
        while self.at < len(text):
            at = self.at
            character = text[at]
            if character == "'":
                match = _SINGLE.match(text, at)
                if match is None:
                    raise Unknown
                pieces.append(Piece(match[1], True))
                self.at = match.end()
            elif character == '"':
                self._double(pieces, depth)
            elif character == "\\":
                self._backslash(pieces)
            elif character == "$":
                self._dollar(pieces, depth, quoted=False)
            elif character in " \t\n;&|<>)":
                break
            elif character in "(`":
                raise Unknown
            else:
                match = _PLAIN.match(text, at)
                assert match is not None
                pieces.append(Piece(match.group(), False))
                self.at = match.end()
        raw = text[start : self.at]
        if text[self.at : self.at + 1] in {"<", ">"} and (raw.isdigit() or raw[:1] == "{"):
            raise Unknown
        if self.at == start:
            raise Unknown
        return Text(tuple(pieces), raw)

    def _backslash(self, pieces: list[Piece]) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if not following or following == "\n":
            raise Unknown
        pieces.append(Piece(following, True))
        self.at += 2

    def _double(self, pieces: list[Piece], depth: int) -> None:
        text = self.text
        plain = _DOUBLE.match(text, self.at)
        if plain:
            pieces.append(Piece(plain[1], True))
            self.at = plain.end()
            return
        pieces.append(Piece("", True))
        self.at += 1
        while True:
            character = text[self.at : self.at + 1]
            if character == '"':
                self.at += 1
                return
            run = _DOUBLE_RUN.match(text, self.at)
            if run:
                pieces.append(in_double_quotes(run.group()))
                self.at = run.end()
            elif character == "$":
                self._dollar(pieces, depth, quoted=True)
            else:
                raise Unknown

    def _dollar(self, pieces: list[Piece], depth: int, *, quoted: bool) -> None:
        text, at = self.text, self.at
        variable = _VARIABLE.match(text, at)
        if variable:
            pieces.append(Piece("", quoted, hole=True, name=variable[1] or variable[2] or ""))
            self.at = variable.end()
            return
        if text.startswith("$(", at) and not text.startswith("$((", at):
            self._substitution(pieces, depth, quoted=quoted)
            return
        if not quoted and text.startswith("$'", at):
            match = _ANSI.match(text, at)
            if match is None:
                raise Unknown
            pieces.append(ansi_c(match[1]) or Piece("", True, hole=True))
            self.at = match.end()
            return
        if not quoted and _LONE_DOLLAR.match(text, at):
            pieces.append(Piece("$", True))
            self.at = at + 1
            return
        raise Unknown

    def _substitution(self, pieces: list[Piece], depth: int, *, quoted: bool) -> None:
        if depth >= MAX_NESTED:
            raise Unknown
        self.at += 2
        inside, outer = _Scanner(self.text), self.nested
        inside.at = self.at
        body = inside.list(depth + 1)
        if self.text[inside.at : inside.at + 1] != ")":
            raise Unknown
        self.at = inside.at + 1
        self.nested = outer
        self.nested.append(Subshell(body))
        pieces.append(Piece("", quoted, hole=True))

