"""One settings file of an agent while it is read: values with their lines, and which keys nobody has read yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ringfence.agents.exchange.draft import Draft
from ringfence.policy.schema import escaped

KeyPath = tuple[str | int, ...]
Place = Callable[[KeyPath], tuple[int, int]]


class Source:
    """A table of a settings file. `take_` reads a key with its type; a wrong type is a fault of the file."""

    def __init__(
        self, values: Mapping[str, object], *, file: str, place: Place, draft: Draft, path: KeyPath = ()
    ) -> None:
        self.values = values
        self.file = file
        self.draft = draft
        self.path = path
        self._place = place
        self._taken: set[str] = set()

    def origin(self, *keys: str | int) -> str:
        """`file:line` of a key below this table."""
        value: object = self.values
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) and isinstance(key, str) else None
        return f"{self.file}:{self._line((*self.path, *keys), value)}"

    def _line(self, path: KeyPath, value: object) -> int:
        """The line of a value; that of its first key where a table is written by its parts alone."""
        line = self._place(path)[0]
        implied = bool(path) and line == self._place(path[:-1])[0]
        if implied and isinstance(value, Mapping) and value:
            return min(self._line((*path, key), below) for key, below in value.items())
        return line

    def name(self, key: str) -> str:
        """A key as people write it."""
        return ".".join(escaped(str(part)) for part in (*self.path, key))

    def has(self, key: str) -> bool:
        """Whether the key is written."""
        return key in self.values

    def take(self, key: str) -> object:
        """The value of a key, whatever it is."""
        self._taken.add(key)
        return self.values.get(key)

    def take_flag(self, key: str) -> bool | None:
        """True or false."""
        value = self.take(key)
        if value is None or isinstance(value, bool):
            return value
        self.wrong(key, "true or false")
        return None

    def take_text(self, key: str) -> str | None:
        """A text."""
        value = self.take(key)
        if value is None or isinstance(value, str):
            return value
        self.wrong(key, "a text")
        return None

    def take_texts(self, key: str) -> tuple[tuple[str, str], ...]:
        """A list of texts, each with its origin."""
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
            self.wrong(key, "a list of texts")
            return ()
        return tuple((element, self.origin(key, at)) for at, element in enumerate(value))

    def take_pairs(self, key: str) -> tuple[tuple[str, str, str], ...]:
        """The texts of a table by key, each with its origin."""
        table = self.take_table(key)
        if table is None:
            return ()
        found = [(name, table.take_text(name), table.origin(name)) for name in table.values]
        return tuple((name, value, origin) for name, value, origin in found if value is not None)

    def take_table(self, key: str) -> Source | None:
        """A table below this one."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.wrong(key, "a table")
            return None
        return self.below(key, value)

    def take_tables(self, key: str) -> tuple[Source, ...]:
        """The tables of a list."""
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
            self.wrong(key, "a list of tables")
            return ()
        return tuple(self._at((*self.path, key, at), element) for at, element in enumerate(value))

    def below(self, key: str, values: Mapping[str, object]) -> Source:
        """A table that is known to be one."""
        return self._at((*self.path, key), values)

    def rest(self) -> Iterator[str]:
        """The keys that nobody has read."""
        return (key for key in self.values if key not in self._taken)

    def lose_rest(self, reason: str, *, restricts: bool) -> None:
        """List every key that nobody has read."""
        for key in self.rest():
            self.draft.lose(self.origin(key), self.name(key), reason, restricts=restricts)

    def wrong(self, key: str, expected: str) -> None:
        """Note that a value is not of its type."""
        line, column = self._place((*self.path, key))
        self.draft.fault(self.file, line, column, f"`{self.name(key)}` has to be {expected}")

    def _at(self, path: KeyPath, values: Mapping[str, object]) -> Source:
        return Source(values, file=self.file, place=self._place, draft=self.draft, path=path)
