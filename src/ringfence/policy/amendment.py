"""A policy's text with proposals written into it, and the difference as a unified diff. It writes no file.

A proposal that needs a decision stands in it as a comment: applying the diff as it is opens nothing of that kind.
Whatever comes from a record is escaped, so that no command of an agent can end a comment or a text.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Array, Table

from ringfence.model.display import shortened, visible
from ringfence.model.wording import action_text
from ringfence.policy.effective import Access, CommandRule, HostRule, PathRule
from ringfence.policy.learn import Evidence, Proposal

_SHOWN = 3
"""Times, and examples, that a comment lists."""
_WIDTH = 150

Active = Callable[[Proposal], bool]
"""Whether a proposal is written to count, and not as a comment."""


class NotAmendable(ValueError):
    """The text cannot be added to as it is; the message says why."""


def decided(proposal: Proposal) -> bool:
    """What counts without a further decision."""
    return not proposal.decide


def amended(text: str, proposals: Sequence[Proposal], *, title: str, active: Active = decided) -> str:
    """The text of a policy with the proposals in it. `title` says where they come from."""
    if not proposals:
        return text
    paths = [one for one in proposals if isinstance(one.addition, PathRule)]
    rules = [one for one in proposals if not isinstance(one.addition, PathRule)]
    whole = _with_paths(text, paths, title, active) if paths else text
    if rules:
        blocks = "\n".join(_block(one, active=active(one)) for one in rules)
        whole = f"{_ended(whole)}# {visible(title)}\n\n{blocks}"
    return whole


def toml_of(proposal: Proposal) -> str:
    """One proposal as TOML, as it stands in the text."""
    if isinstance(proposal.addition, PathRule):
        return f"[filesystem]\n{proposal.addition.access.value} = [{_quoted(proposal.addition.pattern)}]\n"
    return "\n".join(_lines(proposal.addition)) + "\n"


def unified(before: str, after: str, *, file: str, exists: bool) -> str:
    """The difference, as `patch` reads it."""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        fromfile=visible(file) if exists else "/dev/null",
        tofile=visible(file),
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _ended(text: str) -> str:
    """A text behind which something new can begin."""
    if not text.strip():
        return text
    return f"{text}\n" if text.endswith("\n") else f"{text}\n\n"


def _block(proposal: Proposal, *, active: bool) -> str:
    lines = [f"# {line}" for line in _comments(proposal)]
    mark = "" if active else "# "
    return "\n".join([*lines, *(f"{mark}{line}" for line in _lines(proposal.addition))]) + "\n"


def _comments(proposal: Proposal) -> list[str]:
    lines = [f"DECIDE: {visible(why)}" for why in proposal.decide]
    if proposal.decide:
        lines.append("It counts once you take the `# ` from the lines of the rule.")
    lines += [_seen(one) for one in proposal.evidence[:_SHOWN]]
    more = len(proposal.evidence) - _SHOWN
    lines += [f"and {more:,} times more"] if more > 0 else []
    return lines + [f"also allows: {_shown(one)}" for one in map(action_text, proposal.also[:_SHOWN])]


def _seen(one: Evidence) -> str:
    moment = datetime.fromtimestamp(one.time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{moment} event {visible(one.event)}: {_shown(action_text(one.action))} ({visible(one.how)})"


def _shown(text: str) -> str:
    return shortened(text, _WIDTH)


def _lines(addition: HostRule | PathRule | CommandRule) -> list[str]:
    name = "network" if isinstance(addition, HostRule) else "commands"
    lines = [f"[[{name}.rule]]"]
    for field in msgspec.structs.fields(addition):
        value = getattr(addition, field.name)
        if field.name in {"origin", "opens"} or value in ((), "", None) or value == field.default:
            continue
        if field.name == "prefix":
            value = _positions(value)
        elif field.name == "unless":
            lines += ["unless = [", *(f"  {_value(_positions(one))}," for one in value), "]"]
            continue
        lines.append(f"{field.name} = {_value(value)}")
    return lines


def _positions(prefix: Sequence[Sequence[str]]) -> list[object]:
    return [words[0] if len(words) == 1 else list(words) for words in prefix]


def _value(value: object) -> str:
    match value:
        case Enum():
            return _value(value.value)
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            return str(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _with_paths(text: str, proposals: Sequence[Proposal], title: str, active: Active) -> str:
    by_access = [
        (access, [one for one in proposals if isinstance(one.addition, PathRule) and one.addition.access is access])
        for access in (Access.READ, Access.WRITE)
    ]
    wanted = [(access, found) for access, found in by_access if found]
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise NotAmendable(f"it is not valid TOML: {error}") from error
    table = document.get("filesystem")
    if table is None:
        lists = "\n".join(_new_list(access, found, active) for access, found in wanted)
        return f"{_ended(text)}# {visible(title)}\n[filesystem]\n{lists}"
    if not isinstance(table, Table):
        raise NotAmendable("`filesystem` is not written as a table `[filesystem]`")
    for access, found in wanted:
        _extend(table, access, found, title, active)
    return tomlkit.dumps(document)


def _new_list(access: Access, proposals: Iterable[Proposal], active: Active) -> str:
    lines = [f"  {line}" for one in proposals for line in _entry(one, active=active(one))]
    return "\n".join([f"{access.value} = [", *lines, "]"]) + "\n"


def _entry(proposal: Proposal, *, active: bool) -> list[str]:
    assert isinstance(proposal.addition, PathRule)
    line = f"{_quoted(proposal.addition.pattern)},"
    return [*(f"# {comment}" for comment in _comments(proposal)), line if active else f"# {line}"]


def _extend(table: Table, access: Access, proposals: Iterable[Proposal], title: str, active: Active) -> None:
    array = table.get(access.value)
    if array is None:
        array = tomlkit.array().multiline(multiline=True)
        table.append(access.value, array)
    if not isinstance(array, Array):
        raise NotAmendable(f"`filesystem.{access.value}` is not a list")
    array.add_line(comment=visible(title), indent="  ", add_comma=False)
    for one in proposals:
        for comment in _comments(one):
            array.add_line(comment=comment, indent="  ", add_comma=False)
        assert isinstance(one.addition, PathRule)
        if active(one):
            array.add_line(one.addition.pattern, indent="  ")
        else:
            array.add_line(comment=f"{_quoted(one.addition.pattern)},", indent="  ", add_comma=False)


__all__ = ["NotAmendable", "amended", "decided", "toml_of", "unified"]
