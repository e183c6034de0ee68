"""From a command to what really runs: wrappers taken off, shell strings gone into, until nothing is left to unfold.

Every step is kept: `env git push` is judged as `env ...` and as `git push`, so that a rule on either hits.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from ringfence.policy.shell.tables import (
    DYNAMIC_BUILTINS,
    INTERPRETERS,
    RUNNERS,
    SHELL_VALUES,
    SHELLS,
    WRAPPERS,
    Options,
    Wrapper,
)
from ringfence.policy.shell.tree import Command, Feed, Issue, Unclear, Word

MAX_LAYERS = 16
MAX_INVOCATIONS = 64

_QUIET_STDIN = frozenset({"/dev/stdin", "-", "/dev/fd/0", "/proc/self/fd/0"})


class Invocation(msgspec.Struct, frozen=True, kw_only=True):
    """One program with its arguments, as it is started."""

    words: tuple[Word, ...]

    @property
    def program(self) -> str:
        """The last component of the program's path, or nothing where it is dynamic."""
        text = self.words[0].text
        return "" if text is None else text.rpartition("/")[2]


class Peeled(msgspec.Struct, frozen=True, kw_only=True):
    """What one command comes down to."""

    invocations: tuple[Invocation, ...]
    scripts: tuple[str, ...]
    """Shell strings that it runs."""
    issues: tuple[Issue, ...]


def peel(command: Command) -> Peeled:
    """Everything that a command starts."""
    peeling = _Peeling(command)
    peeling.run(command.words, 0)
    return Peeled(invocations=tuple(peeling.invocations), scripts=tuple(peeling.scripts), issues=tuple(peeling.issues))


