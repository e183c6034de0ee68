"""From statements to a script: every command with the words it gets, in the order in which the shell comes to them.

A command whose words have several possible values, as in `for x in a b`, is told once for each. What cannot be told
stays a dynamic word; nothing is left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import assert_never

from ringfence.policy.shell.scan import scan
from ringfence.policy.shell.syntax import (
    Assign,
    Branch,
    Chain,
    Function,
    Here,
    Loop,
    Open,
    Pipeline,
    Redirected,
    Simple,
    Statement,
    Subshell,
    Text,
)
from ringfence.policy.shell.syntax import Sequence as Statements
from ringfence.policy.shell.tree import Command, Dialect, Feed, Issue, Redirect, Script, Unclear, Word
from ringfence.policy.shell.variables import (
    ASSIGNMENT,
    DECLARES,
    IDENTIFIER,
    Values,
    Variables,
    acting,
    change_of,
    changes,
    gives_attributes,
    literal,
)
from ringfence.policy.shell.words import DEFAULT_IFS, Known, is_braced, value, words

MAX_COMMANDS = 500
MAX_TOLD = 16
MAX_WORDS = 3000
MAX_EXPANDED = 128 * 1024

_RESERVED = frozenset(
    {
        "if", "then", "else", "elif", "fi", "case", "esac", "for", "select", "while", "until", "do", "done", "in", "{",
        "}", "!", "[[", "]]", "function",
    }
)  # fmt: skip
_EVALUATES = DECLARES | {"test", "[", "read", "unset", "let", "printf", "mapfile", "readarray", "getopts", "wait"}
"""Builtins that take names of variables, with a subscript that is an expression."""
_READING = frozenset({"expand_aliases", "keyword", "braceexpand", "posix", "aliases", "interactive_comments"})


class TooMuch(Exception):
    """A limit is reached."""


class Flow:
    """Walks the statements once, and collects."""

    def __init__(self, *, home: str | None, dialect: Dialect) -> None:
        values: dict[str, Values] = {"IFS": (DEFAULT_IFS,)}
        if home is not None:
            values["HOME"] = (home,)
        self.resolves = dialect in {Dialect.BASH, Dialect.SH}
        self.variables = Variables(values, set())
        self.literal_tilde = home is None
        self.assignments = dialect is not Dialect.SH
        self.frozen: set[str] = set()
        self.commands: list[Command] = []
        self.redirects: list[Redirect] = []
        self.issues: list[Issue] = []
        self.functions: list[str] = []
        self.aliases: list[tuple[str, str | None]] = []
        self.scope: tuple[int, ...] = ()
        self.function = ""
        self.link = ""
        self.feed = Feed.INHERITED
        self.text: str | None = None
        self._words = 0
        self._expanded = 0
        self._scopes = itertools.count(1)
        self._kept: Variables | None = None

    def script(self, root: Statement, *, functions: bool) -> None:
        """Tell everything that stands in a string."""
        if functions:
            self._prepare(root)
        self.tell(root)

    def result(self) -> Script:
        """What was collected."""
        return Script(
            commands=tuple(self.commands),
            redirects=tuple(self.redirects),
            issues=tuple(dict.fromkeys(self.issues)),
            functions=tuple(dict.fromkeys(self.functions)),
            aliases=tuple(self.aliases),
        )

    def issue(self, kind: Unclear, text: str) -> None:
        """Something could not be followed."""
        self.issues.append(Issue(kind=kind, text=text))

    def _prepare(self, root: Statement) -> None:
        """A function runs wherever it is called: what any of them sets is known nowhere."""
        waiting, bodies = [root], []
        while waiting:
            one = waiting.pop()
            if isinstance(one, Function):
                bodies.append(one.body)
            waiting.extend(_parts(one))
        for body in bodies:
            change = changes(body)
            self.variables.fixed |= change.names
            self.variables.forget(change)
            self.resolves = self.resolves and not change.everything
        every = changes(root)
        kept = self.variables.copy()
        kept.forget(every)
        self._kept = kept

    def tell(self, statement: Statement) -> None:
        """Tell one statement; the variables are afterwards as they are behind it."""
        match statement:
            case Simple():
                self._simple(statement)
            case Statements():
                for item in statement.items:
                    self.link = ""
                    self.tell(item)
            case Chain():
                self._chain(statement)
            case Pipeline():
                self._pipeline(statement)
            case Branch():
                self._branch(statement)
            case Loop():
                self._loop(statement)
            case Subshell():
                with self._apart():
                    self.tell(statement.body)
            case Function():
                self._function(statement)
            case Redirected():
                self._redirected(statement)
            case _:
                assert_never(statement)

    @contextmanager
    def _apart(self) -> Iterator[None]:
        outer, scope = self.variables, self.scope
        self.variables = outer.copy()
        self.scope = (*scope, next(self._scopes))
        try:
            yield
        finally:
            self.variables, self.scope = outer, scope

    @contextmanager
    def _fed(self, feed: Feed, text: str | None) -> Iterator[None]:
        outer = self.feed, self.text
        self.feed, self.text = feed, text
        try:
            yield
        finally:
            self.feed, self.text = outer

    def _nested(self, statements: Sequence[Statement]) -> None:
        """Substitutions run in front of the command that they stand in, and do not read what it reads."""
        if not statements:
            return
        link = self.link
        with self._fed(Feed.INHERITED, None):
            for one in statements:
                self.link = ""
                self.tell(one)
        self.link = link

    def _chain(self, chain: Chain) -> None:
        (_, first), *rest = chain.items
        self.tell(first)
        ended = self.variables
        succeeded = ended.copy()
        for operator, item in rest:
            # Behind `&&` only success counts, behind `||` anything that went before.
            self.variables = succeeded.copy() if operator == "&&" else ended.copy()
            self.link = operator
            self.tell(item)
            if operator == "&&":
                succeeded = self.variables.copy()
            else:
                succeeded.join(self.variables)
            ended.join(self.variables)
        self.variables = ended

    def _pipeline(self, pipeline: Pipeline) -> None:
        for at, item in enumerate(pipeline.items):
            if at:
                self.link = "|"
            feed, text = (Feed.PIPE, None) if at else (self.feed, self.text)
            with self._fed(feed, text), self._apart():
                self.tell(item)
        # Some shells, and Bash when told to, run the last one in the shell itself.
        self.variables.forget(changes(pipeline.items[-1]))

    def _branch(self, branch: Branch) -> None:
        if branch.before is not None:
            self.tell(branch.before)
        entry = self.variables
        out: Variables | None = None
        for condition, body in branch.arms:
            self.variables = entry
            self.link = ""
            self.tell(condition)
            entry = self.variables.copy()
            if out is not None and branch.before is not None:
                self.variables.join(out)  # `;&` falls through
            self.link = ""
            self.tell(body)
            if out is None:
                out = self.variables
            else:
                out.join(self.variables)
        self.variables = out if out is not None else entry
        if not branch.complete:
            self.variables.join(entry)

    def _loop(self, loop: Loop) -> None:
        if loop.before is not None:
            self.tell(loop.before)
        values = self._values(loop.values) if loop.variable else ()
        change = changes(loop.body, {loop.variable: values} if values else None)
        if loop.variable in change.names or change.everything:
            change = changes(loop.body)
        change.names.add(loop.variable)
        self.variables.forget(change)
        entry = self.variables.copy()
        if values:
            self.variables.set(loop.variable, values)
        self.link = ""
        self.tell(loop.body)
        self.variables.join(entry)

    def _values(self, texts: Sequence[Text] | None) -> Values:
        """What a loop variable can be, or nothing where that is not certain."""
        if texts is None or not self.resolves:
            return ()
        found: list[str] = []
        for known in self._ways(_names(texts)):
            for text in texts:
                for word in words(text, known):
                    if word.text is None or word.glob:
                        return ()
                    found.append(word.text)
        return tuple(dict.fromkeys(found))

    def _function(self, function: Function) -> None:
        self.functions.append(function.name)
        outer = self.variables, self.function, self.scope
        self.variables = self._kept.copy() if self._kept is not None else Variables({}, self.variables.fixed)
        self.function = function.name
        self.link = ""
        self.tell(function.body)
        self.variables, self.function, self.scope = outer

    def _redirected(self, statement: Redirected) -> None:
        self._nested(statement.nested)
        self._forget_names(statement.clobbers)
        for known in self._ways(_names([one.target for one in statement.opens])):
            self._open(statement.opens, known)
        feed, text = self._here(statement.here)
        with self._fed(feed, text):
            self.tell(statement.body)

    def _forget_names(self, names: frozenset[str]) -> None:
        for name in names:
            self.variables.values.pop(name, None)

    def _here(self, here: Here | None) -> tuple[Feed, str | None]:
        if here is None:
            return self.feed, self.text
        if here.text is None:
            return Feed.TEXT, None
        ways = list(self._ways(_names([here.text])))
        return Feed.TEXT, value(here.text, ways[0]).text if len(ways) == 1 else None

    def _open(self, opens: Sequence[Open], known: Known) -> None:
        for one in opens:
            for target in words(one.target, known) or (Word(text=None, raw=one.target.raw),):
                self.redirects.append(
                    Redirect(
                        target=target,
                        write=">" in one.operator,
                        after=len(self.commands),
                        operator=one.operator,
                        scope=self.scope,
                    )
                )

    def _ways(self, names: Sequence[str]) -> Iterator[Known]:
        """Every combination of the values that these variables may have, up to a limit."""
        held = self.variables.values if self.resolves else {}
        single = {name: held[name][0] for name in names if name in held and len(held[name]) == 1}
        several = [name for name in names if name in held and len(held[name]) > 1]
        if several:
            total = 1
            for name in several:
                total *= len(held[name])
            if total > MAX_TOLD:
                several = []
        for chosen in itertools.product(*(held[name] for name in several)):
            yield self._known({**single, **dict(zip(several, chosen, strict=True))})

    def _known(self, values: dict[str, str]) -> Known:
        held = self.variables.values
        home = held.get("HOME")
        return Known(
            values=values,
            splits=held.get("IFS") == (DEFAULT_IFS,),
            tilde=home[0] if home is not None and len(home) == 1 else None,
            literal_tilde=self.literal_tilde and "HOME" not in self.frozen,
            assignments=self.assignments,
        )

    def _simple(self, simple: Simple) -> None:
        self._nested(simple.nested)
        if simple.clobbers:
            self._forget_names(simple.clobbers)
        texts = [*simple.words, *(one.target for one in simple.opens)]
        texts.extend(assign.value for assign in simple.assigns if assign.value is not None)
        feed, here = self._here(simple.here)
        told: list[tuple[Word, ...]] = []
        if simple.words:
            own = {assign.name for assign in simple.assigns}
            names = _names(texts)
            for known in self._ways(names):
                if names:
                    self._spend(texts, known)
                self._open(simple.opens, known)
                found = self._arguments(simple.words, known)
                told.append(found)
                prefix = tuple(self._prefix(assign, known, own) for assign in simple.assigns)
                self._add(found, prefix, feed, here)
            for found in told:
                self._effects(simple, found, once=len(told) == 1)
        elif simple.assigns or simple.opens or simple.here:
            self._alone(simple, feed, here)

    def _spend(self, texts: Sequence[Text], known: Known) -> None:
        """Variables that are put in place again and again make little text into much."""
        self._expanded += sum(len(known.values.get(piece.name, "")) for text in texts for piece in text.pieces)
        if self._expanded > MAX_EXPANDED:
            raise TooMuch("its variables hold too much text")

    def _alone(self, simple: Simple, feed: Feed, here: str | None) -> None:
        """Assignments, or redirections, without a command."""
        for known in self._ways(_names([one.target for one in simple.opens])):
            self._open(simple.opens, known)
        made = tuple((assign.name, self._assign(assign)) for assign in simple.assigns)
        if made:
            self._add((), made, feed, here)

    def _assign(self, assign: Assign) -> Word:
        """Set a variable in the shell itself."""
        if assign.name == "HOME":
            self.frozen.add("HOME")
        if assign.value is None:
            self.variables.set(assign.name, ())
            return Word(text=None, raw=assign.raw)
        before = self.variables.values.get(assign.name, ()) if assign.append else ("",)
        found = []
        for known in self._ways(_names([assign.value])):
            self._spend([assign.value], known)
            found.append(value(assign.value, known))
        if not self.resolves or any(one.text is None for one in found) or assign.name in self.frozen - {"HOME"}:
            self.variables.set(assign.name, ())
        else:
            texts = [one.text for one in found if one.text is not None]
            self.variables.set(assign.name, tuple(dict.fromkeys(old + new for old in before for new in texts)))
        return found[0] if len(found) == 1 else Word(text=None, raw=assign.value.raw)

    def _prefix(self, assign: Assign, known: Known, own: set[str]) -> tuple[str, Word]:
        if assign.value is None:
            return assign.name, Word(text=None, raw=assign.raw)
        if any(piece.name in own for piece in assign.value.pieces if piece.name):
            return assign.name, Word(text=None, raw=assign.value.raw)
        return assign.name, value(assign.value, known)

    def _arguments(self, texts: Sequence[Text], known: Known) -> tuple[Word, ...]:
        declares = literal(texts[0]) in DECLARES
        found: list[Word] = []
        for text in texts:
            if text.plain:
                found.append(Word(text=text.raw, raw=text.raw))
                continue
            match = ASSIGNMENT.match(text.raw) if declares else None
            if match is not None and text.pieces and not is_braced(text, known):
                found.append(value(text, known, begin=match.end()))
            else:
                found.extend(words(text, known))
            if self._words + len(found) > MAX_WORDS:
                break
        self._words += len(found)
        if self._words > MAX_WORDS:
            raise TooMuch(f"it has more than {MAX_WORDS:,} words")
        return tuple(found)

    def _add(
        self, found: tuple[Word, ...], assignments: tuple[tuple[str, Word], ...], feed: Feed, text: str | None
    ) -> None:
        if len(self.commands) >= MAX_COMMANDS:
            raise TooMuch(f"it has more than {MAX_COMMANDS} commands")
        self.commands.append(
            Command(
                words=found,
                assignments=assignments,
                feed=feed,
                text=text,
                scope=self.scope,
                link=self.link,
                function=self.function,
            )
        )

    def _effects(self, simple: Simple, found: tuple[Word, ...], *, once: bool) -> None:
        """What a command changes for those behind it."""
        texts = [word.text for word in found]
        raw = found[0].raw if found else ""
        if raw in _RESERVED:
            self.issue(Unclear.SYNTAX, "it could not be parsed completely")
        at = acting(texts)
        name = texts[at] if at < len(texts) else None
        if name in DECLARES:
            self._declare(found[at:], once=once and not at)
        if name in _EVALUATES:
            self._evaluated(found[at + 1 :])
        change = change_of(simple, texts)
        if change.names or change.everything:
            self.variables.forget(change)
        reader = _READERS.get(name) if name is not None else None
        if reader is not None:
            reader(self, found[at + 1 :])

    def _evaluated(self, arguments: Sequence[Word]) -> None:
        """Quoted or not, a substitution in the subscript of a name runs: `unset 'x[$(y)]'`."""
        for word in arguments:
            text = word.text or ""
            if "$(" not in text and "`" not in text:
                continue
            inside = scan(': "' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
            if isinstance(inside, Simple):
                self._nested(inside.nested)
            else:
                self.issue(Unclear.EVAL, f"it evaluates a text that cannot be followed: `{word.raw}`")

    def _declare(self, found: Sequence[Word], *, once: bool) -> None:
        name = found[0].text
        # SECURITY: outside of a function `local` fails and changes nothing, so that the old value may be the one.
        certain = once and name != "local"
        options = "".join(word.text for word in found[1:] if word.text is not None and word.text[:1] == "-")
        # An argument that is only known when it runs may be an option; what is assigned is none.
        unknown = any(word.text is None and ASSIGNMENT.match(word.raw) is None for word in found[1:])
        if (unknown and name != "export") or any(gives_attributes(word.text) for word in found[1:]):
            # SECURITY: whatever is assigned later becomes another value: a number, a name, or of other letters.
            self.variables.fixed.update(*(IDENTIFIER.findall(word.text or word.raw) for word in found[1:]))
        for word in found[1:]:
            match = ASSIGNMENT.match(word.raw)
            if match is None:
                continue
            self.variables.set(match[1], ())
            # SECURITY: of what braces make, another one may be the one that counts.
            alone = sum(one.raw == word.raw for one in found) == 1
            if (
                certain
                and alone
                and word.text is not None
                and self.resolves
                and not match[2]
                and match[1] not in self.frozen
            ):
                self.variables.set(match[1], (word.text.partition("=")[2],))
            if match[1] == "HOME" or name == "readonly" or "r" in options:
                self.frozen.add(match[1])

    def _alias(self, arguments: Sequence[Word]) -> None:
        for word in arguments:
            text = word.text if word.text is not None else word.raw
            name, equals, stands_for = text.partition("=")
            if equals and not name.startswith("-"):
                self.aliases.append((name, stands_for if word.text is not None else None))

    def _reads_differently(self, arguments: Sequence[Word]) -> None:
        """Settings that change how the shell reads what follows."""
        for word in arguments:
            if word.text in _READING:
                self.issue(Unclear.SYNTAX, f"it changes how the shell reads what follows: `{word.text}`")

    def _set(self, arguments: Sequence[Word]) -> None:
        first = arguments[0].text if arguments else ""
        if first is not None and first[:1] in {"-", "+"} and not first.startswith("--") and set(first[1:]) & set("kBP"):
            self.issue(Unclear.SYNTAX, f"it changes how the shell reads what follows: `set {first}`")
        self._reads_differently(arguments)


_READERS: dict[str, Callable[[Flow, Sequence[Word]], None]] = {
    "alias": Flow._alias,
    "shopt": Flow._reads_differently,
    "setopt": Flow._reads_differently,
    "set": Flow._set,
}


def _names(texts: Sequence[Text]) -> list[str]:
    """The variables whose value stands in these words."""
    return list({piece.name: None for text in texts if not text.plain for piece in text.pieces if piece.name})


def _parts(statement: Statement) -> list[Statement]:
    match statement:
        case Simple():
            return list(statement.nested)
        case Statements() | Pipeline():
            return list(statement.items)
        case Chain():
            return [item for _, item in statement.items]
        case Branch():
            before = [statement.before] if statement.before is not None else []
            return before + [part for arm in statement.arms for part in arm]
        case Loop():
            return [statement.body, *([statement.before] if statement.before is not None else [])]
        case Subshell() | Function():
            return [statement.body]
        case Redirected():
            return [statement.body, *statement.nested]
        case _:
            assert_never(statement)
