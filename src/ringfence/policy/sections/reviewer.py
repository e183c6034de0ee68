"""`[approvals.reviewer]`: who reviews what is not worth a person's time, and how far they may go.

SECURITY: a repository names no reviewer, trusted or not: it would choose who judges it, and where the person's words
are sent.
"""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

import msgspec

from ringfence.policy.effective import Origin, ReviewerKind, ReviewerRule
from ringfence.policy.layers import Layer
from ringfence.policy.schema import Table

MOST_SECONDS = 90
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Ceiling(StrEnum):
    """The greatest risk that a reviewer may allow. Critical is nobody's but a person's."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ReviewerSection(msgspec.Struct, frozen=True, kw_only=True):
    """What one document says about the reviewer."""

    rule: ReviewerRule | None = None
    ceiling: tuple[Ceiling, Origin] | None = None
    audit_percent: tuple[int, Origin] | None = None


def reviewer(table: Table, layer: Layer) -> ReviewerSection:
    """Read `[approvals.reviewer]`."""
    origin = table.faults.origin(table.path)
    about = "The interface of a model, a program, or the table of features alone."
    kind = table.take_choice("kind", ReviewerKind, about=about)
    url = table.take_text("url", "", about="The base address of the model's service.") or ""
    model = table.take_text("model", "", about="The model.") or ""
    about = "The variable of the person's own environment that holds the key. It never comes inside."
    variable = table.take_text("key_variable", "", about=about) or ""
    argv = tuple(text for _, text in table.take_texts("argv", about="The program and its arguments, run outside."))
    about = "Rules of your organisation, in words for the reviewer."
    instructions = table.take_text("instructions", "", about=about) or ""
    seconds = table.take_integer("seconds", least=1, most=MOST_SECONDS, about="For all attempts together.")
    about = "The greatest risk that a reviewer may allow without a person."
    ceiling = table.take_choice("ceiling", Ceiling, about=about)
    about = "Of what it allows, how much a person looks at afterwards."
    audit = table.take_integer("audit_percent", least=0, most=100, about=about)
    names = ("kind", "url", "model", "key_variable", "argv", "instructions", "seconds")
    named = [name for name in names if table.has(name)]
    if layer is Layer.REQUIREMENTS and named:
        table.fault(named[0], "requirements only tighten: `ceiling` and `audit_percent`; the rest is for `policy.toml`")
    if kind is not None:
        _check(table, kind, url, argv)
    elif named and layer is not Layer.REQUIREMENTS:
        table.fault(named[0], "a reviewer has a `kind`")
    table.finish()
    rule = None
    if kind is not None:
        rule = ReviewerRule(
            kind=kind,
            url=url,
            model=model,
            key_variable=variable,
            argv=argv,
            instructions=instructions,
            seconds=seconds or MOST_SECONDS,
            origin=origin,
        )
    return ReviewerSection(
        rule=rule,
        ceiling=None if ceiling is None else (ceiling, table.faults.origin(table.at("ceiling"))),
        audit_percent=None if audit is None else (audit, table.faults.origin(table.at("audit_percent"))),
    )


def _check(table: Table, kind: ReviewerKind, url: str, argv: tuple[str, ...]) -> None:
    match kind:
        case ReviewerKind.COMMAND:
            if not argv or not argv[0].startswith("/"):
                table.fault("argv", "`argv` begins with the absolute path of the program")
        case ReviewerKind.FEATURES:
            pass
        case _:
            parts = urlsplit(url)
            local = parts.scheme == "http" and parts.hostname in _LOOPBACK
            if not parts.hostname or (parts.scheme != "https" and not local):
                table.fault("url", "`url` is an `https://` address, or `http://` on this machine's own loopback")
            if not table.has("model"):
                table.fault("model", "`model` names the model that is asked")