class _Peeling:
    def __init__(self, command: Command) -> None:
        self.command = command
        self.invocations: list[Invocation] = []
        self.scripts: list[str] = []
        self.issues: list[Issue] = []

    def issue(self, kind: Unclear, text: str) -> None:
        self.issues.append(Issue(kind=kind, text=text))

    def run(self, words: Sequence[Word], layer: int) -> None:
        if not words:
            return
        if layer > MAX_LAYERS:
            self.issue(Unclear.SIZE, f"it is wrapped more than {MAX_LAYERS} times")
            return
        if len(self.invocations) >= MAX_INVOCATIONS:
            self.issue(Unclear.SIZE, f"it starts more than {MAX_INVOCATIONS} programs")
            return
        invocation = Invocation(words=tuple(words))
        self.invocations.append(invocation)
        first = words[0]
        if first.text is None or (first.glob and first.text != "["):
            self.issue(Unclear.DYNAMIC_NAME, f"the name of the program is only known when it runs: `{first.raw}`")
            return
        self._known(invocation.program, words, layer)

    def _known(self, program: str, words: Sequence[Word], layer: int) -> None:
        arguments = words[1:]
        if program in WRAPPERS:
            self._wrapper(program, WRAPPERS[program], arguments, layer)
        elif program in SHELLS:
            self._shell(program, arguments)
        elif program in INTERPRETERS:
            self._interpreter(program, arguments)
            self._module(arguments, layer)
        elif program == "eval":
            self._eval(arguments)
        elif program == "trap":
            self._strings(program, [word for word in arguments if not _is_option(word)][:1])
        elif program == "alias":
            self._aliases(arguments)
        elif program in {"source", "."}:
            self._source(program, arguments)
        elif program == "find":
            self._find(arguments, layer)
        elif program in DYNAMIC_BUILTINS:
            self._builtin(program, arguments)
        elif program in RUNNERS:
            self._runner(RUNNERS[program], arguments, layer)
        elif program.startswith(("ld-linux", "ld-musl")):
            self.run(arguments, layer + 1)

    def _wrapper(self, program: str, wrapper: Wrapper, arguments: Sequence[Word], layer: int) -> None:
        at = 0
        while at < len(arguments):
            text = arguments[at].text
            if text == "--":
                at += 1
                break
            if text is None or not text.startswith("-") or (text == "-" and "-" not in wrapper.options.flags):
                break
            option, value = _split(text, wrapper.options)
            if option in wrapper.queries:
                return
            if option is None and _is_number(text, program):
                at += 1
                continue
            if option is None:
                self.issue(Unclear.WRAPPER, f"`{program}` has an option that is not known here: `{text}`")
                self._anywhere(arguments[at + 1 :], layer)
                return
            takes = option in wrapper.options.values
            if takes and value is None:
                at += 1
                value = arguments[at].text if at < len(arguments) else ""
            if option in wrapper.scripts:
                self._option_script(program, value, arguments[at + 1 :])
            at += 1
        self._behind(program, wrapper, arguments[at:], layer)

    def _behind(self, program: str, wrapper: Wrapper, rest: Sequence[Word], layer: int) -> None:
        if wrapper.assignments:
            while rest and _is_assignment(rest[0]):
                rest = rest[1:]
        if rest and rest[0].splits:
            self.issue(Unclear.DYNAMIC_NAME, f"what `{program}` runs is only known when it runs: `{rest[0].raw}`")
        rest = rest[wrapper.operands :]
        if rest and rest[0].text in wrapper.scripts:
            self._strings(program, rest[1:2])
        elif wrapper.joins:
            self._strings(program, [_joined(rest)] if rest else [])
        elif rest and wrapper.appends:
            self.run((*rest, Word(text=None, raw="...", splits=True)), layer + 1)
        else:
            self.run(rest, layer + 1)

    def _option_script(self, program: str, value: str | None, rest: Sequence[Word]) -> None:
        if value is None:
            self.issue(Unclear.EVAL, f"what `{program}` runs is only known when it runs")
            return
        tail = " ".join(shlex.quote(word.text) for word in rest if word.text is not None) if program == "env" else ""
        self.scripts.append(f"{value} {tail}".strip())

    def _anywhere(self, words: Sequence[Word], layer: int) -> None:
        """Where the command begins is unclear: each word that could begin it is looked at."""
        for at in range(min(len(words), 4)):
            self.run(words[at:], layer + 1)

    def _shell(self, program: str, arguments: Sequence[Word]) -> None:
        has_script, rest = _shell_options(arguments)
        if has_script:
            self._strings(program, rest[:1])
        elif not rest or rest[0].text in _QUIET_STDIN or _reads_stdin(arguments):
            self._standard_input(program)
        elif rest[0].splits and not rest[0].process:
            self.issue(Unclear.EVAL, f"what `{program}` runs is only known when it runs: `{rest[0].raw}`")
        elif rest[0].process or (rest[0].text is None and rest[0].raw.startswith("$(")):
            self.issue(Unclear.REMOTE_CODE, f"`{program}` runs what another command puts out: `{rest[0].raw}`")

    def _standard_input(self, program: str) -> None:
        match self.command.feed:
            case Feed.TEXT if self.command.text is not None:
                self.scripts.append(self.command.text)
            case Feed.TEXT:
                self.issue(Unclear.EVAL, f"`{program}` runs a text that is only known when it runs")
            case Feed.PIPE:
                self.issue(Unclear.PIPE_TO_SHELL, f"`{program}` runs what another command pipes into it")
            case Feed.INHERITED:
                pass

    def _interpreter(self, program: str, arguments: Sequence[Word]) -> None:
        rest = [word for word in arguments if not _is_option(word)]
        code = any(word.text is not None and word.text.startswith(("-c", "-e", "-m", "--eval")) for word in arguments)
        if (not rest or rest[0].text in _QUIET_STDIN) and not code and self.command.feed is Feed.PIPE:
            self.issue(Unclear.PIPE_TO_SHELL, f"`{program}` runs what another command pipes into it")
        elif rest and rest[0].process:
            self.issue(Unclear.REMOTE_CODE, f"`{program}` runs what another command puts out: `{rest[0].raw}`")

    def _eval(self, arguments: Sequence[Word]) -> None:
        if arguments:
            self.issue(Unclear.EVAL, "`eval` runs a text that it builds")
            self._strings("eval", [_joined(arguments)])

    def _strings(self, program: str, words: Sequence[Word]) -> None:
        for word in words:
            if word.text is None:
                self.issue(Unclear.EVAL, f"what `{program}` runs is only known when it runs: `{word.raw}`")
            else:
                self.scripts.append(word.text)

    def _aliases(self, arguments: Sequence[Word]) -> None:
        values = [word for word in arguments if not _is_option(word)]
        for word in values:
            if word.text is None:
                self.issue(Unclear.EVAL, f"the alias is only known when it runs: `{word.raw}`")
            elif "=" in word.text:
                self.scripts.append(word.text.partition("=")[2])

    def _source(self, program: str, arguments: Sequence[Word]) -> None:
        first = arguments[0] if arguments else None
        if first is not None and (first.process or first.text in _QUIET_STDIN):
            self.issue(Unclear.REMOTE_CODE, f"`{program}` runs what another command puts out: `{first.raw}`")

    def _find(self, arguments: Sequence[Word], layer: int) -> None:
        starts = [at for at, word in enumerate(arguments) if word.text in {"-exec", "-execdir", "-ok", "-okdir"}]
        for start in starts:
            rest = arguments[start + 1 :]
            end = next((at for at, word in enumerate(rest) if word.text in {";", "+"}), len(rest))
            self.run([_braces_filled(word) for word in rest[:end]], layer + 1)

    def _runner(self, subcommands: frozenset[str], arguments: Sequence[Word], layer: int) -> None:
        """A project's tools, started by name: the first operand, and the second in case an option took the first."""
        rest = [word for word in arguments if not _is_option(word)]
        if subcommands:
            if not rest or rest[0].text not in subcommands:
                return
            rest = rest[1:]
        for at in range(min(len(rest), 2)):
            if rest[at].text is not None:
                first = arguments.index(rest[at])
                self.run(arguments[first:], layer + 1)

    def _module(self, arguments: Sequence[Word], layer: int) -> None:
        """`python -m MODULE` is the program of that name."""
        at = next((at for at, word in enumerate(arguments) if word.text == "-m"), None)
        if at is not None:
            self.run(arguments[at + 1 :], layer + 1)

    def _builtin(self, program: str, arguments: Sequence[Word]) -> None:
        option = DYNAMIC_BUILTINS[program]
        if not option or any(word.text is None or word.text.startswith(option) for word in arguments):
            self.issue(Unclear.EVAL, f"`{program}` plants or runs code that cannot be seen here")


