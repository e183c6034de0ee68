"""Reads the rows of the battery and the list of attempts that it answers to. Nothing here runs an attack."""

from __future__ import annotations

import hashlib
import re
import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from ringfence.verify.attack import Attack, Kind, Words

_NUMBER = re.compile(r"([A-H])([0-9]{1,3})([a-z]?)")


class Attempt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way out that was seen somewhere, and what answers to it here."""

    id: str
    title: str
    tests: tuple[str, ...] = ()
    """Tests beside the battery that hold it: what no single run of a program can show."""
    why: str = ""
    """What there is to say: why no row answers to it, or what the rows leave open."""


@cache
def attacks() -> tuple[Attack, ...]:
    """All attacks, in the order of their numbers."""
    groups = msgspec.convert(_toml("groups.toml"), dict[str, Words])
    found = [_row(row, kind, groups) for kind in Kind for row in _toml(f"{kind}.toml")["attack"]]
    return tuple(sorted(found, key=lambda row: number(row.id)))


@cache
def attempts() -> tuple[Attempt, ...]:
    """Every attempt of the list, in the order of their numbers."""
    return tuple(msgspec.convert(_toml("attempts.toml")["attempt"], list[Attempt]))


def rows_of(attempt: Attempt) -> tuple[Attack, ...]:
    """The attacks that try an attempt, with its variants."""
    return tuple(row for row in attacks() if number(row.id)[:2] == number(attempt.id)[:2])


def number(name: str) -> tuple[str, int, str]:
    """The parts of an id, by which rows are put in order."""
    found = _NUMBER.fullmatch(name)
    if not found:
        raise ValueError(f"`{name}` is not the id of an attack: a letter from A to H, a number, perhaps a letter")
    return found[1], int(found[2]), found[3]


@cache
def digest() -> str:
    """Names exactly these attacks: rows and programs."""
    total = hashlib.sha256()
    folder = files(__package__)
    for part in ("rows", "programs"):
        for each in sorted(folder.joinpath(part).iterdir(), key=lambda entry: entry.name):
            if each.name.endswith((".toml", ".py", ".sh")):
                content = each.read_bytes()
                total.update(f"{part}/{each.name}\0{len(content)}\0".encode() + content)
    return f"sha256:{total.hexdigest()}"


def _row(plain: dict[str, object], kind: Kind, groups: dict[str, Words]) -> Attack:
    row = msgspec.convert({**plain, "kind": kind}, Attack)
    return msgspec.structs.replace(
        row, ends=_spelt_out(row.ends, groups), tier_b_ends=_spelt_out(row.tier_b_ends, groups)
    )


def _spelt_out(ends: Words, groups: dict[str, Words]) -> Words:
    found = [word for end in ends for word in (groups[end[1:]] if end.startswith("@") else (end,))]
    return tuple(dict.fromkeys(found))


def _toml(name: str) -> dict[str, list[dict[str, object]]]:
    return tomllib.loads(files(__package__).joinpath("rows", name).read_text("utf-8"))
