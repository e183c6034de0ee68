"""From a shell string to our tree, with tree-sitter's Bash grammar. What it does not know for certain is an issue.

SECURITY: a command that the parser sees differently from Bash would pass every rule. Therefore every kind of node that
is not in the tables below, every gap between nodes that is not plain white space, every error and every control
character makes the script opaque, while what was found in it still counts for rules that deny or ask.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import zip_longest

from tree_sitter import Language, Node, Parser
from tree_sitter_bash import language

from ringfence.policy.shell.tree import Command, Dialect, Feed, Issue, Redirect, Script, Unclear, Word
from ringfence.policy.shell.words import Piece, ansi_c, in_double_quotes, unquoted, words

MAX_BYTES = 64 * 1024
MAX_COMMANDS = 500
MAX_DEPTH = 100

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00a0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_PLAIN_GAP = re.compile(rb"[ \t\n]*")
_LONE_DASH = re.compile(rb"[ \t]+-[ \t]+")
_JOINED_LINES = re.compile(rb"(?:[ \t\n]|\\\n)*")


def _kinds(names: str) -> frozenset[str]:
    return frozenset(names.split())


_INNER = _kinds(
    "arithmetic_expansion array binary_expression brace_expression c_style_for_statement case_item case_statement "
    "comment compound_statement concatenation do_group elif_clause else_clause expansion extglob_pattern "
    "file_descriptor for_statement heredoc_body heredoc_content heredoc_end heredoc_start if_statement list "
    "negated_command number parenthesized_expression pipeline postfix_expression process_substitution program "
    "raw_string regex simple_expansion special_variable_name string string_content subscript subshell "
    "ternary_expression test_command test_operator translated_string unary_expression variable_assignments "
    "variable_name while_statement word ansi_c_string command_name command_substitution"
)
_HOLES = _kinds(
    "simple_expansion expansion command_substitution process_substitution arithmetic_expansion array subscript"
)
_SIMPLE = frozenset({"command", "declaration_command", "unset_command"})
_WRITES = frozenset({">", ">>", ">|", "&>", "&>>", "<>", ">&"})


@cache
def _parser() -> Parser:
    return Parser(Language(language()))


def parse(text: str, *, home: str | None, dialect: Dialect = Dialect.BASH) -> Script:
    """Every command in a shell string."""
    source = text.encode("utf-8", "replace")
    if len(source) > MAX_BYTES:
        issue = Issue(kind=Unclear.SIZE, text=f"it has {len(source):,} bytes; the limit is {MAX_BYTES:,}")
        return Script(issues=(issue,))
    root = _parser().parse(source).root_node
    reader = _Reader(source, home=None if re.search(r"\bHOME\b=", text) else home)
    control = _CONTROL.search(text)
    if control is not None:
        code = f"U+{ord(control.group()):04X}"
        reader.issue(Unclear.CONTROL, f"it holds the invisible or control character {code}")
    if root.has_error:
        reader.issue(Unclear.SYNTAX, "it could not be parsed completely")
    try:
        reader.node(root, _State())
    except _TooMuch as limit:
        reader.issue(Unclear.SIZE, str(limit))
    return Script(
        commands=tuple(reader.commands),
        redirects=tuple(reader.redirects),
        issues=tuple(dict.fromkeys(reader.issues)),
    )


class _TooMuch(Exception):
    pass


class _State:
    """What a command inherits from around it: its depth and its standard input."""

    __slots__ = ("depth", "feed", "text")

    def __init__(self, depth: int = 0, feed: Feed = Feed.INHERITED, text: str | None = None) -> None:
        self.depth = depth
        self.feed = feed
        self.text = text

    def deeper(self) -> _State:
        if self.depth >= MAX_DEPTH:
            raise _TooMuch(f"it is nested more than {MAX_DEPTH} levels deep")
        return _State(self.depth + 1, self.feed, self.text)

    def fed(self, feed: Feed, text: str | None = None) -> _State:
        return _State(self.depth, feed, text)


class _Reader:
    """Walks the parser's tree once, and collects."""

    def __init__(self, source: bytes, *, home: str | None) -> None:
        self.source = source
        self.home = home
        self.commands: list[Command] = []
        self.redirects: list[Redirect] = []
        self.issues: list[Issue] = []

    def issue(self, kind: Unclear, text: str) -> None:
        self.issues.append(Issue(kind=kind, text=text))

    def node(self, node: Node, outer: _State) -> None:
        """Visit any node; each kind is either known here or makes the script opaque."""
        state = outer.deeper()
        kind = node.type
        if kind in _SIMPLE:
            self._command(node, state)
        elif kind == "redirected_statement":
            self._redirected(node, state)
        elif kind == "pipeline":
            self._pipeline(node, state)
        elif kind == "file_redirect":
            self._file_redirect(node, state)
        elif kind in {"heredoc_redirect", "herestring_redirect"}:
            self._children(node, state)
        elif kind == "variable_assignment":
            self._add(Command(words=(), assignments=(self._assignment(node),)))
            self._children(node, state)
        elif kind == "function_definition":
            # The name of a function shadows a program; calling it runs what stands here, and that is looked at here.
            self._children(node, state)
        elif kind in _INNER:
            self._children(node, state)
        else:
            self.issue(Unclear.SYNTAX, "it could not be parsed completely")
            self._children(node, state)

    def _children(self, node: Node, state: _State) -> None:
        children = node.children
        if node.type not in {"string", "heredoc_body", "translated_string", "regex", "expansion"}:
            self._gaps(node, children)
        for child in children:
            if child.type == "variable_assignment" and node.type in _SIMPLE:
                self._children(child, state)
            elif child.is_named or child.child_count:
                self.node(child, state)

    def _gaps(self, node: Node, children: list[Node]) -> None:
        end = node.start_byte
        for child in children:
            if child.start_byte > end:
                self._gap(end, child.start_byte)
            end = max(end, child.end_byte)

    def _gap(self, start: int, end: int) -> None:
        gap = self.source[start:end]
        if _PLAIN_GAP.fullmatch(gap):
            return
        if not _JOINED_LINES.fullmatch(gap):
            self.issue(Unclear.SYNTAX, "it could not be parsed completely")
        elif not gap.replace(b"\\\n", b""):
            # SECURITY: `pu\<newline>sh` is one word for Bash and two for the parser.
            self.issue(Unclear.SYNTAX, "it joins lines inside a word")

    def _add(self, command: Command) -> None:
        if len(self.commands) >= MAX_COMMANDS:
            raise _TooMuch(f"it has more than {MAX_COMMANDS} commands")
        self.commands.append(command)

    def _command(self, node: Node, state: _State) -> None:
        found: list[Word] = []
        assignments: list[tuple[str, Word]] = []
        declares = node.type == "declaration_command"
        for group in _glued(node.children):
            first = group[0]
            if first.type == "variable_assignment" and not declares:
                assignments.append(self._assignment(first))
            elif first.type == "herestring_redirect":
                state = state.fed(Feed.TEXT, self._herestring(first))
            elif first.type in {"file_redirect", "subshell", "comment"}:
                continue
            else:
                found.extend(self._words(group))
        self._add(Command(words=tuple(found), assignments=tuple(assignments), feed=state.feed, text=state.text))
        self._children(node, _State(state.depth))

    def _assignment(self, node: Node) -> tuple[str, Word]:
        name = node.child_by_field_name("name")
        value = node.child_by_field_name("value")
        written = self._text(name) if name is not None else ""
        if value is None:
            return written, Word(text="", raw="")
        found = self._words([value])
        return written, found[0] if len(found) == 1 else Word(text=None, raw=self._text(value))

    def _redirected(self, node: Node, state: _State) -> None:
        body = node.child_by_field_name("body")
        inner = state
        for child in node.children:
            if child.type == "heredoc_redirect":
                inner = inner.fed(Feed.TEXT, self._heredoc(child))
            elif child.type == "herestring_redirect":
                inner = inner.fed(Feed.TEXT, self._herestring(child))
        self._body_gaps(node)
        for child in node.children:
            if child.is_named:
                self.node(child, inner if child == body else _State(state.depth))

    def _body_gaps(self, node: Node) -> None:
        """The gaps of a command with redirections. The parser drops a lone `-` in front of a here-document, which names
        the standard input that the here-document is anyway."""
        end = node.start_byte
        for child in node.children:
            gap = self.source[end : child.start_byte]
            if not (child.type == "heredoc_redirect" and _LONE_DASH.fullmatch(gap)) and child.start_byte > end:
                self._gap(end, child.start_byte)
            end = max(end, child.end_byte)

    def _pipeline(self, node: Node, state: _State) -> None:
        self._gaps(node, node.children)
        inside_heredoc = node.parent is not None and node.parent.type == "heredoc_redirect"
        first = not inside_heredoc
        for child in node.children:
            if child.is_named and child.type != "comment":
                self.node(child, state if first else state.fed(Feed.PIPE))
                first = False

    def _file_redirect(self, node: Node, state: _State) -> None:
        operator = next((child.type for child in node.children if not child.is_named), "")
        targets = node.children_by_field_name("destination")
        for target in self._words(list(targets)) if targets else ():
            closes = operator in {">&", "<&"} and target.text is not None and re.fullmatch(r"\d*-?", target.text)
            if not closes:
                self.redirects.append(Redirect(target=target, write=operator in _WRITES, after=len(self.commands)))
        self._children(node, state)

    def _herestring(self, node: Node) -> str | None:
        value = [child for child in node.children if child.is_named and child.type != "file_descriptor"]
        found = self._words(value)
        return found[0].text if len(found) == 1 else None

    def _heredoc(self, node: Node) -> str | None:
        """The text of a here-document where it is fully known."""
        parts = {child.type: child for child in node.children}
        start, body, end = parts.get("heredoc_start"), parts.get("heredoc_body"), parts.get("heredoc_end")
        if node.children_by_field_name("argument"):
            self.issue(Unclear.SYNTAX, "it has arguments behind a here-document")
        if start is None or end is None or not self._ends_as_bash_does(start, end):
            self.issue(Unclear.SYNTAX, "the end of a here-document is unclear")
            return None
        if body is None:
            return ""
        quoted = any(mark in self._text(start) for mark in "'\"\\")
        text = self._text(body)
        return text if quoted or not re.search(r"[$`\\]", text) else None

    def _ends_as_bash_does(self, start: Node, end: Node) -> bool:
        word = re.sub(rb"['\"\\]", b"", self.source[start.start_byte : start.end_byte])
        line_start = self.source.rfind(b"\n", 0, end.start_byte) + 1
        line_end = self.source.find(b"\n", end.end_byte)
        line = self.source[line_start : None if line_end < 0 else line_end]
        return line.lstrip(b"\t") == word

    def _words(self, group: list[Node]) -> tuple[Word, ...]:
        raw = self.source[group[0].start_byte : group[-1].end_byte].decode("utf-8", "replace")
        pieces = self._in_row(group)
        return words(pieces, raw=raw, home=self.home)

    def _in_row(self, nodes: list[Node]) -> tuple[Piece, ...]:
        pairs = zip_longest(nodes, nodes[1:])
        return tuple(piece for node, following in pairs if node for piece in self._pieces(node, following))

    def _pieces(self, node: Node, following: Node | None) -> tuple[Piece, ...]:
        kind = node.type
        text = self._text(node)
        if kind in {"command_name", "concatenation"} or (kind == "translated_string" and node.children):
            return self._in_row(node.children)
        if kind == "string":
            return self._string(node)
        if kind == "raw_string":
            return (Piece(text[1:-1], True),)
        if kind == "ansi_c_string":
            piece = ansi_c(text[2:-1])
            return (piece if piece is not None else Piece("", False, hole=True),)
        if kind in _HOLES:
            return self._hole(node, quoted=False)
        if kind == "variable_assignment":
            return self._declared(node)
        if text == "$$":
            return (Piece("", False, hole=True),)
        if kind == "$" and following is not None and following.type in {"string", "translated_string"}:
            return ()
        if any(child.type in _HOLES for child in node.children):
            return (Piece("", False, hole=True),)
        return unquoted(text)

    def _declared(self, node: Node) -> tuple[Piece, ...]:
        name, value = self._assignment(node)
        if value.text is None:
            return (Piece(f"{name}=", True), Piece("", True, hole=True))
        return (Piece(f"{name}={value.text}", True),)

    def _string(self, node: Node) -> tuple[Piece, ...]:
        pieces = [Piece("", True)]
        at = node.start_byte + 1
        end = node.end_byte - 1
        for child in node.children:
            if child.type in _HOLES:
                pieces.append(in_double_quotes(self._slice(at, child.start_byte)))
                pieces.extend(self._hole(child, quoted=True))
                at = child.end_byte
        pieces.append(in_double_quotes(self._slice(at, end)))
        return tuple(pieces)

    def _hole(self, node: Node, *, quoted: bool) -> tuple[Piece, ...]:
        if self.home is not None and self._text(node) in {"$HOME", "${HOME}"}:
            return (Piece(self.home, True),)
        return (Piece("", quoted, hole=True, process=node.type == "process_substitution"),)

    def _text(self, node: Node) -> str:
        return self._slice(node.start_byte, node.end_byte)

    def _slice(self, start: int, end: int) -> str:
        return self.source[start:end].decode("utf-8", "replace")


def _glued(children: list[Node]) -> list[list[Node]]:
    """The children in groups that touch: they are one word, also where the parser made several of it."""
    groups: list[list[Node]] = []
    apart = {"variable_assignment", "file_redirect", "herestring_redirect", "comment", "subshell"}
    for child in children:
        touches = groups and groups[-1][-1].end_byte == child.start_byte
        if touches and child.type not in apart and groups[-1][-1].type not in apart:
            groups[-1].append(child)
        else:
            groups.append([child])
    return groups
