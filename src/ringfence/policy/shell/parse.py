"""From a shell string to our tree: completely, or with the reason why not.

Everyday lines are read by hand, the rest with tree-sitter's Bash grammar. Any text at all gives a script, in bounded
time: what is too long, too deep or takes too long to read is an issue, and so is every character that is not seen.
"""

from __future__ import annotations

import re
from functools import cache
from time import thread_time

from tree_sitter import Language, Parser, Tree
from tree_sitter_bash import language

from ringfence.policy.shell.dialects import differs
from ringfence.policy.shell.flow import Flow, TooMuch
from ringfence.policy.shell.lines import joined
from ringfence.policy.shell.reader import Reader, TooDeep
from ringfence.policy.shell.scan import scan
from ringfence.policy.shell.tree import Dialect, Issue, Script, Unclear

MAX_BYTES = 64 * 1024
MAX_NODES = 6_000
MAX_OPERATORS = 1_000
MAX_SECONDS = 0.03

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00a0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
_OPERATORS = re.compile(r"[|&<(]")
_FUNCTIONS = re.compile(r"\([ \t]*\)")


@cache
def _parser() -> Parser:
    return Parser(Language(language()))


def parse(text: str, *, home: str | None, dialect: Dialect = Dialect.BASH) -> Script:
    """Every command in a shell string."""
    # A character is at most four bytes: most texts need no encoding to be known as short enough.
    size = len(text) if len(text) * 4 <= MAX_BYTES else len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        issue = Issue(kind=Unclear.SIZE, text=f"it has {size:,} bytes; the limit is {MAX_BYTES:,}")
        return Script(issues=(issue,))
    flow = Flow(home=home, dialect=dialect)
    control = _CONTROL.search(text)
    if control is not None:
        code = f"U+{ord(control.group()):04X}"
        flow.issue(Unclear.CONTROL, f"it holds the invisible or control character {code}")
    difference = differs(text, dialect)
    if difference:
        flow.issue(Unclear.SYNTAX, difference)
    if "\\\n" in text:
        text = joined(text) or text
    try:
        everyday = scan(text)
        if everyday is not None:
            flow.script(everyday, functions=_FUNCTIONS.search(text) is not None)
        else:
            _read(text, flow)
    except (TooMuch, RecursionError) as limit:
        flow.issue(Unclear.SIZE, str(limit) if isinstance(limit, TooMuch) else "it is nested too deeply")
    return flow.result()


def _read(text: str, flow: Flow) -> None:
    """Read with the parser."""
    # Where brackets or operators never end, the parser looks for a way on at each of them, without a pause.
    if len(_OPERATORS.findall(text)) > MAX_OPERATORS:
        flow.issue(Unclear.SIZE, f"it has more than {MAX_OPERATORS:,} operators")
        return
    source = text.encode("utf-8", "replace")
    tree = _parsed(source)
    if tree is None:
        flow.issue(Unclear.SIZE, "it takes too long to read")
        return
    root = tree.root_node
    if root.descendant_count > MAX_NODES:
        flow.issue(Unclear.SIZE, f"it has more than {MAX_NODES:,} parts")
        return
    reader = Reader(source)
    try:
        statement = reader.read(root)
    except TooDeep:
        flow.issue(Unclear.SIZE, "it is nested too deeply")
        return
    for problem in reader.problems:
        flow.issue(Unclear.SYNTAX, problem)
    flow.script(statement, functions=reader.functions)


def _parsed(source: bytes) -> Tree | None:
    """The parser's tree, or nothing where it took too long: some inputs make it take the square of their length."""
    end = thread_time() + MAX_SECONDS
    parser = _parser()
    try:
        return parser.parse(lambda at, _: source[at:], progress_callback=lambda _, __: thread_time() > end)
    except ValueError:
        parser.reset()
        return None
