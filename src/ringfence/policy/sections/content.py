"""`[content]`: what may leave in requests: secrets, canaries, what cannot be looked into, and how many bytes."""

from __future__ import annotations

import msgspec

from ringfence.model.decision import Verdict
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.effective import ContentBudget, OnSecret, Origin
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table

MAX_BUDGETS = 1_000
MAX_MEGABYTES = 1_000_000


class ContentSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about what leaves."""

    on_secret: tuple[OnSecret, Origin] | None = None
    canaries: tuple[bool, Origin] | None = None
    unreadable: tuple[Verdict, Origin] | None = None
    record_only: tuple[tuple[str, Origin], ...] | None = None
    """An empty list is one: then findings count everywhere."""
    budgets: tuple[ContentBudget, ...] = ()


def section(table: Table, layer: Layer) -> ContentSection:
    """Read `[content]`."""
    about = "What happens where a request carries what has the form of a secret: `off`, `record`, `ask` or `deny`."
    on_secret = table.take_choice("on_secret", OnSecret, about=about)
    about = "Whether made-up credentials lie inside, which nobody needs: a request that carries one is denied."
    canaries = table.take_flag("canaries", about=about)
    about = "What happens with a request that cannot be looked into as a whole: too long, packed, or encrypted."
    unreadable = table.take_choice("unreadable", Verdict, about=about)
    if layer is Layer.REQUIREMENTS and table.has("record_only") and not table.is_empty("record_only"):
        text = "`record_only` lets secrets go somewhere, and requirements only tighten; write it in `policy.toml`"
        table.fault("record_only", text)
    about = "Destinations where findings are recorded and nothing is stopped: those of the model that reads it all."
    record_only = _hosts(table, "record_only", about=about)
    about = "How much may be sent to some destinations; every one holds."
    budgets = [_budget(one) for one in table.take_tables("budget", most=MAX_BUDGETS, about=about)]
    table.finish()

    def written_at(key: str) -> Origin:
        return table.faults.origin(table.at(key))

    return ContentSection(
        on_secret=None if on_secret is None else (on_secret, written_at("on_secret")),
        canaries=None if canaries is None else (canaries, written_at("canaries")),
        unreadable=None if unreadable is None else (unreadable, written_at("unreadable")),
        record_only=record_only if table.has("record_only") else None,
        budgets=tuple(one for one in budgets if one is not None),
    )


def _budget(table: Table) -> ContentBudget | None:
    hosts = tuple(pattern for pattern, _ in _hosts(table, "hosts", about="Destinations that are counted."))
    about = "Destinations that are not counted although `hosts` names them."
    left_out = tuple(pattern for pattern, _ in _hosts(table, "except", about=about))
    about = "Megabytes (of 1,000,000 bytes) that may be sent in one session."
    megabytes = table.take_integer("megabytes", least=1, most=MAX_MEGABYTES, about=about)
    about = "Whether each destination may get that much; all of them together where it is false."
    each = table.take_flag("each", about=about)
    about = "What happens with what goes beyond it; `deny` where it is missing. A yes allows as much again."
    over = table.take_choice("over", Verdict, among=(Verdict.ASK, Verdict.DENY), about=about)
    complete = table.require("hosts", "megabytes")
    if table.is_empty("hosts"):
        table.fault("hosts", "`hosts` is empty; name at least one host")
    table.finish()
    if not complete or not hosts or megabytes is None:
        return None
    return ContentBudget(
        hosts=hosts,
        left_out=left_out,
        megabytes=megabytes,
        each=bool(each),
        over=over or Verdict.DENY,
        origin=table.faults.origin(table.path),
    )


def _hosts(table: Table, key: str, *, about: str) -> tuple[tuple[str, Origin], ...]:
    found = []
    for path, text in table.take_texts(key, about=about):
        try:
            found.append((str(HostPattern.parse(text)), table.faults.origin(path)))
        except ValueError as error:
            table.faults.add(path, str(error))
    return tuple(found)
