"""Continued lines, joined as Bash does it: a backslash with a newline vanishes, except where it is plain text.

It is text between single quotes, in comments and in here-documents with a quoted end. Where this cannot be told without
reading the whole language, nothing is joined, and the parser's tree is held to what it shows.
"""

from __future__ import annotations

import re

_HEREDOC = re.compile(r"<<(-?)[ \t]*((?:'[^'\n]*'|\"[^\"\n]*\"|\\.|[^\s'\"\\;&|<>()$`])+)")
_SKIPPED = re.compile(r"[^\\'\"$`#(){}<\n]+")
_ANSI = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL)


def joined(text: str) -> str | None:
    """The text without its continuations, or nothing where that is not certain."""
    if "`" in text or ("((" in text and "<<" in text) or ("case" in text and "$(" in text):
        return None
    return _Joining(text).run()


class _Joining:
    __slots__ = ("at", "out", "stack", "text", "waiting")

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.out: list[str] = []
        self.stack: list[str] = []
        """What is open: `"`, `(` or `{`."""
        self.waiting: list[tuple[str, bool, bool]] = []
        """Here-documents that begin on the next line: the end, whether it is quoted, whether tabs go."""

    def run(self) -> str | None:
        text = self.text
        while self.at < len(text):
            run = _SKIPPED.match(text, self.at)
            if run:
                self._copy(run.end())
            elif not self._step(text[self.at]):
                return None
        return None if self.stack or self.waiting else "".join(self.out)

    def _copy(self, end: int) -> None:
        self.out.append(self.text[self.at : end])
        self.at = end

    def _step(self, character: str) -> bool:
        """One character that may mean something. False where the rest cannot be told."""
        quoted = self.stack[-1:] == ['"']
        in_quotes = '"' in self.stack
        if character == "\\":
            if self.text[self.at + 1 : self.at + 2] == "\n":
                self.at += 2
            else:
                self._copy(self.at + 2)
        elif character == '"':
            self.stack.pop() if quoted else self.stack.append('"')
            self._copy(self.at + 1)
        elif character == "$" and self.text[self.at + 1 : self.at + 2] in {"(", "{"}:
            self.stack.append(self.text[self.at + 1])
            self._copy(self.at + 2)
        elif quoted:
            self._copy(self.at + 1)
        elif character == "'":
            return self._single(in_quotes=in_quotes)
        elif character == "$" and self.text.startswith("$'", self.at):
            match = _ANSI.match(self.text, self.at)
            if match is None or self.stack[-1:] == ["{"]:
                return False
            self._copy(match.end())
        else:
            return self._bare(character)
        return True

    def _single(self, *, in_quotes: bool) -> bool:
        end = self.text.find("'", self.at + 1)
        if end < 0 or (in_quotes and self.stack[-1:] == ["{"]):
            return False
        self._copy(end + 1)
        return True

    def _bare(self, character: str) -> bool:
        """A character outside quotes."""
        inside_braces = self.stack[-1:] == ["{"]
        if character == "#" and not inside_braces and self.text[self.at - 1 : self.at] in set(" \t\n;&|()") | {""}:
            end = self.text.find("\n", self.at)
            self._copy(len(self.text) if end < 0 else end)
        elif character == "<" and self.text.startswith("<<", self.at) and not self.text.startswith("<<<", self.at):
            return self._heredoc()
        elif character == "<" and self.text.startswith("<<<", self.at):
            self._copy(self.at + 3)
        elif character == "\n" and self.waiting:
            self._copy(self.at + 1)
            return self._bodies()
        else:
            if character == "(" and not inside_braces:
                self.stack.append("(")
            elif (character == ")" and self.stack[-1:] == ["("]) or (character == "}" and inside_braces):
                self.stack.pop()
            self._copy(self.at + 1)
        return True

    def _heredoc(self) -> bool:
        match = _HEREDOC.match(self.text, self.at)
        if match is None or "\\\n" in match.group():
            return False
        quoted = any(mark in match[2] for mark in "'\"\\")
        self.waiting.append((re.sub(r"['\"\\]", "", match[2]), quoted, bool(match[1])))
        self._copy(match.end())
        return True

    def _bodies(self) -> bool:
        for end, quoted, tabs in self.waiting:
            start = self.at
            while True:
                stop = self.text.find("\n", self.at)
                stop = len(self.text) if stop < 0 else stop
                line = self.text[self.at : stop]
                if (line.lstrip("\t") if tabs else line) == end:
                    body = self.text[start : self.at]
                    break
                if stop >= len(self.text):
                    return False
                self.at = stop + 1
            if not quoted:
                if "\\\n" in body and re.search(r"\\\\|\$\(|\$\{", body):
                    return False
                body = body.replace("\\\n", "")
            self.out.append(body)
            self._copy(stop)
        self.waiting.clear()
        return True
