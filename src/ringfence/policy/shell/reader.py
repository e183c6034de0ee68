"""From tree-sitter's tree to our statements, for what is not read by hand.

It knows where the parser puts things that Bash sees elsewhere: redirections behind a list, words behind a redirection,
what follows a here-document. What it cannot place is a problem, and what was found still counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise, zip_longest

from tree_sitter import Node

from ringfence.policy.shell.audit import COMMANDS, Audit, kinds
from ringfence.policy.shell.scan import scan
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
from ringfence.policy.shell.variables import IDENTIFIER
from ringfence.policy.shell.words import ansi_c, in_double_quotes, in_here_document, unquoted

MAX_DEPTH = 100

_SPELLED_DESCRIPTOR = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}|[0-9]+")
_NOT_IN_A_WORD = re.compile(r"(?<!\\)(?:\\\\)*[`'\"&;<>|() \t]|(?<!\\)(?:\\\\)*\$[A-Za-z0-9_{(@*#?!'\"-]")
_CUT_OFF = re.compile(r"(?<!\\)(?:\\\\)*\$[A-Za-z0-9_{(@*#?!-]\Z")
_PLAIN_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_SUBSTITUTIONS = kinds("command_substitution process_substitution")
_HOLES = kinds(
    "simple_expansion expansion command_substitution process_substitution arithmetic_expansion array subscript"
)
_APART = kinds("variable_assignment file_redirect herestring_redirect comment subshell heredoc_redirect")
_REDIRECTS = kinds("file_redirect heredoc_redirect herestring_redirect")
_CLAUSES = kinds("elif_clause else_clause")


class TooDeep(Exception):
    """Statements stand in each other more deeply than is followed."""


class Reader(Audit):
    """Reads one tree."""

    def __init__(self, source: bytes) -> None:
        super().__init__(source)
        self.functions = False
        self.depth = 0
        self.nested: list[Statement] = []
        self.clobbers: set[str] = set()
        self.seen = 0
        """How many commands were read: as many as the tree has, or something was left out."""

    def read(self, root: Node) -> Statement:
        """The statements of a whole tree."""
        if root.has_error:
            self.problem()
        commands = self.check(root)
        found = self._sequence(list(root.children))
        if self.seen != commands:
            self.problem()
        return found

    # Statements

    def _sequence(self, children: list[Node]) -> Statement:
        items: list[Statement] = []
        for child, following in zip_longest(children, children[1:]):
            if child is not None and child.is_named and child.type != "comment":
                one = self._statement(child)
                items.append(Subshell(one) if following is not None and following.type == "&" else one)
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _statement(self, node: Node) -> Statement:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeep
        outer = self.nested, self.clobbers
        self.nested, self.clobbers = [], set()
        try:
            return self._by_kind(node)
        finally:
            self.nested, self.clobbers = outer
            self.depth -= 1

    def _by_kind(self, node: Node) -> Statement:
        kind = node.type
        if kind in COMMANDS:
            return self._command(node, [])
        if kind in {"variable_assignment", "variable_assignments"}:
            return self._assignments(node)
        if kind == "list":
            return self._list(node)
        if kind == "pipeline":
            return Pipeline(tuple(self._statement(one) for one in _named(node)))
        if kind == "redirected_statement":
            return self._redirected(node)
        if kind == "if_statement":
            return self._if(node)
        if kind == "case_statement":
            return self._case(node)
        if kind == "while_statement":
            return Loop(self._sequence(list(node.children)))
        if kind in {"for_statement", "c_style_for_statement"}:
            return self._for(node)
        if kind == "subshell" or kind in _SUBSTITUTIONS:
            return Subshell(self._sequence(list(node.children)))
        if kind == "function_definition":
            return self._function(node)
        if kind == "compound_statement" and node.children[:1] and node.children[0].type == "((":
            return self._expression(node)
        if kind in {"compound_statement", "do_group", "negated_command", "program"}:
            return self._sequence(list(node.children))
        if kind in _REDIRECTS:
            return self._with_redirects(None, [node])
        return self._expression(node)

    def _list(self, node: Node) -> Statement:
        items: list[tuple[str, Node]] = []
        while node.type == "list":
            left, operator, right = node.children[0], node.children[1], node.children[-1]
            items.append((operator.type, right))
            node = left
        items.append(("", node))
        return Chain(tuple((operator, self._statement(one)) for operator, one in reversed(items)))

    def _if(self, node: Node) -> Statement:
        arms: list[tuple[Statement, Statement]] = []
        complete = False
        clauses = [node, *(child for child in node.children if child.type in _CLAUSES)]
        for clause in clauses:
            inside = [child for child in clause.children if child.type not in _CLAUSES]
            at = next((at for at, child in enumerate(inside) if child.type == "then"), 0)
            complete = complete or clause.type == "else_clause"
            arms.append((self._sequence(inside[:at]), self._sequence(inside[at:])))
        return Branch(tuple(arms), complete)

    def _case(self, node: Node) -> Statement:
        value = node.child_by_field_name("value")
        arms: list[tuple[Statement, Statement]] = []
        for item in node.children:
            if item.type != "case_item":
                continue
            patterns = item.children_by_field_name("value")
            for pattern in patterns:
                self._look_into(pattern)
            condition = self._looked_at()
            ends = {pattern.end_byte for pattern in patterns}
            body = [child for child in item.children if child.end_byte not in ends]
            arms.append((condition, self._sequence(body)))
        if value is not None:
            self._look_into(value)
        return Branch(tuple(arms), False, self._looked_at())

    def _for(self, node: Node) -> Statement:
        body = node.child_by_field_name("body")
        statements: list[Node] = [] if body is None else [body]
        if node.type == "c_style_for_statement":
            for child in node.children:
                if child != body:
                    self._look_into(child)
                    self.clobbers |= self._identifiers(child)
            before = self._looked_at()
            return Loop(Sequence((before, self._sequence(statements))), before=before)
        name = node.child_by_field_name("variable")
        values = [self._text(group) for group in _glued(node.children_by_field_name("value"))]
        plain = node.children[0].type == "for" and any(child.type == "in" for child in node.children)
        before = self._looked_at()
        variable = "" if name is None else self._slice(name.start_byte, name.end_byte)
        return Loop(self._sequence(statements), variable, tuple(values) if plain else None, before)

    def _function(self, node: Node) -> Statement:
        self.functions = True
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        redirects = [child for child in node.children if child.type in _REDIRECTS]
        written = "" if name is None else self._slice(name.start_byte, name.end_byte)
        if body is None:
            self.problem()
            return Sequence(())
        inside = self._with_redirects(body, redirects) if redirects else self._statement(body)
        return Function(written, inside)

    def _expression(self, node: Node) -> Statement:
        """`((...))`, `[[...]]`, `[...]`: it runs nothing but the substitutions in it."""
        text = self._slice(node.start_byte, node.end_byte)
        if node.type == "test_command" and text.startswith("[") and not text.startswith("[["):
            # It is a program like any other; the parser takes its arrows for comparisons.
            command = scan(text)
            if isinstance(command, Simple):
                self.seen += _commands_in(node)
                return command
            self.problem()
        self._look_into(node)
        if not text.startswith("[") or " -eq " in text or re.search(r"-(?:ne|[gl][te])\b|=~|-v\b", text):
            self.clobbers |= self._identifiers(node)
        return self._looked_at()

    def _identifiers(self, node: Node) -> set[str]:
        return set(IDENTIFIER.findall(self._slice(node.start_byte, node.end_byte)))

    def _looked_at(self) -> Statement:
        found = Simple(nested=tuple(self.nested), clobbers=frozenset(self.clobbers))
        self.nested, self.clobbers = [], set()
        return found

    def _look_into(self, node: Node) -> None:
        """Find the substitutions in anything that is no statement, and what its expansions may set."""
        waiting = [node]
        while waiting:
            one = waiting.pop()
            kind = one.type
            if kind in _SUBSTITUTIONS:
                self.nested.append(self._statement(one))
                continue
            if kind in COMMANDS or kind in {"list", "pipeline", "redirected_statement", "compound_statement"}:
                if one != node:
                    self.nested.append(self._statement(one))
                    continue
            if kind in {"arithmetic_expansion", "subscript"}:
                self.clobbers |= self._identifiers(one)
            elif kind == "expansion":
                self._sets(one)
            waiting.extend(reversed(one.children))

    def _sets(self, node: Node) -> None:
        """`${x:=y}` sets `x`; `${x:a}` and `${x[a]}` are arithmetic; `${x@P}` runs what `x` holds."""
        text = self._slice(node.start_byte, node.end_byte)
        if re.match(r"\$\{[A-Za-z_0-9]+(?::?=|:[^-+?]|\[)", text) or text.startswith("${!"):
            self.clobbers |= set(IDENTIFIER.findall(text))
        if re.search(r"@[A-Za-z]\}$", text):
            self.problem("it runs or quotes the value of a variable")

    # Commands

    def _command(self, node: Node, redirects: list[Node], more: list[Node] | None = None) -> Statement:
        """A simple command, with the redirections behind it and the words that stand behind those."""
        self.seen += 1
        words: list[Text] = []
        assigns: list[Assign] = []
        opens: list[Open] = []
        here: Here | None = None
        declares = node.type == "declaration_command"
        children = [*node.children, *redirects, *(more or ())]
        starts = {one.start_byte for one in children if one.type in _REDIRECTS}
        for group in _glued(children):
            first = group[0]
            if first.type == "variable_assignment" and not declares:
                assigns.append(self._assign(first))
            elif first.type == "file_redirect":
                behind = self._file(first, opens)
                words.extend(self._arguments(behind, starts))
            elif first.type == "herestring_redirect":
                here = self._herestring(first)
            elif first.type == "heredoc_redirect":
                here = self._heredoc(first, opens)
                words.extend(self._arguments([[one] for one in first.children_by_field_name("argument")], starts))
            elif first.type == "subshell":
                self.problem()
                self.nested.append(self._statement(first))
            elif first.type != "comment":
                words.extend(self._arguments([group], starts))
        self._misread(words)
        return Simple(tuple(words), tuple(assigns), tuple(opens), here, tuple(self.nested), frozenset(self.clobbers))

    def _misread(self, words: list[Text]) -> None:
        """`coproc NAME { a; }` and the like, which the parser takes for words."""
        if words and words[0].raw in {"coproc", "time"}:
            at = next((at for at, word in enumerate(words) if word.raw in {"{", "(", "!"}), None)
            if at is not None:
                self.problem()
                self.nested.append(Simple(tuple(words[at + 1 :])))

    def _arguments(self, groups: list[list[Node]], starts: set[int]) -> Iterator[Text]:
        for group in groups:
            text = self._text(group)
            descriptor = _SPELLED_DESCRIPTOR.fullmatch(text.raw)
            if descriptor and group[-1].end_byte in starts:
                self.clobbers.add(descriptor[1] or "")
            else:
                yield text

    def _assignments(self, node: Node) -> Statement:
        nodes = [node] if node.type == "variable_assignment" else _named(node)
        assigns = tuple(self._assign(one) for one in nodes)
        return Simple((), assigns, (), None, tuple(self.nested), frozenset(self.clobbers))

    def _assign(self, node: Node) -> Assign:
        name, given = node.child_by_field_name("name"), node.child_by_field_name("value")
        raw = self._slice(node.start_byte, node.end_byte)
        written = "" if name is None else self._slice(name.start_byte, name.end_byte)
        if name is not None and name.type == "subscript":
            self._look_into(name)
            if given is not None:
                self._look_into(given)
            return Assign(written.partition("[")[0], None, raw=raw)
        append = any(child.type == "+=" for child in node.children)
        if given is None:
            return Assign(written, Text((), ""), append, raw)
        if given.type == "array":
            self._look_into(given)
            return Assign(written, None, append, raw)
        return Assign(written, self._text([given]), append, raw)

    def _redirected(self, node: Node) -> Statement:
        body = node.child_by_field_name("body")
        redirects = [child for child in node.children if child.type in _REDIRECTS]
        return self._behind(self._onto(body, redirects), redirects)

    def _onto(self, body: Node | None, redirects: list[Node]) -> Statement:
        """Redirections belong to the last command in front of them, though the parser puts them around them all."""
        if body is None or not redirects:
            return self._with_redirects(body, redirects)
        if body.type in COMMANDS:
            return self._command(body, redirects)
        if body.type == "negated_command":
            return self._onto(_named(body)[-1], redirects)
        if body.type == "pipeline":
            *firsts, last = _named(body)
            return Pipeline((*(self._statement(one) for one in firsts), self._onto(last, redirects)))
        if body.type == "list":
            left, operator, right = body.children[0], body.children[1], body.children[-1]
            return Chain((("", self._statement(left)), (operator.type, self._onto(right, redirects))))
        return self._with_redirects(body, redirects)

    def _with_redirects(self, body: Node | None, redirects: list[Node]) -> Statement:
        """A compound command with redirections, or redirections alone."""
        inside = Simple() if body is None else self._statement(body)
        opens: list[Open] = []
        here: Here | None = None
        for one in redirects:
            if one.type == "file_redirect":
                if self._file(one, opens):
                    self.problem()
            elif one.type == "herestring_redirect":
                here = self._herestring(one)
            else:
                here = self._heredoc(one, opens)
                if one.children_by_field_name("argument"):
                    self.problem()
        return Redirected(inside, tuple(opens), here, tuple(self.nested), frozenset(self.clobbers))

    def _behind(self, found: Statement, redirects: list[Node]) -> Statement:
        """What the parser puts inside a here-document although it stands behind its command: `cat <<E | sh`."""
        for redirect in redirects:
            if redirect.type != "heredoc_redirect":
                continue
            operator = ""
            for child in redirect.children:
                if child.type in {"&&", "||"}:
                    operator = child.type
                elif child.type == "pipeline":
                    rest = [self._statement(one) for one in _named(child)]
                    found = Pipeline((found, *rest)) if not operator else Chain(
                        (("", found), (operator, Pipeline(tuple(rest))))
                    )  # fmt: skip
                elif child.is_named and child.type not in _HEREDOC_PARTS and not self._is_argument(redirect, child):
                    if not operator:
                        self.problem()
                    found = Chain((("", found), (operator or "&&", self._statement(child))))
        return found

    def _is_argument(self, redirect: Node, child: Node) -> bool:
        return any(child == one for one in redirect.children_by_field_name("argument"))

    def _file(self, node: Node, opens: list[Open]) -> list[list[Node]]:
        """A redirection; what the parser takes for further targets are words of the command."""
        operator = next((child.type for child in node.children if not child.is_named), "")
        groups = _glued(node.children_by_field_name("destination"))
        if not groups:
            if not operator.endswith("-"):
                self.problem()
            return []
        target = self._text(groups[0])
        if not (operator in {">&", "<&"} and re.fullmatch(r"[0-9]*-?", target.raw)):
            opens.append(Open(operator, target))
        return groups[1:]

    def _herestring(self, node: Node) -> Here:
        given = [child for child in node.children if child.is_named and child.type != "file_descriptor"]
        groups = _glued(given)
        if len(groups) != 1:
            self.problem()
            return Here(None)
        return Here(self._text(groups[0]))

    def _heredoc(self, node: Node, opens: list[Open]) -> Here:
        parts = {child.type: child for child in node.children}
        for child in node.children:
            if child.type == "file_redirect" and self._file(child, opens):
                self.problem()
        start, body, end = parts.get("heredoc_start"), parts.get("heredoc_body"), parts.get("heredoc_end")
        if body is not None:
            self._look_into(body)
        if start is None or end is None or not self._ends_as_bash_does(start, end):
            self.problem("the end of a here-document is unclear")
            return Here(None)
        if body is None:
            return Here(Text((Piece("", True),), ""))
        quoted = any(mark in self._slice(start.start_byte, start.end_byte) for mark in "'\"\\")
        return Here(self._document(body, end, quoted=quoted))

    def _document(self, body: Node, end: Node, *, quoted: bool) -> Text | None:
        """The text of a here-document."""
        stop = self.source.rfind(b"\n", 0, end.end_byte) + 1
        start = min(body.start_byte, stop)
        raw = self._slice(start, stop)
        if quoted:
            return Text((Piece(raw, True),), raw)
        if not re.search(r"[$`\\]", raw):
            return Text((Piece(raw, True),), raw)
        pieces: list[Piece] = []
        at = start
        for child in body.children:
            if child.type in _HOLES:
                pieces.append(in_here_document(self._slice(at, child.start_byte)))
                pieces.append(self._hole(child, quoted=True))
                at = child.end_byte
        pieces.append(in_here_document(self._slice(at, stop)))
        self.left_over(body, [child for child in body.children if child.type in _HOLES])
        rest = "".join(piece.text for piece in pieces if not piece.hole)
        return None if re.search(r"[$`]", rest) else Text(tuple(pieces), raw)

    def _ends_as_bash_does(self, start: Node, end: Node) -> bool:
        word = re.sub(rb"['\"\\]", b"", self.source[start.start_byte : start.end_byte])
        line_start = self.source.rfind(b"\n", 0, end.start_byte) + 1
        line_end = self.source.find(b"\n", end.end_byte)
        line = self.source[line_start : None if line_end < 0 else line_end]
        dash = self.source[start.start_byte - 1 : start.start_byte] == b"-"
        return (line.lstrip(b"\t") if dash else line) == word

    # Words

    def _text(self, group: list[Node]) -> Text:
        raw = self._slice(group[0].start_byte, group[-1].end_byte)
        return Text(self._in_row(group), raw)

    def _in_row(self, nodes: list[Node]) -> tuple[Piece, ...]:
        # SECURITY: what stands between two parts of a word and is no part of it to the parser, is one to Bash.
        if any(self.source[one.end_byte : two.start_byte].replace(b"\\\n", b"") for one, two in pairwise(nodes)):
            self.problem()
        pairs = zip_longest(nodes, nodes[1:])
        return tuple(piece for node, following in pairs if node for piece in self._pieces(node, following))

    def _pieces(self, node: Node, following: Node | None) -> tuple[Piece, ...]:
        kind = node.type
        if kind in {"command_name", "concatenation"} or (kind == "translated_string" and node.children):
            return self._in_row(node.children)
        if kind == "string":
            return self._string(node)
        text = self._slice(node.start_byte, node.end_byte)
        if kind == "raw_string":
            return (Piece(text[1:-1], True),)
        if kind == "ansi_c_string":
            return (ansi_c(text[2:-1]) or Piece("", True, hole=True),)
        if kind in _HOLES:
            return (self._hole(node, quoted=False),)
        if kind == "variable_assignment":
            return self._declared(node)
        if text == "$$":
            return (Piece("", False, hole=True),)
        if kind == "$" and _begins_with_string(following):
            return ()
        if kind == "extglob_pattern" or any(child.type in _HOLES for child in node.children):
            self._look_into(node)
            return (Piece("", False, hole=True),)
        # `a` `b` is one word to the parser, and `{$x~` may be two, of which the first ends with the dollar.
        cut_off = text.endswith("$") and _CUT_OFF.search(self._slice(node.start_byte, node.end_byte + 1))
        if cut_off or _NOT_IN_A_WORD.search(text):
            self.problem()
            return (Piece("", False, hole=True),)
        return unquoted(text)

    def _declared(self, node: Node) -> tuple[Piece, ...]:
        assign = self._assign(node)
        sign = "+=" if assign.append else "="
        if assign.value is None:
            return (Piece(f"{assign.name}{sign}", True), Piece("", True, hole=True))
        return (Piece(f"{assign.name}{sign}", False), *assign.value.pieces)

    def _string(self, node: Node) -> tuple[Piece, ...]:
        pieces = [Piece("", True)]
        at, end = node.start_byte + 1, node.end_byte - 1
        for child in node.children:
            if child.type in _HOLES:
                pieces.append(in_double_quotes(self._slice(at, child.start_byte)))
                pieces.append(self._hole(child, quoted=True))
                at = child.end_byte
        pieces.append(in_double_quotes(self._slice(at, end)))
        return tuple(pieces)

    def _hole(self, node: Node, *, quoted: bool) -> Piece:
        text = self._slice(node.start_byte, node.end_byte)
        variable = _PLAIN_VARIABLE.fullmatch(text)
        if variable:
            return Piece("", quoted, hole=True, name=variable[1] or variable[2])
        self._look_into(node)
        # `"$@"` and `"${a[@]}"` become any number of words, quoted as they are.
        quoted = quoted and not (node.type in {"simple_expansion", "expansion"} and "@" in text)
        return Piece("", quoted, hole=True, process=node.type == "process_substitution")

    def _slice(self, start: int, end: int) -> str:
        return self.source[start:end].decode("utf-8", "replace")


_HEREDOC_PARTS = kinds("heredoc_start heredoc_body heredoc_end file_redirect file_descriptor comment pipeline")


def _commands_in(node: Node) -> int:
    found, waiting = 0, [node]
    while waiting:
        one = waiting.pop()
        found += one.type in COMMANDS
        waiting.extend(one.children)
    return found


def _named(node: Node) -> list[Node]:
    return [child for child in node.children if child.is_named and child.type != "comment"]


def _glued(children: list[Node]) -> list[list[Node]]:
    """The children in groups that touch: they are one word, also where the parser made several of it."""
    groups: list[list[Node]] = []
    for child in children:
        touches = groups and groups[-1][-1].end_byte == child.start_byte
        if touches and child.type not in _APART and groups[-1][-1].type not in _APART:
            groups[-1].append(child)
        else:
            groups.append([child])
    return groups


def _begins_with_string(node: Node | None) -> bool:
    """Whether a double-quoted string follows, alone or as the beginning of a longer word."""
    while node is not None and node.type == "concatenation":
        node = node.children[0] if node.children else None
    return node is not None and node.type in {"string", "translated_string"}
