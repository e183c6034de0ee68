"""An imported policy as TOML: each part below a comment that says where it came from, and valid for our own reader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec
import tomlkit
from tomlkit.items import Array, Table

from ringfence.agents.exchange.allowed import check_allowed
from ringfence.agents.exchange.draft import CommandPart, Draft, HostPart, McpPart, Note, TestPart, Unmapped
from ringfence.model.display import visible
from ringfence.model.situations import PolicyInvalid, RingfenceError
from ringfence.policy.documents import Document, read_document
from ringfence.policy.effective import Access
from ringfence.policy.layers import Layer

FILE = "policy.toml"
_Entry = TypeVar("_Entry", Unmapped, Note)


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """A policy, and everything that a person has to know before using it."""

    policy: str
    """TOML."""
    unmapped: tuple[Unmapped, ...]
    stricter: tuple[Note, ...]
    covered: tuple[Note, ...]


def imported(draft: Draft, *, agent: str) -> Imported:
    """What a draft comes to; `PolicyInvalid` where the agent's own files have faults."""
    if draft.faults:
        raise PolicyInvalid(
            tuple(sorted(draft.faults, key=lambda fault: (fault.file, fault.line, fault.column))),
            remedy=f"correct the file; {agent} would not accept it either",
        )
    check_allowed(draft, document_of(policy_text(draft, agent=agent)))
    text = policy_text(draft, agent=agent)
    document_of(text)
    return Imported(
        policy=text,
        unmapped=_in_order(draft.unmapped),
        stricter=_in_order(draft.stricter),
        covered=_in_order(draft.covered),
    )


def _in_order(entries: Iterable[_Entry]) -> tuple[_Entry, ...]:
    """Each once, by file and line."""
    return tuple(sorted(dict.fromkeys(entries), key=_by_line))


def _by_line(entry: Unmapped | Note) -> tuple[str, int]:
    file, _, line = entry.origin.rpartition(":")
    return file, int(line)


def document_of(text: str) -> Document:
    """The imported policy as our own reader reads it."""
    try:
        return read_document(text.encode(), file=FILE, layer=Layer.USER)
    except PolicyInvalid as invalid:
        raise RingfenceError(
            f"what was imported is not a valid policy: {invalid.diagnostics[0]}",
            remedy="import fewer files at once, and report this with them if it stays",
        ) from invalid


def policy_text(draft: Draft, *, agent: str) -> str:
    """The policy of a draft."""
    document = tomlkit.document()
    document.add(tomlkit.comment(f"Imported from the settings of {agent}. Each comment names the line it comes from."))
    if draft.extends is not None:
        document.add("extends", tomlkit.item(draft.extends[0]).comment(visible(draft.extends[1])))
    _add(document, "filesystem", _filesystem(draft))
    _add(document, "network", _network(draft))
    _add(document, "mcp", _mcp(draft))
    _add(document, "environment", _environment(draft))
    _add(document, "commands", _commands(draft.commands))
    if draft.tests:
        document.add("test", _tables(map(_test, draft.tests)))
    return "".join(map(_plain, tomlkit.dumps(document)))


def _plain(character: str) -> str:
    """A character as it can stand in a file that people read: every text is written with escapes, so one fits."""
    if character == "\n" or character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _add(document: tomlkit.TOMLDocument, name: str, table: Table) -> None:
    if len(table):
        document.add(tomlkit.nl())
        document.add(name, table)


def _filesystem(draft: Draft) -> Table:
    table = tomlkit.table()
    for access in Access:
        lines = [(part.pattern, part.origin) for part in draft.paths if part.access is access]
        if lines:
            table.add(access.value, _array(lines))
    return table


def _network(draft: Draft) -> Table:
    table = tomlkit.table()
    if draft.network_default is not None:
        verdict, origin = draft.network_default
        table.add("default", tomlkit.item(verdict.value).comment(visible(origin)))
    if draft.hosts:
        table.add("rule", _tables(map(_host, draft.hosts)))
    return table


def _mcp(draft: Draft) -> Table:
    table = tomlkit.table()
    if draft.mcp_default is not None:
        verdict, origin = draft.mcp_default
        table.add("default", tomlkit.item(verdict.value).comment(visible(origin)))
    if draft.mcp:
        table.add("rule", _tables(map(_mcp_rule, draft.mcp)))
    return table


def _mcp_rule(part: McpPart) -> Table:
    return _table(part.origin, servers=[part.server], tools=[part.tool], verdict=part.verdict.value)


def _environment(draft: Draft) -> Table:
    table = tomlkit.table()
    if draft.keep:
        table.add("keep", _array(draft.keep))
    if draft.remove:
        table.add("remove", _array(draft.remove))
    if draft.set:
        pairs = tomlkit.table()
        for name, value, origin in draft.set:
            pairs.append(name, tomlkit.item(value).comment(visible(origin)))
        table.add("set", pairs)
    return table


def _commands(parts: Iterable[CommandPart]) -> Table:
    table = tomlkit.table(is_super_table=True)
    rules = [_command(part) for part in parts]
    if rules:
        table.add("rule", _tables(rules))
    return table


def _command(part: CommandPart) -> Table:
    prefix: list[str | list[str]] = [words[0] if len(words) == 1 else list(words) for words in part.prefix]
    return _table(
        part.origin,
        id=part.id,
        prefix=prefix,
        verdict=part.verdict.value,
        reason=part.reason,
        match=list(part.match),
        not_match=list(part.not_match),
    )


def _host(part: HostPart) -> Table:
    return _table(
        part.origin,
        hosts=list(part.hosts),
        methods=list(part.methods),
        verdict=part.verdict.value,
        reason=part.reason,
    )


def _test(part: TestPart) -> Table:
    return _table(part.origin, shell=part.shell, expect=part.expect.value)


def _table(origin: str, **values: object) -> Table:
    table = tomlkit.table()
    table.add(tomlkit.comment(visible(origin)))
    for key, value in values.items():
        if value:
            table.add(key, tomlkit.item(value))
    return table


def _tables(tables: Iterable[Table]) -> tomlkit.items.AoT:
    array = tomlkit.aot()
    for table in tables:
        array.append(table)
    return array


def _array(lines: Iterable[tuple[str, str]]) -> Array:
    array = tomlkit.array()
    for value, origin in lines:
        array.add_line(value, comment=visible(origin))
    array.add_line(indent="")
    return array
