"""A table that reads nothing: it notes which keys the reading code asks for, and what it says about them.

The JSON Schema and the reference of settings are made from these notes, so they cannot say anything else than what is
read. SECURITY: nothing here is ever applied; it only runs the reading code over an empty document.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import TypeVar

from ringfence.policy.effective import Origin
from ringfence.policy.schema import Faults, Table
from ringfence.policy.spans import KeyPath, Spans

_Choice = TypeVar("_Choice", bound=StrEnum)

Schema = dict[str, object]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_ELEMENTS: dict[str, Schema] = {
    "": {},
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "positions": {"type": "array", "items": {"anyOf": [{"type": "string", "minLength": 1}, {**_TEXTS, "minItems": 1}]}},
    "word or words": {"anyOf": [{"type": "string", "minLength": 1}, {**_TEXTS, "minItems": 1}]},
}


class _NoFaults(Faults):
    def __init__(self) -> None:
        super().__init__(file="schema", layer="schema", spans=Spans({}, ""))

    def add(self, path: KeyPath, message: str) -> None:
        """An empty document has nothing to find fault with."""

    def add_at(self, origin: Origin, message: str) -> None:
        """Likewise."""


class Described(Table):
    """What is asked of one table."""

    def __init__(self, path: KeyPath = ()) -> None:
        super().__init__({}, path, _NoFaults())
        self.properties: dict[str, Schema] = {}
        self.required: list[str] = []
        self.open: Schema | None = None
        """What any other key holds, where the keys are the person's own."""

    def schema(self) -> Schema:
        """The JSON Schema of this table."""
        result: Schema = {
            "type": "object",
            "properties": self.properties,
            "additionalProperties": False if self.open is None else self.open,
        }
        return {**result, "required": self.required} if self.required else result

    def take_text(self, key: str, default: str | None = None, *, about: str = "") -> str | None:
        """Note a text."""
        self._note(key, _TEXT, about)
        return default

    def take_flag(self, key: str, *, about: str = "") -> bool | None:
        """Note true or false."""
        self._note(key, {"type": "boolean"}, about)
        return None

    def take_integer(self, key: str, *, least: int, most: int, about: str = "") -> int | None:
        """Note a number and its range."""
        self._note(key, {"type": "integer", "minimum": least, "maximum": most}, about)
        return None

    def take_amount(self, key: str, *, most: int, about: str = "") -> int | None:
        """Note a number that is not below zero."""
        self._note(key, {"type": "number", "minimum": 0, "maximum": most}, about)
        return None

    def take_choice(
        self, key: str, choices: type[_Choice], *, among: Collection[_Choice] = (), about: str = ""
    ) -> _Choice | None:
        """Note the words to choose from."""
        words = [choice.value for choice in choices if not among or choice in among]
        self._note(key, {"type": "string", "enum": words}, about)
        return None

    def take_texts(self, key: str, *, about: str = "") -> tuple[tuple[KeyPath, str], ...]:
        """Note a list of texts."""
        self._note(key, _TEXTS, about)
        return ()

    def take_names(self, key: str, *, about: str = "") -> tuple[tuple[KeyPath, str], ...]:
        """Note a text or a list of them."""
        self._note(key, {"anyOf": [_TEXT, _TEXTS]}, about)
        return ()

    def take_list(self, key: str, *, element: str = "", about: str = "") -> tuple[tuple[KeyPath, object], ...]:
        """Note a list."""
        self._note(key, {"type": "array", "items": _ELEMENTS[element]}, about)
        return ()

    def take_table(self, key: str, *, about: str = "") -> Table:
        """Note a table, and what is asked of it."""
        inner = Described(self.at(key))
        self._note_later(key, inner, about, repeated=False)
        return inner

    def take_tables(self, key: str, *, most: int, about: str = "") -> tuple[Table, ...]:
        """Note an array of tables, and what is asked of each."""
        inner = Described((*self.at(key), 0))
        self._note_later(key, inner, about, repeated=True)
        return (inner,)

    def take_pairs(self, *, about: str = "") -> tuple[tuple[str, str], ...]:
        """Note that the keys are the person's own."""
        self.open = {**_TEXT, "description": about} if about else _TEXT
        return ()

    def require(self, *keys: str) -> bool:
        """Note which keys have to be there."""
        self.required += keys
        return False

    def finish(self) -> None:
        """There is no key that nobody reads."""

    def _note(self, key: str, schema: Schema, about: str) -> None:
        self.properties[key] = {**schema, "description": about} if about else {**schema}

    def _note_later(self, key: str, inner: Described, about: str, *, repeated: bool) -> None:
        described: Schema = _Late(inner, repeated=repeated)
        if about:
            described["description"] = about
        self.properties[key] = described


class _Late(Schema):
    """A schema that is complete once the reading code has asked everything of the table."""

    def __init__(self, inner: Described, *, repeated: bool) -> None:
        super().__init__()
        self._inner, self._repeated = inner, repeated

    def complete(self) -> Schema:
        """The schema of the table, or of the array of such tables."""
        about = dict(self)
        inner = self._inner.schema()
        return {**about, "type": "array", "items": inner} if self._repeated else {**inner, **about}


def completed(value: object) -> object:
    """A schema with every table in it filled in."""
    if isinstance(value, _Late):
        value = value.complete()
    if isinstance(value, dict):
        return {key: completed(inner) for key, inner in value.items()}
    return [completed(inner) for inner in value] if isinstance(value, list) else value
