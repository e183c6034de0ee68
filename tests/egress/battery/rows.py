"""Reads the rows of the battery."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One attempt to get something out."""

    id: str
    """Part of the mark by which the attempt's data is recognised, so it is letters, digits and hyphens."""
    title: str
    words: tuple[str, ...]
    """A function of `attempts.py` and its words; those in braces are filled in."""
    shows: str = "elsewhere"
    """How one sees that it worked: its mark arrived `elsewhere` than where the policy allows, or `anywhere`, or it
    `succeeds` by its own word, where only the attacker can see it."""
    ends: tuple[str, ...] = ()
    """How it may end inside; as its group says where it is empty."""
    may_lack: str = ""
    """Why a machine can make this impossible by itself. Empty: without the gateway it must work everywhere."""


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows that end in the same ways."""

    title: str
    ends: tuple[str, ...]
    rows: tuple[Row, ...]


@cache
def rows() -> tuple[Row, ...]:
    """All rows, each with the ways in which it may end."""
    data = tomllib.loads(Path(__file__).with_name("rows.toml").read_text("utf-8"))
    shared = msgspec.convert(data["endings"], dict[str, tuple[str, ...]])
    groups = msgspec.convert(data["group"], tuple[Group, ...])
    return tuple(
        msgspec.structs.replace(row, ends=_spelt_out(row.ends or group.ends, shared))
        for group in groups
        for row in group.rows
    )


def _spelt_out(ends: tuple[str, ...], shared: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(word for end in ends for word in (shared[end[1:]] if end.startswith("@") else (end,)))
