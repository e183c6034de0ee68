"""The kinds of secrets that are known by their form, as `patterns.toml` has them."""

from __future__ import annotations

import os
import tomllib
from functools import cache

import msgspec

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "patterns.toml")


class Pattern(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of secret."""

    id: str
    about: str
    """What it is, in words that stand behind `it carries`."""
    pattern: str
    """Its first group is the secret."""
    keywords: tuple[str, ...]
    """One of these is in every match; capital letters count as small ones where they do in the pattern."""
    entropy: float
    """Bits per character that the secret has at least."""
    home: tuple[str, ...] = ()
    """Hosts that take it in the fields that carry credentials; `*` where it has no host of its own."""
    hit: tuple[tuple[str, ...], ...]
    """Texts in pieces, each of which has one."""
    miss: tuple[tuple[str, ...], ...]
    """Texts in pieces, none of which has one."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pattern: tuple[Pattern, ...]


@cache
def patterns() -> tuple[Pattern, ...]:
    """Every kind, the particular ones before those that could mean anything."""
    with open(FILE, "rb") as stream:
        return msgspec.convert(tomllib.load(stream), type=_File).pattern
