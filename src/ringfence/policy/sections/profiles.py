"""`[[commands.profile]]`: a plan of its own for the commands that begin in one way.

A profile matches what is written and nothing else: no option may stand between the words of its `prefix`, and no other
program starts the command. Whether a command that matches may have the plan is decided in `policy.profiles`.
"""

from __future__ import annotations

import re
from enum import StrEnum

from ringfence.model.host_pattern import HostPattern
from ringfence.policy.effective import Access, CommandProfile, PathRule
from ringfence.policy.layers import Layer
from ringfence.policy.paths import check_pattern
from ringfence.policy.schema import Table, escaped
from ringfence.policy.sections.names import take_id

MAX_PROFILES = 100
MAX_POSITIONS = 8

_ABOUT = "A plan of its own for the commands that begin in one way."
_PREFIX = "How the command begins, exactly: for each position a word, or a list of words."
_PATHS = {
    Access.READ: "Paths that it can read beside those of the session.",
    Access.WRITE: "Paths that it can read and write likewise.",
    Access.DENY: "Paths and globs that it can neither read nor write.",
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?")


class Placed(StrEnum):
    """Where a command runs."""

    INSIDE = "inside"
    OUTSIDE = "outside"


def profiles(table: Table, layer: Layer) -> tuple[CommandProfile, ...]:
    """The profiles of `[commands]`."""
    entries = table.take_tables("profile", most=MAX_PROFILES, about=_ABOUT)
    if entries and layer is Layer.REQUIREMENTS:
        text = "`profile` gives a command a plan of its own, and requirements only tighten; they may `forbid` profiles"
        table.fault("profile", text)
    ids: dict[str, str] = {}
    return tuple(one for one in (_profile(entry, ids) for entry in entries) if one is not None)


def _profile(table: Table, ids: dict[str, str]) -> CommandProfile | None:
    prefix = _prefix(table)
    name = take_id(table, ids, default=" ".join(words[0] for words in prefix) or "profile")
    paths = tuple(rule for access in Access for rule in _paths(table, access))
    hosts = _hosts(table)
    only = table.take_flag("only_hosts", about="Whether it reaches `hosts` and nothing else.")
    keep = _variables(table, "keep", "Variables of yours that it gets beside those of every command.")
    remove = _variables(table, "remove", "Variables that it does not get.")
    pairs = table.take_table("set", about="Variables that it gets with a value of their own.")
    values = tuple(pair for pair in pairs.take_pairs() if _is_name(pairs, pair[0]))
    about = "`outside` runs it on the host without a sandbox, which `sandbox.outside` has to permit."
    placed = table.take_choice("placement", Placed, about=about)
    reason = table.take_text("reason", "", about="Why, for people.")
    complete = table.require("prefix")
    table.finish()
    if not complete or not prefix:
        return None
    found = CommandProfile(
        id=name,
        prefix=prefix,
        paths=paths,
        hosts=hosts,
        only_hosts=bool(only),
        keep=keep,
        set=values,
        remove=remove,
        outside=placed is Placed.OUTSIDE,
        reason=reason or "",
        origin=table.faults.origin(table.path),
    )
    if found.outside and (paths or hosts or only):
        table.fault(
            "placement", "`outside` runs without a sandbox, so `read`, `write`, `deny` and `hosts` hold nothing"
        )
    elif not (found.widens or paths or only or remove):
        table.faults.add(table.path, "the profile changes nothing: give it paths, `hosts`, variables or a `placement`")
    return found


def _prefix(table: Table) -> tuple[tuple[str, ...], ...]:
    positions: list[tuple[str, ...]] = []
    for path, value in table.take_list("prefix", element="word or words", about=_PREFIX):
        written = value if isinstance(value, list) else [value]
        words = [word for word in written if isinstance(word, str) and word]
        if not words or len(words) < len(written):
            table.faults.add(path, "each position of `prefix` is a word or a list of words")
        elif any(word.startswith("-") for word in words) or (not positions and any("/" in word for word in words)):
            table.faults.add(path, "`prefix` names a program and the words behind it, without options or folders")
        else:
            positions.append(tuple(words))
    if table.has("prefix") and not positions:
        table.fault("prefix", "`prefix` is empty; its first position names the program")
    if len(positions) > MAX_POSITIONS:
        table.fault("prefix", f"`prefix` has {len(positions)} positions; the limit is {MAX_POSITIONS}")
    return tuple(positions)


def _paths(table: Table, access: Access) -> list[PathRule]:
    found = []
    for path, pattern in table.take_texts(access.value, about=_PATHS[access]):
        fault = check_pattern(pattern)
        if fault:
            table.faults.add(path, fault)
        else:
            found.append(PathRule(pattern=pattern, access=access, origin=table.faults.origin(path)))
    return found


def _hosts(table: Table) -> tuple[str, ...]:
    found = []
    for path, text in table.take_texts("hosts", about="Destinations that it reaches without a question."):
        try:
            found.append(str(HostPattern.parse(text)))
        except ValueError as error:
            table.faults.add(path, str(error))
    return tuple(found)


def _variables(table: Table, key: str, about: str) -> tuple[str, ...]:
    found = []
    for path, name in table.take_texts(key, about=about):
        if _VARIABLE.fullmatch(name):
            found.append(name)
        else:
            table.faults.add(
                path, f"`{escaped(name)}` is not the name of a variable, nor its beginning followed by `*`"
            )
    return tuple(found)


def _is_name(table: Table, name: str) -> bool:
    if _VARIABLE.fullmatch(name) and not name.endswith("*"):
        return True
    table.fault(name, f"`{escaped(name)}` is not the name of a variable")
    return False