def _split(text: str, options: Options) -> tuple[str | None, str | None]:
    """The option a word is, in its known spelling, and its value where that stands in the same word."""
    name, equals, value = text.partition("=")
    every = options.values | options.flags
    if name in every:
        return name, value if equals else None
    if text.startswith("--"):
        # GNU programs take any beginning of a long option that is unique.
        close = [option for option in every if option.startswith(name)]
        return (close[0], value if equals else None) if len(close) == 1 else (None, None)
    return _bundle(text, options)


def _bundle(text: str, options: Options) -> tuple[str | None, str | None]:
    for at in range(1, len(text)):
        option = f"-{text[at]}"
        if option in options.values:
            return option, text[at + 1 :] or None
        if option not in options.flags:
            return None, None
    return f"-{text[-1]}", None


def _shell_options(arguments: Sequence[Word]) -> tuple[bool, Sequence[Word]]:
    """Whether a shell gets a string to run, and its operands."""
    at, has_script = 0, False
    while at < len(arguments):
        text = arguments[at].text
        if text is None or text[:1] not in {"-", "+"} or text == "-":
            break
        at += 1
        if text in {"--", "-"}:
            break
        has_script = has_script or (text[0] == "-" and text[1:2] != "-" and "c" in text)
        if text in SHELL_VALUES or (text[:2] not in {"--", "++"} and text[-1] in "oO" and len(text) > 1):
            at += 1
    return has_script, arguments[at:]


def _reads_stdin(arguments: Sequence[Word]) -> bool:
    return any(
        word.text is not None and word.text[:1] == "-" and word.text[1:2] != "-" and "s" in word.text
        for word in arguments[:2]
    )


def _is_option(word: Word) -> bool:
    return word.text is not None and word.text.startswith("-") and word.text != "-"


def _is_assignment(word: Word) -> bool:
    raw = word.raw if word.text is None else word.text
    name = raw.partition("=")[0]
    return "=" in raw and name.isidentifier()


def _is_number(text: str, program: str) -> bool:
    return program == "nice" and text.lstrip("-+").isdigit()


def _joined(words: Sequence[Word]) -> Word:
    texts = [word.text for word in words]
    raw = " ".join(word.raw for word in words)
    known = None if any(text is None for text in texts) else " ".join(text for text in texts if text is not None)
    return Word(text=known, raw=raw)


def _braces_filled(word: Word) -> Word:
    if word.text is not None and "{}" in word.text:
        return Word(text=None, raw=word.raw)
    return word
