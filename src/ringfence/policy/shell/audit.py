"""Whether the parser's tree holds everything that stands in the text.

SECURITY: a command that the parser sees differently from Bash would pass every rule. Therefore every kind of node that
is not in the tables below, every gap between nodes that is not plain white space, and everything that could run without
being in the tree, is a problem.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tree_sitter import Node

PROBLEM = "it could not be parsed completely"

_LONE_DASH = re.compile(rb"[ \t]+-[ \t]+")
_PLAIN_GAP = re.compile(rb"[ \t\n]*")
_JOINED_LINES = re.compile(rb"(?:[ \t\n]|\\\n)*")
_HIDDEN = re.compile(rb"(?<!\\)(?:\\\\)*(?:\$\(|`)")


def kinds(names: str) -> frozenset[str]:
    """Kinds of nodes, by name."""
    return frozenset(names.split())


COMMANDS = kinds("command declaration_command unset_command")
"""Nodes that are a simple command."""
_KNOWN = kinds(
    "arithmetic_expansion array binary_expression brace_expression c_style_for_statement case_item case_statement "
    "comment compound_statement concatenation do_group elif_clause else_clause expansion extglob_pattern "
    "file_descriptor for_statement heredoc_body heredoc_content heredoc_end heredoc_start if_statement list "
    "negated_command number parenthesized_expression pipeline postfix_expression process_substitution program "
    "raw_string regex simple_expansion special_variable_name string string_content subscript subshell "
    "ternary_expression test_command test_operator translated_string unary_expression variable_assignments "
    "variable_name while_statement word ansi_c_string command_name command_substitution command "
    "declaration_command unset_command redirected_statement file_redirect heredoc_redirect herestring_redirect "
    "variable_assignment function_definition"
)
_LOOSE = kinds("string heredoc_body translated_string regex expansion redirected_statement")
"""Kinds whose text between their parts is their own, or is looked at elsewhere."""
_ONE_LINE = COMMANDS | kinds(
    "variable_assignments variable_assignment file_redirect redirected_statement concatenation"
)
"""Kinds whose parts stand on one line: what follows a newline is another command."""
_QUOTING = kinds("string translated_string regex expansion")
_PATTERNS = kinds("regex extglob_pattern word string_content expansion number variable_name string")


class Audit:
    """Looks at one tree."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.problems: list[str] = []

    def problem(self, text: str = PROBLEM) -> None:
        """Something is not as Bash would see it, or could be."""
        self.problems.append(text)

    def check(self, root: Node) -> int:
        """Every node is of a known kind, and nothing stands between them. How many of them are commands."""
        commands = 0
        waiting = [root]
        while waiting:
            node = waiting.pop()
            kind = node.type
            if node.is_named and kind not in _KNOWN:
                self.problem()
            if kind in COMMANDS:
                commands += 1
            children = node.children
            if not children:
                if kind in _PATTERNS:
                    self.left_over(node, children)
                continue
            waiting.extend(children)
            if kind not in _LOOSE:
                self._gaps(node, children)
            elif kind in _QUOTING:
                self.left_over(node, children)
            elif kind == "redirected_statement":
                self._gaps(node, children, dash=True)
        return commands

    def left_over(self, node: Node, children: Sequence[Node]) -> None:
        """What the parser made no part of: `${x^^$(y)}` runs `y`, which is not in its tree."""
        at, rest = node.start_byte, b""
        for child in children:
            rest += self.source[at : child.start_byte]
            at = max(at, child.end_byte)
        if _HIDDEN.search(rest + self.source[at : node.end_byte]):
            self.problem()

    def _gaps(self, node: Node, children: Sequence[Node], *, dash: bool = False) -> None:
        end = node.start_byte
        for child in children:
            start = child.start_byte
            if start > end:
                gap = self.source[end:start]
                # The parser drops a lone `-` in front of a here-document: the standard input it is anyway.
                if not (dash and child.type == "heredoc_redirect" and _LONE_DASH.fullmatch(gap)):
                    self._gap(gap)
                if b"\n" in gap and node.type in _ONE_LINE and b"\n" in gap.replace(b"\\\n", b""):
                    self.problem()  # the parser made one command of two lines
            end = max(end, child.end_byte)

    def _gap(self, gap: bytes) -> None:
        if _PLAIN_GAP.fullmatch(gap):
            return
        if not _JOINED_LINES.fullmatch(gap):
            self.problem()
        elif not gap.replace(b"\\\n", b""):
            # SECURITY: `pu\<newline>sh` is one word for Bash and two for the parser.
            self.problem("it joins lines inside a word")
