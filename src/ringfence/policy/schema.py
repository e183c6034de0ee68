"""Reading the values of a document: each one has the type that its key asks for, or its fault is noted with its place.

Nothing stops at the first fault. It knows tables, lists and words; what they mean stands in `documents`. What a key is
for (`about`) is said where it is read: the JSON Schema and the reference of settings are made by the same calls.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from ringfence.model.display import shortened, visible
from ringfence.model.situations import Diagnostic
from ringfence.policy.effective import Origin
from ringfence.policy.spans import KeyPath, Spans

_Choice = TypeVar("_Choice", bound=StrEnum)
_SHOWN = 200
"""Characters of a value that a message repeats."""


class Faults:
    """All that is wrong with one file, in the order of its lines."""

    def __init__(self, *, file: str, layer: str, spans: Spans) -> None:
        self.file = file
        self.layer = layer
        self._spans = spans
        self._found: list[Diagnostic] = []

    def add(self, path: KeyPath, message: str) -> None:
        """Note a fault at the place of a value."""
        line, column = self._spans.at(path)
        self._found.append(Diagnostic(file=self.file, line=line, column=column, message=message))

    def add_at(self, origin: Origin, message: str) -> None:
        """Note a fault at the line where a value was written."""
        line = int(origin.source.rpartition(":")[2])
        self._found.append(Diagnostic(file=self.file, line=line, column=1, message=message))

    def place(self, path: KeyPath) -> tuple[int, int]:
        """Line and column of a value."""
        return self._spans.at(path)

    def origin(self, path: KeyPath) -> Origin:
        """Where a value was written."""
        return Origin(layer=self.layer, source=f"{self.file}:{self._spans.at(path)[0]}")

    def all(self) -> tuple[Diagnostic, ...]:
        """Every fault, by line."""
        return tuple(sorted(self._found, key=lambda fault: (fault.line, fault.column)))


class Table:
    """One table of a document. Each `take_` reads a key, notes what is wrong and remembers that the key is known."""

    def __init__(self, values: Mapping[str, object], path: KeyPath, faults: Faults) -> None:
        self._values = values
        self.path = path
        self.faults = faults
        self._known: list[str] = []

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        return key in self._values

    def is_empty(self, key: str) -> bool:
        """Whether the key holds a list without elements."""
        return self._values.get(key) == []

    def at(self, key: str) -> KeyPath:
        """The path of one of its keys."""
        return (*self.path, key)

    def fault(self, key: str, message: str) -> None:
        """Note a fault at one of its keys."""
        self.faults.add(self.at(key), message)

    def take_text(self, key: str, default: str | None = None, *, about: str = "") -> str | None:
        """A text."""
        value = self._take(key)
        if value is None or isinstance(value, str):
            return default if value is None else value
        self._wrong(key, "a text", value)
        return default

    def take_flag(self, key: str, *, about: str = "") -> bool | None:
        """True or false."""
        value = self._take(key)
        if value is None or isinstance(value, bool):
            return value
        self._wrong(key, "true or false", value)
        return None

    def take_integer(self, key: str, *, least: int, most: int, about: str = "") -> int | None:
        """A whole number inside a range."""
        value = self._take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self._wrong(key, "a whole number", value)
        elif not least <= value <= most:
            self.fault(key, f"`{key}` is {value}; it lies between {least} and {most}")
        else:
            return value
        return None

    def take_amount(self, key: str, *, most: int, about: str = "") -> int | None:
        """A number that is not below zero, such as a price, in millionths: in these it is exact."""
        value = self._take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._wrong(key, "a number", value)
            return None
        if 0 <= value <= most:
            return round(value * 1_000_000)
        self.fault(key, f"`{key}` is {value}; it lies between 0 and {most}")
        return None

    def take_choice(
        self, key: str, choices: type[_Choice], *, among: Collection[_Choice] = (), about: str = ""
    ) -> _Choice | None:
        """One word of a fixed few."""
        value = self._take(key)
        if value is None:
            return None
        words = [choice.value for choice in choices if not among or choice in among]
        if isinstance(value, str) and value in words:
            return choices(value)
        listed = ", ".join(f"`{word}`" for word in words)
        shown = f"`{escaped(value)}`" if isinstance(value, str) else _kind(value)
        self.fault(key, f"`{key}` is {shown}; it is one of {listed}{_suggest(value, words)}")
        return None

    def take_texts(self, key: str, *, about: str = "") -> tuple[tuple[KeyPath, str], ...]:
        """A list of texts, each with its path."""
        found = []
        for path, value in self.take_list(key):
            if isinstance(value, str):
                found.append((path, value))
            else:
                self.faults.add(path, f"`{key}` holds {_kind(value)}; each of its elements is a text")
        return tuple(found)

    def take_names(self, key: str, *, about: str = "") -> tuple[tuple[KeyPath, str], ...]:
        """A list of texts, or a single one, each with its path."""
        if isinstance(self._values.get(key), str):
            text = self.take_text(key)
            return () if text is None else ((self.at(key), text),)
        return self.take_texts(key)

    def take_list(self, key: str, *, element: str = "", about: str = "") -> tuple[tuple[KeyPath, object], ...]:
        """A list of anything, each element with its path. `element` is what the schema says about one: see `KINDS`."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self._wrong(key, "a list", value)
            return ()
        return tuple(((*self.path, key, index), element) for index, element in enumerate(value))

    def take_table(self, key: str, *, about: str = "") -> Table:
        """A table below this one; an empty one where it is missing."""
        value = self._take(key)
        if isinstance(value, dict):
            return Table(value, self.at(key), self.faults)
        if value is not None:
            self._wrong(key, f"a table, written `[{key}]`", value)
        return Table({}, self.at(key), self.faults)

    def take_tables(self, key: str, *, most: int, about: str = "") -> tuple[Table, ...]:
        """The tables of an array of tables."""
        value = self._take(key)
        if value is None:
            return ()
        name = ".".join(str(part) for part in self.at(key))
        if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
            self._wrong(key, f"a list of tables, each written `[[{name}]]`", value)
            return ()
        if len(value) > most:
            self.fault(key, f"`{name}` has {len(value)} entries; the limit is {most} in one file")
            return ()
        return tuple(Table(element, (*self.at(key), index), self.faults) for index, element in enumerate(value))

    def take_pairs(self, *, about: str = "") -> tuple[tuple[str, str], ...]:
        """Every key of this table with its text, sorted."""
        pairs = [(name, self.take_text(name)) for name in sorted(self._values)]
        return tuple((name, value) for name, value in pairs if value is not None)

    def require(self, *keys: str) -> bool:
        """Whether all of these keys are written; a fault for each that is not."""
        missing = [key for key in keys if key not in self._values]
        for key in missing:
            self.faults.add(self.path, f"`{key}` is missing here")
        return not missing

    def finish(self) -> None:
        """Note every key that nobody read, with what was probably meant."""
        for key in self._values:
            if key not in self._known:
                self.fault(key, f"unknown key `{escaped(key)}`{_suggest(key, self._known) or _listed(self._known)}")

    def _take(self, key: str) -> object:
        self._known.append(key)
        return self._values.get(key)

    def _wrong(self, key: str, expected: str, value: object) -> None:
        self.fault(key, f"`{key}` is {_kind(value)}; it has to be {expected}")


def escaped(text: str) -> str:
    """A text of somebody else's as it can stand in a message: what is not plainly visible escaped, and cut."""
    return shortened(visible(text), _SHOWN)


def _suggest(value: object, words: Collection[str]) -> str:
    from difflib import get_close_matches  # only where there is a fault: a start without one does not pay for it

    close = get_close_matches(value, words, 1) if isinstance(value, str) else []
    return f"; did you mean `{close[0]}`?" if close else ""


def _listed(known: Collection[str]) -> str:
    return f"; known here: {', '.join(f'`{key}`' for key in known)}" if known else ""


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return f"the number {value}"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"
