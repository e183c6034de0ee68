"""The words of everyday shell lines, read by hand: quotes, variables, substitutions and here-documents.

It gives up on whatever it does not know for certain, and leaves it to the parser. Continued lines have been joined
before.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable

from ringfence.policy.shell.syntax import Here, Piece, Statement, Subshell, Text
from ringfence.policy.shell.variables import IDENTIFIER
from ringfence.policy.shell.words import ansi_c, in_double_quotes, in_here_document

MAX_NESTED = 16
MAX_COMMANDS = 1_000
MAX_HOLES = 2_000

_BLANK = re.compile(r"[ \t]+")
_PLAIN = re.compile(r"[^ \t\n'\"\\$`;&|<>()]+")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"([^"\\$`]*)"')
_LITERAL_DOLLAR = r"\$(?=[^A-Za-z0-9_{(\[@*#?$!'\"\\`-])"
_DOUBLE_RUN = re.compile(r"(?:[^\"\\$`]|\\.|" + _LITERAL_DOLLAR + ")+", re.DOTALL)
_HERE_RUN = re.compile(r"(?:[^\\$`]|\\.|" + _LITERAL_DOLLAR + ")+", re.DOTALL)
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([0-9@*#?$!-]))")
_EXPANSION = re.compile(
    r"\$\{(?:#?[A-Za-z_][A-Za-z0-9_]*(?:\[(?:@|\*|[0-9]+)\])?\}"
    r"|([A-Za-z_][A-Za-z0-9_]*|[0-9@*])(:?[-+?=]|##?|%%?|//?|\^\^?|,,?)[^'\"\\$`{}]*\}"
    r"|[A-Za-z_][A-Za-z0-9_]*:[0-9]+(?::[0-9]+)?\}|[0-9#@*?!$-]\})"
)
_ARITHMETIC = re.compile(r"\$\(\(((?:[^'\"\\$`()\[\]{}#]|\$[A-Za-z_][A-Za-z0-9_]*|\([^'\"\\$`()\[\]{}#]*\))*)\)\)")
_BACKTICKS = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
_LONE_DOLLAR = re.compile(r"\$(?=[ \t\n;&|)/.,:=%+]|$)")
_END = re.compile(r"(-?)[ \t]*((?:'[^'\n]*'|\"[^\"\\$`\n]*\"|\\[^\n]|[^\s'\"\\;&|<>()$`])+)(?=[\s;&|<>)]|$)")
_TABS = re.compile(r"^\t+", re.MULTILINE)


class Unknown(Exception):
    """Not for certain: the parser has to read it."""


class Lexer(ABC):
    """Reads words at a place in a text, which moves along."""

    __slots__ = ("at", "body_from", "body_to", "clobbers", "commands", "depth", "inner", "nested", "text")

    def __init__(self, text: str, inner: Callable[[str, int], Statement]) -> None:
        self.text = text
        self.inner = inner
        """Reads the text between backticks."""
        self.at = 0
        self.depth = 0
        self.commands = 0
        """How many commands and substitutions were read."""
        self.nested: list[Statement] = []
        self.clobbers: set[str] = set()
        self.body_from = -1
        """Where the here-documents of this line begin: behind its end."""
        self.body_to = -1

    @abstractmethod
    def statements(self, ends: frozenset[str]) -> Statement:
        """Statements; known to the one who reads them."""

    def blank(self) -> None:
        """Go past white space and a comment, inside a line."""
        text = self.text
        if text[self.at : self.at + 1] in {" ", "\t"}:
            match = _BLANK.match(text, self.at)
            self.at = match.end() if match else self.at
        if text[self.at : self.at + 1] == "#":
            if text[self.at - 1 : self.at] not in {"", " ", "\t", "\n", ";", "&", "|", "(", ")"}:
                raise Unknown
            end = text.find("\n", self.at)
            self.at = len(text) if end < 0 else end

    def newline(self) -> None:
        """Go past the end of a line, and past the here-documents that begin behind it."""
        self.at += 1
        if self.body_from >= 0:
            if self.at != self.body_from:
                raise Unknown
            self.at, self.body_from, self.body_to = self.body_to, -1, -1

    def word(self) -> Text:
        """One word, from here to the next character that ends one."""
        text, start = self.text, self.at
        pieces: list[Piece] = []
        while self.at < len(text):
            at = self.at
            character = text[at]
            match: re.Match[str] | None
            if character == "'":
                match = _SINGLE.match(text, at)
                if match is None:
                    raise Unknown
                pieces.append(Piece(match[1], True))
                self.at = match.end()
            elif character == '"':
                self._double(pieces)
            elif character == "\\":
                self._backslash(pieces)
            elif character == "$":
                self._dollar(pieces, quoted=False)
            elif character == "`":
                self._backticks(pieces, quoted=False)
            elif character in " \t\n;&|<>)":
                break
            elif character == "(":
                raise Unknown
            else:
                match = _PLAIN.match(text, at)
                assert match is not None
                pieces.append(Piece(match.group(), False))
                self.at = match.end()
        raw = text[start : self.at]
        if not raw or (text[self.at : self.at + 1] in {"<", ">"} and (raw.isdigit() or raw[0] == "{")):
            raise Unknown
        return Text(tuple(pieces), raw)

    def _backslash(self, pieces: list[Piece]) -> None:
        following = self.text[self.at + 1 : self.at + 2]
        if following == "\n":
            raise Unknown
        pieces.append(Piece(following or "\\", True))
        self.at += 2 if following else 1

    def _double(self, pieces: list[Piece]) -> None:
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
                self._dollar(pieces, quoted=True)
            elif character == "`":
                self._backticks(pieces, quoted=True)
            else:
                raise Unknown

    def _dollar(self, pieces: list[Piece], *, quoted: bool) -> None:
        text, at = self.text, self.at
        variable = _VARIABLE.match(text, at)
        if variable:
            # `"$@"` becomes any number of words, quoted as it is.
            pieces.append(Piece("", quoted and variable[3] != "@", hole=True, name=variable[1] or variable[2] or ""))
            self.at = variable.end()
        elif text.startswith("$((", at):
            self._arithmetic(pieces, quoted=quoted)
        elif text.startswith("$(", at):
            self._substitution(pieces, quoted=quoted)
        elif text.startswith("${", at):
            self._expansion(pieces, quoted=quoted)
        elif not quoted and text.startswith("$'", at):
            match = _ANSI.match(text, at)
            if match is None:
                raise Unknown
            pieces.append(ansi_c(match[1]) or Piece("", True, hole=True))
            self.at = match.end()
        elif not quoted and text.startswith('$"', at):
            self.at = at + 1  # a text to translate, which is itself where there is no translation
            self._double(pieces)
        elif not quoted and _LONE_DOLLAR.match(text, at):
            pieces.append(Piece("$", True))
            self.at = at + 1
        else:
            raise Unknown

    def _arithmetic(self, pieces: list[Piece], *, quoted: bool) -> None:
        match = _ARITHMETIC.match(self.text, self.at)
        if match is None:
            raise Unknown
        self.clobbers.update(IDENTIFIER.findall(match[1]))
        pieces.append(Piece("", quoted, hole=True))
        self.at = match.end()

    def _expansion(self, pieces: list[Piece], *, quoted: bool) -> None:
        match = _EXPANSION.match(self.text, self.at)
        if match is None:
            raise Unknown
        if match[2] in {"=", ":="}:
            self.clobbers.add(match[1])
        pieces.append(Piece("", quoted and "@" not in match.group(), hole=True))
        self.at = match.end()

    def _substitution(self, pieces: list[Piece], *, quoted: bool) -> None:
        self.deeper()
        outer = self.nested, self.clobbers
        self.nested, self.clobbers = [], set()
        self.at += 2
        body = self.statements(frozenset())
        if self.text[self.at : self.at + 1] != ")":
            raise Unknown
        self.at += 1
        self.nested, self.clobbers = outer
        self.nested.append(Subshell(body))
        pieces.append(Piece("", quoted, hole=True))
        self.depth -= 1

    def _backticks(self, pieces: list[Piece], *, quoted: bool) -> None:
        match = _BACKTICKS.match(self.text, self.at)
        if match is None:
            raise Unknown
        self.deeper()
        pattern = r"\\([$`\\\"])" if quoted else r"\\([$`\\])"
        self.nested.append(Subshell(self.inner(re.sub(pattern, r"\1", match[1]), self.depth)))
        pieces.append(Piece("", quoted, hole=True))
        self.at = match.end()
        self.depth -= 1

    def deeper(self) -> None:
        """One level more."""
        self.depth += 1
        self.commands += 1
        if self.depth > MAX_NESTED or self.commands > MAX_COMMANDS:
            raise Unknown

    def here_document(self) -> Here:
        """What stands behind `<<`: its end now, its text behind the end of this line."""
        match = _END.match(self.text, self.at)
        if match is None:
            raise Unknown
        self.at = match.end()
        quoted = any(mark in match[2] for mark in "'\"\\")
        end = re.sub(r"\\(.)|['\"]", r"\1", match[2])
        if self.body_from < 0:
            line = self.text.find("\n", self.at)
            if line < 0:
                raise Unknown
            self.body_from = self.body_to = line + 1
        start = self.body_to
        stop = self._end_of_body(end, tabs=bool(match[1]))
        body = self.text[start:stop]
        if match[1]:
            body = _TABS.sub("", body)
        if quoted:
            return Here(Text((Piece(body, True),), body))
        return Here(self._document(body))

    def _end_of_body(self, end: str, *, tabs: bool) -> int:
        """Where the body ends that begins at `body_to`, which moves behind its end."""
        at = self.body_to
        while at < len(self.text):
            stop = self.text.find("\n", at)
            stop = len(self.text) if stop < 0 else stop
            line = self.text[at:stop]
            if (line.lstrip("\t") if tabs else line) == end:
                self.body_to = min(stop + 1, len(self.text))
                return at
            at = stop + 1
        raise Unknown

    def _document(self, body: str) -> Text:
        if not re.search(r"[\\$`]", body):
            return Text((Piece(body, True),), body)
        if body.count("$") > MAX_HOLES:
            raise Unknown
        inside = type(self)(body, self.inner)
        inside.depth, inside.nested, inside.clobbers = self.depth + 1, self.nested, self.clobbers
        pieces = [Piece("", True)]
        while inside.at < len(body):
            run = _HERE_RUN.match(body, inside.at)
            if run:
                pieces.append(in_here_document(run.group()))
                inside.at = run.end()
            elif body[inside.at] == "$":
                inside._dollar(pieces, quoted=True)
            elif body[inside.at] == "`":
                inside._backticks(pieces, quoted=False)
            else:
                raise Unknown
        return Text(tuple(pieces), body)
