"""Small readings that several sections share: ids of rules, how strictly one is meant, lists of names."""

from __future__ import annotations

import re

from ringfence.policy.effective import Origin
from ringfence.policy.layers import Enforcement
from ringfence.policy.schema import Table, escaped

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_PERSON = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\$?")

_OWNER = ":owner"
"""Whoever runs the session."""


def take_id(table: Table, ids: dict[str, str], *, default: str) -> str:
    """The id of a rule, unique in its file; one is made of its content where none is written."""
    written = table.take_text(
        "id", about="The rule's name in decisions; it takes the place of a preset's of that name."
    )
    if written is None:
        return default
    if not _ID.fullmatch(written):
        table.fault("id", f"id `{escaped(written)}` is not letters, digits, `.`, `_` and `-`")
    elif written in ids:
        table.fault("id", f"id `{written}` is already used at `{ids[written]}`")
    else:
        ids[written] = table.faults.origin(table.at("id")).source
    return written


def take_enforcement(table: Table) -> Enforcement | None:
    """How strictly a rule or document is meant."""
    return table.take_choice(
        "enforcement",
        Enforcement,
        about="`hard` holds, `soft` may be overridden with a reason, `observe` only says what it would have done.",
    )


def take_people(table: Table, key: str, about: str, *, owner: bool = False) -> tuple[tuple[str, ...], Origin] | None:
    """A list of people and groups; nothing where the key is missing."""
    found = []
    for path, name in table.take_texts(key, about=about):
        if _PERSON.fullmatch(name) or (owner and name == _OWNER):
            found.append(name)
        else:
            table.faults.add(path, f"`{escaped(name)}` is neither the name of a user nor `@` with that of a group")
    if table.is_empty(key):
        table.fault(key, f"`{key}` is empty: nobody could answer; leave it out, or name somebody")
    return (tuple(found), table.faults.origin(table.at(key))) if found else None
