"""Reading values of somebody else's JSON: each has the type that is asked for, or is as if it were not there."""

from __future__ import annotations

import json
from typing import TypeAlias

Values: TypeAlias = dict[str, object]

DEEPEST_ERRORS = (ValueError, RecursionError)


class Twice(ValueError):
    """An object has a key twice: two readers could take either."""


def parsed(data: bytes, *, strict: bool) -> object:
    """The value of a JSON text; `strict`: `ValueError` where an object has a key twice."""
    return json.loads(data, object_pairs_hook=_once if strict else None)


def _once(pairs: list[tuple[str, object]]) -> Values:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Twice("an object in it has a key twice")
    return found


def values(value: object) -> Values:
    """An object."""
    return value if isinstance(value, dict) else {}


def rows(value: object) -> list[Values]:
    """The objects of a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(value: object) -> str:
    """A text that can be on record: halves of characters, which JSON can spell, are no text."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()


def number(value: object) -> int:
    """A count."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 50 else 0
