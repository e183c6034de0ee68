"""What a command comes down to: every program it starts with what it does, every file its shell opens, what is unclear.

Wrappers, shell strings and runners are followed through their tables until nothing is left to unfold. Every step is
kept: `env git push` is `env ...` and `git push`, so that a rule on either hits.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ringfence.model.action import CommandAction, EffectKind
from ringfence.policy.shell.folders import Folders, Links, Place
from ringfence.policy.shell.tree import Command, Feed, Issue, Redirect, Script, Unclear, Word
from ringfence.policy.tools import grammar_of, known_name
from ringfence.policy.tools.grammar import Grammar
from ringfence.policy.tools.invocation import read
from ringfence.policy.tools.reading import Fact, Reading, Role, Started

MAX_DEPTH = 8
MAX_SCRIPTS = 64
MAX_INVOCATIONS = 600
MAX_LAYERS = 16

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash", "fish", "pwsh", "powershell"})
"""Programs whose standard input, where they run it, is a shell string."""

STANDARD_INPUT = "standard input"
"""How tables say that a program runs what it reads."""

_SYSTEM = ("/usr/", "/bin/", "/sbin/", "/opt/", "/nix/", "/snap/", "/lib", "/home/linuxbrew/")
_HOME_TOOLS = re.compile(r"/\.(?:local|cargo|go|npm-global|pyenv|rbenv|nvm|asdf|volta|deno|bun|rustup|sdkman|ghcup)/")
_PROJECT_TOOLS = re.compile(
    r"(?:^|/)(?:\.?v?env[^/]*/bin|node_modules/\.bin|vendor/bin|\.tox/[^/]+/bin|\.nox/[^/]+/bin)/[^/]+$"
    r"|(?:^|/)(?:gradlew|mvnw)$"
)
_LANGUAGES = {"python": "python", "pypy": "python", "node": "node", "nodejs": "node", "perl": "perl", "ruby": "ruby",
              "php": "php", "bun": "node", "deno": "node"}  # fmt: skip
_CLIENTS = {"psql": "sql", "mysql": "sql", "mariadb": "sql", "sqlite3": "sqlite", "sqlite": "sqlite",
            "duckdb": "duckdb", "mongosh": "mongo", "mongo": "mongo", "clickhouse-client": "sql",
            "clickhouse": "sql"}  # fmt: skip
"""Programs that take the commands of a database from their standard input: a pipe into them is everyday work."""
_READ_FILES = frozenset({*_LANGUAGES, "source", "."})
"""Programs beside the shells that run the file which they are given."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:@,+-][A-Za-z0-9_./:@,+= -]*")
_FILLED_IN = re.compile(r"\$\{[^}]*\}|\$\([^)]*\)|\$\w+|`[^`]*`")
_SCRIPTS = frozenset({"sed", "awk", "jq", "sql"})
"""Languages in which everyday scripts are put together from variables."""
_STDIN = frozenset({"/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_MORE = Word(text=None, raw="...", splits=True)
"""Arguments that are only known when it runs."""
_TALKERS = frozenset({"nc", "ncat", "netcat", "nc.traditional", "nc.openbsd", "socat", "telnet", "openssl", "cryptcat"})
"""Programs that connect what they read and write with another machine."""
_ARITHMETIC = frozenset(
    {"printf", "test", "[", "read", "unset", "let", "declare", "typeset", "export", "local", "wait"}
)
"""Builtins that take the name of a variable."""
_SUBSCRIPT = re.compile(r"\[[^\]]*(?:\$\((.*)\)|`([^`]*)`)", re.DOTALL)
_PRINTERS = frozenset({"echo", "printf"})
_FETCHES = frozenset({"curl", "wget", "fetch", "aria2c", "http", "https", "xh", "lynx", "dig", "nslookup", "host", "nc",
                      "ncat", "netcat", "socat", "ftp", "scp", "ssh", "telnet", "lwp-request", "GET"})  # fmt: skip
_FETCHED = re.compile(r"[$<`]\(?\s*(?:\S*/)?(?:curl|wget|fetch|aria2c|http|dig|nc|ncat|socat)\b")
_KEYWORDS = frozenset(
    {
        "if", "then", "else", "elif", "fi", "case", "esac", "for", "select", "while", "until", "do", "done", "in",
        "function", "time", "coproc", "declare", "typeset", "export", "readonly", "local", "unset",
    }
)  # fmt: skip


class _Identity(NamedTuple):
    """What the path of a program says about it."""

    program: str
    name: str
    foreign: bool
    disguised: bool
    grammar: Grammar | None


@lru_cache(maxsize=4096)
def _identity(path: str | None) -> _Identity:
    if path is None:
        return _Identity("", "", foreign=False, disguised=False, grammar=None)
    program = path.rpartition("/")[2]
    foreign = "/" in path and not _is_system(path)
    disguised = foreign and not _PROJECT_TOOLS.search(path)
    name = known_name(program)
    grammar = None if name is None else grammar_of(program)
    # A build tool's wrapper lies in the workspace by convention; it gets the table, and stays opaque.
    if disguised and (grammar is None or not grammar.tool.workspace_program):
        name = grammar = None
    return _Identity(program, name or program, foreign, disguised, grammar)


class Invocation:
    """One program with its arguments, as it is started."""

    __slots__ = (
        "disguised",
        "feed",
        "foreign",
        "function",
        "grammar",
        "name",
        "number",
        "path",
        "place",
        "program",
        "reading",
        "side_door",
        "words",
    )

    def __init__(self, words: Sequence[Word], place: Place, *, side_door: bool, feed: Feed) -> None:
        self.words = tuple(words)
        self.place = place
        self.side_door = side_door
        """An option made another program run it."""
        self.feed = feed
        self.path = words[0].text
        """The program as written, or nothing where it is dynamic."""
        known = _identity(self.path)
        self.program = known.program
        """The last component of its path."""
        self.name = known.name
        """The name of its table, where it has one."""
        self.foreign = known.foreign
        """It lies in the workspace or another folder that is not the system's: the good name is not its own."""
        self.disguised = known.disguised
        """It is a file that is no tool of the system or of the project, whatever its name."""
        self.grammar = known.grammar
        self.function = False
        """A function of the script has this name."""
        self.reading: Reading | None = None
        self.number = 0
        """Its place among all that the command starts, from 1."""


class Opened(NamedTuple):
    """A file that the shell itself opens, and where."""

    redirect: Redirect
    place: Place
    number: int
    """That of the program which it is opened for."""


class Analysis:
    """Everything that is known of a command before it runs."""

    __slots__ = ("assignments", "endless", "fetched", "invocations", "issues", "links", "opened", "shells_given")

    def __init__(self) -> None:
        self.invocations: list[Invocation] = []
        self.opened: list[Opened] = []
        self.issues: list[Issue] = []
        self.assignments: list[tuple[str, Word]] = []
        """Variables that are set for programs that it starts, or for the rest of the script."""
        self.fetched: list[str] = []
        """What runs that comes from the network, in words."""
        self.endless: list[str] = []
        """Functions that start themselves again and again, beside each other."""
        self.shells_given: list[str] = []
        """Programs that hand a shell to whoever is on the other side of a connection."""
        self.links = Links()

    def issue(self, kind: Unclear, text: str) -> None:
        """Note once what could not be followed."""
        found = Issue(kind=kind, text=text)
        if found not in self.issues:
            self.issues.append(found)


def analyse(action: CommandAction, *, home: str | None) -> Analysis:
    """What a command comes down to: the shell string where there is one, else exactly these arguments."""
    if action.shell is None:
        return analyse_argv(action.argv, home=home, cwd=action.cwd)
    return analyse_shell(action.shell, home=home, cwd=action.cwd)


def analyse_argv(argv: Sequence[str], *, home: str | None, cwd: str = "/") -> Analysis:
    """What a program with these exact arguments comes down to."""
    words = tuple(Word(text=text, raw=text) for text in argv)
    return _Unfolding(home).whole(Script(commands=(Command(words=words),)), Place((cwd,)))


def analyse_shell(text: str, *, home: str | None, cwd: str = "/") -> Analysis:
    """What a shell string comes down to."""
    return _Unfolding(home).whole(_script(text, home), Place((cwd,)))


def _script(text: str, home: str | None) -> Script:
    if _PLAIN.fullmatch(text):
        parts = text.split()
        if parts[0] not in _KEYWORDS and "=" not in parts[0]:
            return Script(commands=(Command(words=tuple(Word(text=part, raw=part) for part in parts)),))
    from ringfence.policy.shell.parse import parse

    return parse(text, home=home)


class _Unfolding:
    """Walks the scripts, and collects."""

    def __init__(self, home: str | None) -> None:
        self.home = home
        self.found = Analysis()
        self.seen: set[str] = set()
        self.names: set[str] = set()
        self.written: dict[str, str] = {}
        """Files whose text is known, because the command writes it."""

    def whole(self, script: Script, place: Place) -> Analysis:
        self.script(script, place, 0)
        return self.found

    def script(self, script: Script, place: Place, depth: int) -> None:
        found = self.found
        for issue in script.issues:
            found.issue(issue.kind, issue.text)
        self.names.update(script.functions)
        self._aliases(script, place, depth)
        folders = Folders(place, self.home)
        pipeline: list[Command] = []
        redirects = iter(script.redirects)
        waiting = next(redirects, None)
        for number, command in enumerate(script.commands):
            while waiting is not None and waiting.after <= number:
                self._opened(waiting, folders, script.commands)
                waiting = next(redirects, None)
            if command.link not in {"|", "|&"}:
                pipeline.clear()
            self._command(script, command, folders, pipeline, depth)
            pipeline.append(command)
        while waiting is not None:
            self._opened(waiting, folders, script.commands)
            waiting = next(redirects, None)

    def _opened(self, redirect: Redirect, folders: Folders, commands: Sequence[Command]) -> None:
        place = folders.within(redirect.scope)
        self.found.opened.append(Opened(redirect, place, len(self.found.invocations) + 1))
        target = redirect.target.text
        if not redirect.write or target is None:
            return
        text = _printed(commands[redirect.after]) if redirect.after < len(commands) else None
        if text is not None:
            for path in place.resolve(target)[0]:
                name = posixpath.normpath(path)
                before = self.written.get(name, "") if redirect.operator == ">>" else ""
                self.written[name] = f"{before}\n{text}" if before else text

    def _aliases(self, script: Script, place: Place, depth: int) -> None:
        for name, text in script.aliases:
            self.names.add(name)
            if text is None:
                self.found.issue(Unclear.EVAL, f"the alias `{name}` is only known when it runs")
            else:
                self._text(text, place, depth)

    def _command(self, script: Script, command: Command, folders: Folders, pipeline: list[Command], depth: int) -> None:
        self.found.assignments.extend(command.assignments)
        if not command.words:
            return
        place = folders.place(command)
        if command.function and command.words[0].text == command.function and (pipeline or len(script.commands) < 4):
            self.found.endless.append(command.function)
        source = _Source(command, pipeline)
        self.run(Started(command.words), place, source, depth, 0)
        folders.move(command)
        if command.words[0].text == "ln":
            self.found.links.note(command.words, place, len(self.found.invocations))

    def run(self, started: Started, place: Place, source: _Source, depth: int, layer: int) -> None:
        """One program, and through its table whatever it starts."""
        found = self.found
        words = started.words
        if layer > MAX_LAYERS:
            found.issue(Unclear.SIZE, f"it is wrapped more than {MAX_LAYERS} times")
            return
        if len(found.invocations) >= MAX_INVOCATIONS:
            found.issue(Unclear.SIZE, f"it starts more than {MAX_INVOCATIONS} programs")
            return
        invocation = Invocation(words, place, side_door=started.side_door, feed=source.feed)
        found.invocations.append(invocation)
        invocation.number = len(found.invocations)
        first = words[0]
        if first.text is None or (first.glob and first.text != "["):
            self._dynamic(first)
            return
        if invocation.program in self.names and "/" not in first.text:
            invocation.function = True
            return
        if invocation.grammar is None:
            return
        reading = invocation.reading = read(invocation.grammar, invocation.program, words[1:])
        self._inside(invocation, reading, source, depth, layer)
        if invocation.disguised:
            reading.unknown.append(f"what the project's own `{invocation.path}` does")
        if invocation.program in _ARITHMETIC:
            self._subscripts(words, place, depth)

    def _subscripts(self, words: Sequence[Word], place: Place, depth: int) -> None:
        """Bash evaluates the subscript of a name that it is given, with the substitutions in it: `a[$(x)]`."""
        for word in words[1:]:
            for match in _SUBSCRIPT.finditer(word.text or ""):
                self._text(match[1] or match[2], place, depth)

    def _dynamic(self, word: Word) -> None:
        if _FETCHED.search(word.raw):
            self.found.fetched.append(word.raw)
        self.found.issue(Unclear.DYNAMIC_NAME, f"the name of the program is only known when it runs: `{word.raw}`")

    def _inside(self, invocation: Invocation, reading: Reading, source: _Source, depth: int, layer: int) -> None:
        place = invocation.place
        for folder in reading.folders:
            place = Place(()) if folder.text is None else place.at(folder.text)
        invocation.place = place
        self.found.assignments.extend(reading.environment)
        if invocation.name in _TALKERS and any(_is_shell(one) for one in (*reading.started, *source.before())):
            self.found.shells_given.append(" ".join(word.raw for word in invocation.words))
        if reading.started:
            self._starts(invocation, reading, source, depth, layer)
        shell = invocation.name in SHELLS
        for fact in reading.facts:
            if fact.object == STANDARD_INPUT:
                self._standard_input(invocation, source, depth)
            elif fact.kind is EffectKind.EXECUTE and fact.role is Role.PATH:
                self._script_file(invocation, fact, source, depth)
            if shell and fact.word is not None and fact.word.splits:
                text = f"what `{invocation.program}` runs is only known when it runs: `{invocation.words[1].raw}`"
                self.found.issue(Unclear.EVAL, text)
        if shell or invocation.name in _READ_FILES:
            for word in invocation.words[1:]:
                if word.process:
                    self._output(invocation, word)

    def _starts(self, invocation: Invocation, reading: Reading, source: _Source, depth: int, layer: int) -> None:
        """The programs, shell strings and code that it starts."""
        place = invocation.place
        self._wrapped(invocation, reading, source, depth, layer)
        for one in reading.started:
            if one.code:
                self._code(one.code, one.words[0], source, place, depth)
            elif one.shell:
                self._string(invocation, one, place, depth)
            else:
                words = source.appended(one.words, invocation.words) if invocation.name == "xargs" else one.words
                feed = source if not one.side_door else source.piped()
                self.run(one._replace(words=words), place, feed, depth, layer + 1)

    def _wrapped(self, invocation: Invocation, reading: Reading, source: _Source, depth: int, layer: int) -> None:
        """Where a program that starts another has an option which is not known, it is unclear where that one begins."""
        words = next((one.words for one in reading.started if not one.shell and not one.code and not one.side_door), ())
        if not reading.unknown or not words or not reading.wraps:
            return
        text = f"`{invocation.program}` has an option that is not known here: `{reading.unknown[0]}`"
        self.found.issue(Unclear.WRAPPER, text)
        for at in range(1, min(len(words), 4)):
            self.run(Started(words[at:]), invocation.place, source, depth, layer + 1)

    def _output(self, invocation: Invocation, word: Word) -> None:
        if _FETCHED.search(word.raw):
            self.found.fetched.append(word.raw)
        text = f"`{invocation.program}` runs what another command puts out: `{word.raw}`"
        self.found.issue(Unclear.REMOTE_CODE, text)

    def _code(self, language: str, word: Word, source: _Source, place: Place, depth: int) -> None:
        """Code in another language: what it does counts like what a program does."""
        text = word.text
        if text is None:
            # Most of it stands there: what is filled in when it runs is taken for a value.
            text = _FILLED_IN.sub("0", word.raw.strip("\"'"))
            if text.strip(" 0") == "" and language not in _SCRIPTS:
                self.found.issue(Unclear.EVAL, f"the {language} code is only known when it runs: `{word.raw}`")
                return
        mark = f"{language}: {text}"
        if mark in self.seen or depth >= MAX_DEPTH:
            return
        self.seen.add(mark)
        from ringfence.policy.tools.code import read_code

        invocation = Invocation((Word(text="", raw=language),), place, side_door=False, feed=Feed.INHERITED)
        invocation.name = language
        invocation.reading = read_code(language, text, home=self.home)
        self.found.invocations.append(invocation)
        self._inside(invocation, invocation.reading, source, depth + 1, 0)

    def _string(self, invocation: Invocation, one: Started, place: Place, depth: int) -> None:
        word = one.words[0]
        if word.text is not None:
            if invocation.program == "eval":
                self.found.issue(Unclear.EVAL, "`eval` runs a text that it builds")
            self._text(word.text, place, depth, side_door=one.side_door)
            return
        if _FETCHED.search(word.raw):
            self.found.fetched.append(word.raw)
        self.found.issue(Unclear.EVAL, f"what `{invocation.program}` runs is only known when it runs: `{word.raw}`")

    def _text(self, text: str, place: Place, depth: int, *, side_door: bool = False) -> None:
        if text in self.seen:
            return
        self.seen.add(text)
        if depth >= MAX_DEPTH or len(self.seen) > MAX_SCRIPTS:
            self.found.issue(Unclear.SIZE, "it runs shell strings inside shell strings too deeply")
            return
        first = len(self.found.invocations)
        self.script(_script(text, self.home), place, depth + 1)
        if side_door:
            for invocation in self.found.invocations[first:]:
                invocation.side_door = True
                if invocation.name in SHELLS and invocation.reading is not None and invocation.feed is Feed.INHERITED:
                    self._if_fed(invocation)

    def _if_fed(self, invocation: Invocation) -> None:
        """A shell that an option starts reads what the other program gives it."""
        reading = invocation.reading
        if reading is not None and any(fact.object == STANDARD_INPUT for fact in reading.facts):
            text = f"`{invocation.program}` runs what another command pipes into it"
            self.found.issue(Unclear.PIPE_TO_SHELL, text)

    def _standard_input(self, invocation: Invocation, source: _Source, depth: int) -> None:
        name = invocation.program
        if (language := _CLIENTS.get(invocation.name)) is not None:
            for text in (source.text, *source.printed()):
                if text:
                    self._code(language, Word(text=text, raw=text), source, invocation.place, depth)
            return
        match source.feed:
            case Feed.TEXT if source.text is None:
                self.found.issue(Unclear.EVAL, f"`{name}` runs a text that is only known when it runs")
            case Feed.TEXT:
                self._fed_text(invocation, source.text or "", source, depth)
            case Feed.PIPE:
                self.found.issue(Unclear.PIPE_TO_SHELL, f"`{name}` runs what another command pipes into it")
                if (origin := source.fetched()) is not None:
                    self.found.fetched.append(origin)
                for text in source.printed():
                    self._fed_text(invocation, text, source, depth)
            case Feed.INHERITED:
                pass

    def _script_file(self, invocation: Invocation, fact: Fact, source: _Source, depth: int) -> None:
        """A script that the same command has written before it runs it."""
        text = None if fact.word is None else fact.word.text
        if text in _STDIN:
            self._standard_input(invocation, source, depth)
            return
        for path in invocation.place.resolve(text)[0] if text is not None and self.written else ():
            known = self.written.get(posixpath.normpath(path))
            if known is not None:
                self._fed_text(invocation, known, source, depth)

    def _fed_text(self, invocation: Invocation, text: str, source: _Source, depth: int) -> None:
        if invocation.name in SHELLS or invocation.name in {"source", "."}:
            self._text(text, invocation.place, depth)
            return
        if invocation.name == "parallel":
            self._text(text, invocation.place, depth)
            return
        language = _LANGUAGES.get(invocation.name) or _LANGUAGES.get(invocation.program.rstrip("0123456789."))
        language = language or (invocation.name if invocation.feed is Feed.TEXT else None)
        if language is not None:
            self._code(language, Word(text=text, raw=text), source, invocation.place, depth)


class _Source:
    """What a command reads: the text that is fed to it, or the commands in front of it in a pipeline."""

    __slots__ = ("feed", "pipeline", "text")

    def __init__(self, command: Command, pipeline: Sequence[Command], feed: Feed | None = None) -> None:
        self.feed = command.feed if feed is None else feed
        self.text = command.text
        self.pipeline = pipeline

    def piped(self) -> _Source:
        """The same for what an option starts: it is fed by the program that starts it."""
        return _Source(Command(words=()), (), Feed.PIPE)

    def fetched(self) -> str | None:
        """What in the pipeline comes from the network."""
        for command in self.pipeline:
            for word in command.words[:4]:
                if (word.text or "").rpartition("/")[2] in _FETCHES:
                    return " ".join(one.raw for one in command.words)
        return None

    def before(self) -> Iterator[Started]:
        """The programs in front of it in the pipeline."""
        return (Started(command.words) for command in self.pipeline if command.words)

    def printed(self) -> Iterator[str]:
        """The text in the pipe, where the command in front prints what is known."""
        if len(self.pipeline) == 1 and (words := self._known()) is not None:
            yield " ".join(words)

    def _known(self) -> list[str] | None:
        return _arguments(self.pipeline[-1]) if self.pipeline else None

    def appended(self, words: tuple[Word, ...], xargs: Sequence[Word]) -> tuple[Word, ...]:
        """The command of `xargs`, with the arguments where a known text is piped in."""
        known = self._known() if self.feed is Feed.PIPE and len(self.pipeline) == 1 else None
        mark = _replaced(xargs)
        if mark is not None:
            text = None if known is None else " ".join(known)
            return tuple(_put_in(word, mark, text) for word in words)
        if known is None:
            return (*words, _MORE)
        parts = " ".join(known).replace("\\0", " ").replace("\\n", " ").split()
        return (*words, *(Word(text=part, raw=part) for part in parts))


def _is_shell(started: Started) -> bool:
    """Whether what is started is a shell."""
    text = started.words[0].text or ""
    name = text.split()[0] if started.shell and text.split() else text
    return name.rpartition("/")[2] in SHELLS


def _arguments(command: Command) -> list[str] | None:
    """What `echo` or `printf` print, where it is known."""
    words = command.words
    if not words or words[0].text not in _PRINTERS:
        return None
    texts = [word.text for word in words[1:] if word.text is not None]
    return texts if len(texts) == len(words) - 1 else None


def _printed(command: Command) -> str | None:
    """The text that a command puts out, where it is known: printed, or copied from a here-document."""
    if command.words and command.words[0].text in {"cat", "tee"} and command.feed is Feed.TEXT:
        return command.text
    known = _arguments(command)
    return None if known is None else " ".join(known).replace("\\n", "\n")


def _replaced(xargs: Sequence[Word]) -> str | None:
    """What stands for an argument in the command of `xargs -I`, or nothing."""
    for at, word in enumerate(xargs[1:], 1):
        text = word.text or ""
        if text in {"-I", "--replace"}:
            following = xargs[at + 1].text if at + 1 < len(xargs) else None
            return "{}" if text == "--replace" else following or "{}"
        if text.startswith("-I") or text == "-i":
            return text[2:] or "{}"
        if text.startswith("--replace="):
            return text.partition("=")[2]
    return None


def _put_in(word: Word, mark: str, text: str | None) -> Word:
    if word.text is None or mark not in word.text:
        return word
    if text is None:
        return Word(text=None, raw=word.raw)
    return Word(text=word.text.replace(mark, text), raw=word.raw)


def _is_system(path: str) -> bool:
    return (path.startswith(_SYSTEM) or bool(_HOME_TOOLS.search(path))) and "/../" not in path
