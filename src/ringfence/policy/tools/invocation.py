"""Reads the arguments of a program by its table. One pass over the words; what the table does not know is said, not
guessed: an unknown option may stand for everything that the table holds."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.shell.tree import Word
from ringfence.policy.tools import readers
from ringfence.policy.tools.destinations import scheme_of
from ringfence.policy.tools.grammar import PROGRAM, Grammar, OptionSpec, Phrase
from ringfence.policy.tools.kinds import GIVES, is_pinned, outside_script, package_name, shown, split_words
from ringfence.policy.tools.reading import Reading, Started

MAX_WORDS = 4096

_SHELLS = {"zsh": "zsh", "fish": "fish", "pwsh": "pwsh", "powershell": "pwsh"}
_OFF = frozenset({"false", "no", "none", "off", "0"})
_PATH_KINDS = frozenset({"read", "script", "upload"})


def read(grammar: Grammar, program: str, arguments: Sequence[Word]) -> Reading:
    """What an invocation of this program does."""
    reader = _Reader(grammar, program, readers.prepared(grammar.command.reader, arguments))
    reader.run()
    return reader.reading


class _Reader:
    __slots__ = (
        "at",
        "base",
        "cancels",
        "ended",
        "grammar",
        "later",
        "negated",
        "operand_kind",
        "operands",
        "passed_over",
        "program",
        "reading",
        "replaces",
        "seen",
        "words",
    )

    def __init__(self, grammar: Grammar, program: str, words: Sequence[Word]) -> None:
        self.grammar = grammar
        self.program = program
        self.words = words[:MAX_WORDS]
        self.reading = Reading(program)
        self.at = 0
        self.ended = False
        self.operands: list[Word] = []
        self.seen: set[OptionSpec] = set()
        self.operand_kind = ""
        self.cancels: frozenset[EffectKind] = frozenset()
        self.negated = False
        self.replaces: frozenset[EffectKind] = frozenset()
        self.later: list[tuple[OptionSpec, Word]] = []
        self.base: Word | None = None
        self.passed_over = False
        if len(words) > MAX_WORDS:
            self._unknown(f"more than {MAX_WORDS} arguments")

    def run(self) -> None:
        while self.at < len(self.words):
            if (rest_at := self._rest_at()) is not None and rest_at <= len(self.operands) and self._rest_starts():
                break
            word = self.words[self.at]
            self.at += 1
            if self.ended or not self._is_option(word):
                self._operand(word)
            else:
                self._option(word.text or "")
        self._finish()

    def _rest_at(self) -> int | None:
        """The number of operands in front of what is started; options may change it."""
        for options, at in self.grammar.rest_unless:
            if self._any_seen(options):
                return at
        return self.grammar.rest_at

    def _rest_starts(self) -> bool:
        """Whether everything from here on belongs to what is started."""
        word = self.words[self.at]
        return self.ended or not self._is_option(word)

    def _is_option(self, word: Word) -> bool:
        text = word.text
        if text is None:
            if word.splits:
                self.reading.may |= self.grammar.option_may
            return False
        if word.glob:
            self._wild(word)
        if len(text) < 2:
            return text in self.grammar.options
        return text[0] == "-" or (text[0] == "+" and "+" in self.grammar.options)

    def _wild(self, word: Word) -> None:
        """A file of the right name makes an option of a glob: `*` may be `--pre=x`, `./*` cannot."""
        text = word.text or ""
        bare = not text.strip("*?")
        if not bare and not text.startswith("-"):
            return
        for door in self.grammar.doors:
            if bare or fnmatchcase(door, text):
                text = f"a file of the right name makes `{text}` the option `{door}`, which runs a program"
                self.reading.concerns.append(("commands.glob-option", Verdict.ASK, text))
                return

    def _option(self, text: str) -> None:
        if text == "--":
            self.ended = True
            spec = self.grammar.options.get("--")
            if spec is not None:
                self._use(spec, None)
            return
        if text[0] == "+":
            self._use(self.grammar.options["+"], Word(text=text[1:], raw=text[1:]))
            return
        name, equals, value = text.partition("=")
        if name.startswith("--no-") and name not in self.grammar.options:
            self._negation(name)
        spec = self.grammar.option(text) if text in self.grammar.options else self.grammar.option(name)
        if spec is not None:
            if equals and value.lower() in _OFF and (spec.only or spec.cancels or spec.replaces):
                self.negated = True  # `--dry-run=false`
            glued = Word(text=value, raw=value) if equals and text not in self.grammar.options else None
            self._use_valued(spec, glued)
        elif not text.startswith("--") and self.grammar.tool.bundles:
            self._bundle(text)
        elif self.grammar.any_options:
            self._passed_over(value if equals else "")
        elif not self._number(text) and not self._glued(text):
            self._unknown(text)

    def _negation(self, name: str) -> None:
        """`--no-dry-run` behind `--dry-run`: what an option held back happens after all, whichever comes last."""
        spec = self.grammar.option(f"--{name.removeprefix('--no-')}")
        self.negated = self.negated or (spec is not None and bool(spec.only or spec.cancels or spec.replaces))

    def _bundle(self, text: str) -> None:
        if self._number(text):
            return
        first = 1
        if "-#" in self.grammar.options:  # `tail -100f`
            first = len(text) - len(text[1:].lstrip("0123456789"))
        for at in range(first, len(text)):
            spec = self.grammar.options.get(f"-{text[at]}")
            if spec is None:
                if self.grammar.any_options:
                    self._passed_over("")
                    return
                if not (at == 1 and self._glued(text)) and not text[at:].isdecimal():
                    self._unknown(f"-{text[at]}" if at > 1 else text)
                return
            if spec.value:
                rest = text[at + 1 :]
                if rest.startswith("=") and self.grammar.tool.long != "abbreviated":
                    rest = rest[1:]
                self._use_valued(spec, Word(text=rest, raw=rest) if rest else None)
                return
            self._use(spec, None)

    def _passed_over(self, value: str) -> None:
        """An option of no effect. In front of a sub-command the word behind it may be its value or that sub-command."""
        if self.grammar.commands:
            self.passed_over = True
        elif value:
            self.operands.append(Word(text=value, raw=value))

    def _number(self, text: str) -> bool:
        spec = self.grammar.options.get("-#") if text[1:].isdecimal() else None
        if spec is not None:
            self._use(spec, Word(text=text[1:], raw=text[1:]))
        return spec is not None

    def _glued(self, text: str) -> bool:
        """`-Idir`, where an option of several letters or without bundling carries its value."""
        for end in range(len(text) - 1, 1, -1):
            spec = self.grammar.options.get(text[:end])
            if spec is not None and spec.value:
                self._use_valued(spec, Word(text=text[end:], raw=text[end:]))
                return True
        return False

    def _use_valued(self, spec: OptionSpec, glued: Word | None) -> None:
        if spec.value == "program;":
            self._until_semicolon(spec, glued)
        elif " " in spec.value:
            self._several_values(spec, glued)
        elif not spec.value or spec.optional or glued is not None:
            self._use(spec, glued)
        elif self.at < len(self.words):
            value = self.words[self.at]
            self.at += 1
            self._use(spec, value)
        else:
            self._use(spec, None)

    def _several_values(self, spec: OptionSpec, glued: Word | None) -> None:
        """`--arg NAME VALUE`."""
        self._use(spec, None)
        waiting = [glued] if glued is not None else []
        for kind in spec.value.split():
            if not waiting and self.at < len(self.words):
                waiting.append(self.words[self.at])
                self.at += 1
            if waiting:
                self._give(kind, waiting.pop(), side_door=True)

    def _until_semicolon(self, spec: OptionSpec, glued: Word | None) -> None:
        """`-exec PROGRAM ... ;`, with `{}` for files that are only known when it runs."""
        start = self.at
        while self.at < len(self.words):
            text = self.words[self.at].text
            self.at += 1
            if text == ";" or (text == "+" and self.words[self.at - 2].text == "{}"):
                break
        end = self.at - 1 if self.at > start and self.words[self.at - 1].text in {";", "+"} else self.at
        self.seen.add(spec)
        filled = readers.found_files((*((glued,) if glued else ()), *self.words[start:end]), self.operands)
        if filled:
            self.reading.started.append(Started(filled))

    def _use(self, spec: OptionSpec, value: Word | None) -> None:
        self.seen.add(spec)
        reading = self.reading
        if spec.only:
            reading.only = True
        if spec.operands:
            self.operand_kind = spec.operands
        if spec.cancels:
            self.cancels |= spec.cancels
        self.replaces |= spec.replaces
        if value is not None and spec.unless:
            self.later.append((spec, value))
        elif value is not None and spec.value:
            self._give(spec.value, value, side_door=True)
        for phrase in spec.effects:
            if not phrase.late:
                self._phrase(phrase, value)

    def _operand(self, word: Word) -> None:
        grammar = self.grammar
        if grammar.commands and not self.operands:
            if word.text is None or word.glob:
                self._unknown(f"a sub-command that is only known when it runs: `{word.raw}`")
                self.operands.append(word)
                return
            name = grammar.command_of(word.text)
            if name is not None and name != "":
                self.grammar = grammar.child(name)
                self.reading.name += f" {word.text}"
                self.ended = False
                return
            plain = grammar.command.commands.get("")
            if plain is None or not plain.operands:
                self._unknown_command(word)
                return
            if self.passed_over:
                self._later_command(grammar)
            self.grammar = grammar.child("")
            if self.grammar.rest_at == 0:
                self.at -= 1
                return
        self.operands.append(word if self.base is None else readers.below(self.base, word))
        if self.grammar.operands_end_options:
            self.ended = True

    def _later_command(self, grammar: Grammar) -> None:
        """Behind an option that may have taken a value, any word that names a sub-command may be it."""
        for word in self.words[self.at :]:
            if word.text is None or grammar.commands.get(word.text):
                self._unknown(f"whether `{shown(word)}` is the sub-command")
                return

    def _unknown_command(self, word: Word) -> None:
        rest = (word, *self.words[self.at :])
        match self.grammar.unknown_command:
            case "project":
                self.reading.unknown.append(shown(word))
                self.at = len(self.words)
            case "program":
                name = f"{self.program}-{shown(word)}"
                self.reading.started.append(Started((Word(text=name, raw=name), *rest[1:])))
                self._unknown(f"the sub-command `{shown(word)}`")
                self.at = len(self.words)
            case _:
                self._unknown(f"the sub-command `{shown(word)}`")
                self.operands.append(word)

    def _unknown(self, text: str) -> None:
        self.reading.unknown.append(text)
        self.reading.may |= self.grammar.may

    def _finish(self) -> None:
        reading = self.reading
        if not self.operands and "" in self.grammar.command.commands:
            self.grammar = self.grammar.child("")
        grammar = self.grammar
        reading.port = reading.port or grammar.port
        rest = list(self.words[self.at :])
        if grammar.operands.assignments:
            rest = self._assignments(rest)
        kinds = self._kinds()
        for spec, value in self.later:
            changed = (kind for options, kind in spec.unless.items() if self._any_seen(options))
            self._give(next(changed, spec.value), value, side_door=True)
        for kind, word in zip(_spread(kinds, len(self.operands)), self.operands, strict=False):
            self._give(self._changed(kind), word, side_door=False)
        if rest:
            self._rest(kinds, rest)
        self._effects(rest)
        if grammar.command.reader in readers.FINISH:
            readers.FINISH[grammar.command.reader](reading)
        if self.negated:
            return
        if reading.only:
            self._shows_only()
        elif self.cancels:
            reading.facts = [fact for fact in reading.facts if fact.kind not in self.cancels]

    def _shows_only(self) -> None:
        reading = self.reading
        reading.facts.clear()
        reading.started.clear()
        reading.environment.clear()
        reading.concerns.clear()
        reading.may.clear()

    def _changed(self, kind: str) -> str:
        return self.operand_kind if self.operand_kind and kind in _PATH_KINDS else kind

    def _kinds(self) -> tuple[str, ...]:
        operands = self.grammar.operands
        for options, kinds in operands.unless.items():
            if self._any_seen(options):
                return kinds
        return operands.kinds

    def _any_seen(self, options: str) -> bool:
        return any(self.grammar.options.get(option) in self.seen for option in options.split(", "))

    def _assignments(self, rest: list[Word]) -> list[Word]:
        while rest and readers.is_assignment(rest[0]):
            self._give("environment", rest.pop(0), side_door=False)
        return rest

    def _rest(self, kinds: Sequence[str], rest: list[Word]) -> None:
        kind = next((one[:-3] for one in kinds if one.endswith("...")), "text")
        match kind:
            case "program":
                if scheme_of(rest[0].text or "") in {"http", "https"}:
                    self._give("reader:fetched-script", rest[0], side_door=False)
                self.reading.wraps = True
                self.reading.started.append(Started(tuple(rest)))
            case "shell":
                shell = _SHELLS.get(self.program, "sh")
                # `parallel ::: 'git push'`: each word is a command of its own.
                strings = rest[1:] if rest[0].text == ":::" else [readers.joined(rest)]
                self.reading.started.extend(Started((string,), shell) for string in strings)
            case "package" | "fetched":
                self._package(rest, fetched=kind == "fetched")
            case "text":
                pass
            case _:
                for word in rest:
                    self._give(kind, word, side_door=False)

    def _package(self, rest: list[Word], *, fetched: bool) -> None:
        text = rest[0].text
        if text is not None:
            if fetched or is_pinned(text) or self._any_seen("-y, --yes"):
                self.reading.add(EffectKind.EXECUTE, f"remote package {text}")
            name = package_name(text)
            rest = [Word(text=name, raw=name), *rest[1:]]
        self.reading.started.append(Started(tuple(rest)))

    def _effects(self, rest: Sequence[Word]) -> None:
        number = len(self.operands) + len(rest)
        always, none, some, several = self.grammar.effects
        chosen = (
            *always,
            *(some if number else none if not self.reading.started else ()),
            *(several if number > 1 else ()),
        )
        for phrase in chosen:
            if self.negated or phrase.kind not in self.replaces:
                self._phrase(phrase, None)
        for spec in self.seen:
            for phrase in spec.effects:
                if phrase.late:
                    self._phrase(phrase, None)
        for word in self.operands if self.grammar.operand_words else ():
            for written, phrases in self.grammar.operand_words.items():
                if _is_word(written, word):
                    for phrase in phrases:
                        self._phrase(phrase, word)

    def _phrase(self, phrase: Phrase, value: Word | None) -> None:
        give = readers.PATH_PHRASES.get(phrase.kind)
        for text, word in self._objects(phrase.object, value):
            if text == "?" or (give is not None and not text):
                readers.anything(phrase.kind, self.reading)
            elif give is not None and word is not None and text == shown(word):
                give(word, self.reading)
            elif give is not None and text and " " not in text and word is None:
                place = Word(text=text, raw=text)
                give(place if self.base is None else readers.below(self.base, place), self.reading)
            else:
                self.reading.add(phrase.kind, text or self.reading.name)

    def _objects(self, template: str, value: Word | None) -> list[tuple[str, Word | None]]:
        if "{operands}" in template:
            found = [(template.replace("{operands}", shown(word)), word) for word in self.operands]
            return [*found] or [(template.replace("{operands}", "").strip(), None)]
        if not template or "{" not in template:
            return [(template, None)]
        first, last = (self.operands[0], self.operands[-1]) if self.operands else (None, None)
        text, only = template.replace("{here}", "."), None
        for name, word in (("{first}", first), ("{last}", last), ("{value}", value)):
            if name in text:
                only = word
                text = text.replace(name, "" if word is None else shown(word)).strip()
        return [(text.replace("{program}", self.program), only)]

    def _settings(self, word: Word) -> None:
        """A file of settings: the program may then do whatever its table holds."""
        self._unknown(f"the settings in `{shown(word)}`")
        if self.grammar.may & {PROGRAM, EffectKind.CONNECT, EffectKind.PUBLISH} and word.text != "/dev/null":
            text = f"the settings in `{shown(word)}` can make `{self.program}` do anything that it can"
            self.reading.concerns.append(("commands.settings", Verdict.ASK, text))

    def _give(self, kind: str, word: Word, *, side_door: bool) -> None:
        give = GIVES.get(kind)
        if give is not None:
            give(word, self.reading)
            if side_door and kind == "script":
                outside_script(word, self.reading)
        elif kind == "base":
            self.base = word if self.base is None else readers.below(self.base, word)
        elif kind in {"shell", "command"}:
            shell = _SHELLS.get(self.program, "sh")
            self.reading.started.append(Started((word,), shell, side_door and kind == "shell"))
        elif kind == "program":
            self.reading.started.append(Started(split_words(word), "", side_door))
        elif kind.startswith("code:"):
            self.reading.started.append(Started((word,), code=kind[5:]))
        elif kind == "settings":
            GIVES["read"](word, self.reading)
            self._settings(word)
        elif kind.startswith("reader:") or kind in readers.VALUES:
            readers.VALUES[kind.removeprefix("reader:")](word, self.reading)
        else:
            raise ValueError(f"a table has the unknown kind `{kind}`")


def is_kind(kind: str) -> bool:
    """Whether tables may use this word, or these words, for what a value or operand is."""
    if " " in kind:
        return all(map(is_kind, kind.split()))
    name = kind.rstrip("*+?.").removeprefix("reader:")
    known = (
        name in GIVES
        or name in readers.VALUES
        or name in {"shell", "command", "program", "program;", "settings", "base", "fetched"}
    )
    return known or name.startswith("code:")


@lru_cache(maxsize=4096)
def _spread(kinds: tuple[str, ...], number: int) -> tuple[str, ...]:
    """The kind of each of so many operands."""
    plain = [kind for kind in kinds if not kind.endswith("...")]
    repeated = next((at for at, kind in enumerate(plain) if kind[-1:] in "*+"), None)
    names = [kind.rstrip("*+?") for kind in plain]
    if repeated is None:
        return (*names, *["text"] * number)[:number]
    before, kind, behind = names[:repeated], names[repeated], names[repeated + 1 :]
    # `cp a`: what stands behind a repeated kind is only served once that has its share.
    times = max(number - len(before) - len(behind), min(1, number - len(before)))
    return (*before, *[kind] * times, *behind)[:number]


def _is_word(written: str, word: Word) -> bool:
    if word.text is None:
        return False
    if "*" in written[:-1]:
        return fnmatchcase(word.text, written)
    if written.endswith("*"):
        return word.text.startswith(written[:-1]) and (len(written) > 1 or word.glob)
    return word.text == written
