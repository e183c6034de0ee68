"""Everyday shell scripts read by hand: lists, pipelines, simple and compound commands, functions, redirections.

It is there for speed, and because it knows the places of redirections and words exactly. Whatever it does not know for
certain it leaves to the parser, by giving up: it never guesses.
"""

from __future__ import annotations

import re

from ringfence.policy.shell.lexer import MAX_COMMANDS, Lexer, Unknown
from ringfence.policy.shell.syntax import (
    Assign,
    Branch,
    Chain,
    Function,
    Here,
    Loop,
    Open,
    Piece,
    Pipeline,
    Redirected,
    Sequence,
    Simple,
    Statement,
    Subshell,
    Text,
)

_SIMPLE_WORD = re.compile(r"[ \t]*([A-Za-z0-9_./:@,+=%-]+)(?=[ \t\n;&|)]|$)")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\+?)=")
_REDIRECT = re.compile(
    r"(?:[0-9]+(?=[<>])|\{([A-Za-z_][A-Za-z0-9_]*)\}(?=[<>]))?(&>>|&>|>>|>\||>&|<&|<>|<<<|<<|<(?!\()|>(?!\())"
)
_ELEMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\[")
_CLOSES = re.compile(r"[0-9]*-?")
_RESERVED = re.compile(
    r"(?:if|then|else|elif|fi|case|esac|for|select|while|until|do|done|in|function|time|coproc|[{}!]|\[\[|\]\])"
    r"(?=[ \t\n;&|()<>]|$)|\("
)
_FUNCTION = re.compile(r"([A-Za-z_][A-Za-z0-9_:.-]*)[ \t]*\([ \t]*\)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?=[ \t\n;])")
_TIMED = re.compile(r"time[ \t]+(?:-p[ \t]+)?(?![A-Za-z_0-9]*\+?=)([A-Za-z0-9_./]+)(?=[ \t\n;&|)]|$)")
_TEST_OPERATOR = re.compile(r"&&|\|\||[()<>!]")
_NOT_TIMED = frozenset(
    {
        "if", "then", "else", "elif", "fi", "case", "esac", "for", "select", "while", "until", "do", "done", "in",
        "function", "time", "coproc",
    }
)  # fmt: skip

_NOTHING: frozenset[str] = frozenset()
_THEN, _FI, _DO, _DONE = frozenset({"then"}), frozenset({"elif", "else", "fi"}), frozenset({"do"}), frozenset({"done"})
_BRACE, _ESAC = frozenset({"}"}), frozenset({"esac", ";;"})


def scan(text: str) -> Statement | None:
    """The statements of a string, or nothing where it has more than the everyday part of the language."""
    try:
        return _whole(text, 0)
    except Unknown:
        return None


def _whole(text: str, depth: int) -> Statement:
    scanner = _Scanner(text, _whole)
    scanner.depth = depth
    found = scanner.statements(_NOTHING)
    if scanner.at != len(text) or scanner.body_from >= 0:
        raise Unknown
    return found


class _Scanner(Lexer):
    __slots__ = ()

    def statements(self, ends: frozenset[str]) -> Statement:
        """Statements up to a word that ends them, a bracket that closes, or the end of the text."""
        items: list[Statement] = []
        while True:
            self._lines()
            if self._ends(ends):
                break
            item = self._chain()
            self.blank()
            two = self.text[self.at : self.at + 2]
            if two[:1] == ";":
                if two in {";;", ";&"}:
                    if ";;" not in ends:
                        raise Unknown
                    items.append(item)
                    break
                self.at += 1
            elif two[:1] == "&":
                item = Subshell(item)
                self.at += 1
            elif two[:1] not in {"\n", ")", ""}:
                raise Unknown
            items.append(item)
            self.blank()
            if self.text[self.at : self.at + 1] in {"&", "|"} or (
                self.text[self.at : self.at + 1] == ";" and not (";;" in ends and two[:1] == "&")
            ):
                raise Unknown
        if not items and ends and ";;" not in ends:
            raise Unknown
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _ends(self, ends: frozenset[str]) -> bool:
        if self.at >= len(self.text) or self.text[self.at] == ")":
            return True
        if ends:
            if ";;" in ends and self.text.startswith((";;", ";&"), self.at):
                return True
            match = _RESERVED.match(self.text, self.at)
            return match is not None and match.group() in ends
        return False

    def _lines(self) -> None:
        while True:
            self.blank()
            if self.text[self.at : self.at + 1] != "\n":
                return
            self.newline()

    def _chain(self) -> Statement:
        first = self._pipeline()
        self.blank()
        operator = self.text[self.at : self.at + 2]
        if operator not in {"&&", "||"}:
            return first
        items = [("", first)]
        while operator in {"&&", "||"}:
            self.at += 2
            self._lines()
            items.append((operator, self._pipeline()))
            self.blank()
            operator = self.text[self.at : self.at + 2]
        return Chain(tuple(items))

    def _pipeline(self) -> Statement:
        text = self.text
        while text[self.at : self.at + 1] == "!" and text[self.at + 1 : self.at + 2] in {" ", "\t"}:
            self.at += 2
            self.blank()
        first = self._command()
        items: list[Statement] | None = None
        while True:
            self.blank()
            two = text[self.at : self.at + 2]
            if two[:1] != "|" or two == "||":
                break
            self.at += 2 if two == "|&" else 1
            self._lines()
            items = [first] if items is None else items
            items.append(self._command())
        return first if items is None else Pipeline(tuple(items))

    def _command(self) -> Statement:
        self.commands += 1
        if self.commands > MAX_COMMANDS:
            raise Unknown
        reserved = _RESERVED.match(self.text, self.at)
        if reserved is not None:
            return self._compound(reserved.group())
        if self.text[self.at : self.at + 1].isalpha() or self.text[self.at : self.at + 1] == "_":
            function = _FUNCTION.match(self.text, self.at)
            if function is not None:
                return self._function(function)
        return self._simple()

    def _compound(self, word: str) -> Statement:
        self.deeper()
        outer = self.nested, self.clobbers
        self.nested, self.clobbers = [], set()
        found: Statement
        match word:
            case "(":
                if self.text.startswith("((", self.at):
                    raise Unknown
                self.at += 1
                found = Subshell(self.statements(_NOTHING))
                self._expect(")")
            case "{":
                self.at += 1
                found = self.statements(_BRACE)
                self._expect("}")
            case "if":
                found = self._if()
            case "while" | "until":
                self.at += 5
                condition = self.statements(_DO)
                self._expect("do")
                body = self.statements(_DONE)
                self._expect("done")
                found = Loop(Sequence((condition, body)))
            case "for":
                found = self._for()
            case "case":
                found = self._case()
            case "[[":
                found = self._test()
            case "time" if (timed := _TIMED.match(self.text, self.at)) and timed[1] not in _NOT_TIMED:
                found = self._simple()
            case _:
                raise Unknown
        self.nested, self.clobbers = outer
        self.depth -= 1
        return found if word == "time" else self._redirected(found)

    def _expect(self, word: str) -> None:
        if not self.text.startswith(word, self.at):
            raise Unknown
        self.at += len(word)

    def _redirected(self, body: Statement) -> Statement:
        outer = self.nested, self.clobbers
        self.nested, self.clobbers = [], set()
        opens: list[Open] = []
        here: Here | None = None
        while True:
            self.blank()
            match = _REDIRECT.match(self.text, self.at)
            if match is None:
                break
            here = self._redirect(match, opens) or here
        nested, clobbers = tuple(self.nested), frozenset(self.clobbers)
        self.nested, self.clobbers = outer
        # Behind a compound command only an operator or a word that ends the list may stand.
        if self.at < len(self.text) and self.text[self.at] not in "\n;&|)":
            if not _RESERVED.match(self.text, self.at) or self.text[self.at] in "({!":
                raise Unknown
        if not opens and here is None:
            return body
        return Redirected(body, tuple(opens), here, nested, clobbers)

    def _if(self) -> Statement:
        arms: list[tuple[Statement, Statement]] = []
        self.at += 2
        while True:
            condition = self.statements(_THEN)
            self._expect("then")
            arms.append((condition, self.statements(_FI)))
            if self.text.startswith("elif", self.at):
                self.at += 4
                continue
            complete = self.text.startswith("else", self.at)
            if complete:
                self.at += 4
                arms.append((Simple(), self.statements(frozenset({"fi"}))))
            self._expect("fi")
            return Branch(tuple(arms), complete)

    def _for(self) -> Statement:
        self.at += 3
        self.blank()
        name = _NAME.match(self.text, self.at)
        if name is None:
            raise Unknown
        self.at = name.end()
        self._lines()
        values: list[Text] | None = None
        if self.text.startswith("in", self.at) and self.text[self.at + 2 : self.at + 3] in {" ", "\t", "\n", ";"}:
            self.at += 2
            values = []
            self.blank()
            while self.text[self.at : self.at + 1] not in {"", ";", "\n"}:
                values.append(self.word())
                self.blank()
        if self.text[self.at : self.at + 1] == ";":
            self.at += 1
        self._lines()
        before = Simple(nested=tuple(self.nested), clobbers=frozenset(self.clobbers))
        self._expect("do")
        body = self.statements(_DONE)
        self._expect("done")
        return Loop(body, name.group(), None if values is None else tuple(values), before)

    def _case(self) -> Statement:
        self.at += 4
        self.blank()
        self.word()
        before = self._looked_at()
        self._lines()
        self._expect("in")
        arms: list[tuple[Statement, Statement]] = []
        while True:
            self._lines()
            match = _RESERVED.match(self.text, self.at)
            if match is not None and match.group() == "esac":
                self.at += 4
                return Branch(tuple(arms), False, before)
            if self.text[self.at : self.at + 1] == "(":
                self.at += 1
            self._patterns()
            condition = self._looked_at()
            arms.append((condition, self.statements(_ESAC)))
            for end in (";;&", ";;", ";&"):
                if self.text.startswith(end, self.at):
                    self.at += len(end)
                    break

    def _patterns(self) -> None:
        while True:
            self.blank()
            self.word()
            self.blank()
            character = self.text[self.at : self.at + 1]
            self.at += 1
            if character == ")":
                return
            if character != "|":
                raise Unknown

    def _looked_at(self) -> Simple:
        found = Simple(nested=tuple(self.nested), clobbers=frozenset(self.clobbers))
        self.nested, self.clobbers = [], set()
        return found

    def _test(self) -> Statement:
        """`[[ ... ]]`: only its substitutions run; comparing numbers evaluates names."""
        start = self.at
        self.at += 2
        while True:
            self._lines()
            match = _RESERVED.match(self.text, self.at)
            if match is not None and match.group() == "]]":
                self.at += 2
                break
            operator = _TEST_OPERATOR.match(self.text, self.at)
            if operator is not None:
                self.at = operator.end()
            else:
                self.word()
        written = self.text[start : self.at]
        if re.search(r"\s-(?:eq|ne|[gl][te]|v)\s|=~", written):
            self.clobbers.update(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", written))
        return self._looked_at()

    def _function(self, match: re.Match[str]) -> Statement:
        self.at = match.end()
        self._lines()
        reserved = _RESERVED.match(self.text, self.at)
        if reserved is None or reserved.group() not in {"{", "("}:
            raise Unknown
        return Function(match[1], self._compound(reserved.group()))

    def _simple(self) -> Simple:
        outer = self.nested, self.clobbers
        self.nested, self.clobbers = [], set()
        words: list[Text] = []
        assigns: list[Assign] = []
        opens: list[Open] = []
        here: Here | None = None
        text, match = self.text, _SIMPLE_WORD.match
        while True:
            plain = match(text, self.at)
            if plain is not None:
                raw = plain[1]
                if words or "=" not in raw:
                    self.at = plain.end()
                    words.append(Text((Piece(raw, False),), raw, True))
                    continue
            self.blank()
            at = self.at
            if at >= len(text) or text[at] in "\n;|)":
                break
            redirect = _REDIRECT.match(text, at)
            if redirect:
                here = self._redirect(redirect, opens) or here
                continue
            if text[at] in "&(<>":
                if text[at] == "&":
                    break
                raise Unknown
            assignment = _ASSIGNMENT.match(text, at) if not words else None
            if assignment:
                self.at = assignment.end()
                assigns.append(self._assign(assignment))
                continue
            if not words and _ELEMENT.match(text, at):
                raise Unknown
            words.append(self.word())
        if not words and not assigns and not opens and here is None:
            raise Unknown
        found = Simple(tuple(words), tuple(assigns), tuple(opens), here, tuple(self.nested), frozenset(self.clobbers))
        self.nested, self.clobbers = outer
        return found

    def _assign(self, match: re.Match[str]) -> Assign:
        following = self.text[self.at : self.at + 1]
        if following == "(":
            raise Unknown
        empty = following in {"", " ", "\t", "\n", ";", "&", "|", ")", "<", ">"}
        value = Text((), "") if empty else self.word()
        return Assign(match[1], value, bool(match[2]), self.text[match.start() : self.at])

    def _redirect(self, match: re.Match[str], opens: list[Open]) -> Here | None:
        operator = match[2]
        if match[1]:
            self.clobbers.add(match[1])
        self.at = match.end()
        if operator == "<<":
            return self.here_document()
        self.blank()
        if self.at >= len(self.text) or self.text[self.at] in "\n;&|<>()":
            raise Unknown
        target = self.word()
        if operator == "<<<":
            return Here(target)
        only = target.pieces[0].text if len(target.pieces) == 1 and not target.pieces[0].hole else None
        if not (operator in {">&", "<&"} and only is not None and _CLOSES.fullmatch(only)):
            opens.append(Open(operator, target))
        return None
