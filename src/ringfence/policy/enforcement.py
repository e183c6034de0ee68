"""What of a document holds, what may be overridden, and what only observes.

Pure. Only rules about commands, destinations and MCP tools have a level of their own; everything else has that of its
document. A path is mounted or it is not, so a soft one holds like a hard one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec

from ringfence.policy.documents import Document
from ringfence.policy.effective import CommandRule, HostRule, McpRule, Origin
from ringfence.policy.layers import Enforcement

_Rule = CommandRule | HostRule | McpRule
_R = TypeVar("_R", CommandRule, HostRule, McpRule)


def observes(document: Document) -> bool:
    """Whether anything in a document only observes."""
    return any(_level(document, rule) is Enforcement.OBSERVE for rule in _rules(document)) or (
        document.enforcement is Enforcement.OBSERVE and document != _bare(document)
    )


def holding(document: Document) -> Document:
    """The document without what only observes."""
    if not observes(document):
        return document
    base = _bare(document) if document.enforcement is Enforcement.OBSERVE else document
    network = msgspec.structs.replace(base.network, rules=tuple(_held(document, document.network.rules)))
    mcp = msgspec.structs.replace(base.mcp, rules=tuple(_held(document, document.mcp.rules)))
    return msgspec.structs.replace(
        base, command_rules=tuple(_held(document, document.command_rules)), network=network, mcp=mcp
    )


def soft_origins(documents: Iterable[Document]) -> tuple[Origin, ...]:
    """Where the rules and defaults stand that may be overridden."""
    soft: dict[Origin, None] = {}
    firm: set[Origin] = set()
    for document in documents:
        levels = [(rule.origin, _level(document, rule)) for rule in _rules(document)]
        defaults = (document.network.default, document.mcp.default, document.mcp.changed)
        levels += [(written[1], document.enforcement) for written in defaults if written is not None]
        for origin, level in levels:
            if level is Enforcement.SOFT:
                soft[origin] = None
            else:
                firm.add(origin)
        firm.update(rule.origin for rule in document.filesystem)
    # SECURITY: of two rules that stand on one line, the firmer one speaks for both.
    return tuple(origin for origin in soft if origin not in firm)


def _rules(document: Document) -> tuple[_Rule, ...]:
    return (*document.command_rules, *document.network.rules, *document.mcp.rules)


def _level(document: Document, rule: _Rule) -> Enforcement:
    return rule.enforcement or document.enforcement


def _held(document: Document, rules: Iterable[_R]) -> list[_R]:
    return [rule for rule in rules if _level(document, rule) is not Enforcement.OBSERVE]


def _bare(document: Document) -> Document:
    """A document that says nothing but what it starts from and what is expected of the whole."""
    return Document(
        layer=document.layer,
        file=document.file,
        enforcement=document.enforcement,
        extends=document.extends,
        tests=document.tests,
        condition=document.condition,
        place=document.place,
        trusted=document.trusted,
        distrust=document.distrust,
    )
