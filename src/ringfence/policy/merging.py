"""The state of a merge: the layers, the rule by which the value of the highest one counts unless it loosens one that
binds it, and the notes about what does not count and why. What each part of a policy makes of it is in `merge_*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from ringfence.policy.choosing import displaced, distrust
from ringfence.policy.conditions import Situation
from ringfence.policy.documents import Document
from ringfence.policy.effective import BUILT_IN, Inactive, Origin
from ringfence.policy.layers import Layer

_Value = TypeVar("_Value")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the meaning of paths and of sections depends on."""

    home: str
    workspace: str
    situation: Situation = Situation()


class Merging:
    """What has counted so far, what has not, and who wrote each single value."""

    def __init__(self, documents: tuple[Document, ...], facts: Facts) -> None:
        self.documents = documents
        self.facts = facts
        self.inactive: list[Inactive] = []
        self.origins: dict[str, Origin] = {}

    def skip(self, origin: Origin, what: str, why: str, by: Origin | None = None, *, told: bool = True) -> None:
        """Note that something that was written does not count."""
        self.inactive.append(Inactive(origin=origin, what=what, why=why, by=by, told=told))

    def scalar(
        self,
        key: str,
        values: Iterable[tuple[Document, tuple[_Value, Origin] | None]],
        strictness: Callable[[_Value], int],
        default: _Value,
    ) -> tuple[_Value, Origin]:
        """The value that applies, where higher layers win and none loosens one that binds it."""
        current, origin = default, BUILT_IN
        floor: tuple[_Value, Origin] | None = None
        for document, written in values:
            if written is None:
                continue
            value, at = written
            what = f"`{key} = {current}`"
            if document.layer is Layer.REQUIREMENTS:
                if strictness(value) > strictness(current):
                    self.skip(origin, what, f"{at.source} requires `{value}`", at)
                    current, origin = value, at
                continue
            limit = floor if document.trusted else (current, origin)
            if limit is not None and not document.layer.binds and strictness(value) < strictness(limit[0]):
                why = f"{limit[1].source} says `{limit[0]}`" if document.trusted else distrust(document)
                self.skip(at, f"`{key} = {value}`", why, limit[1])
                continue
            if value != current:
                self.inactive += displaced(what, origin, f"{at.source} says `{value}`", at)
            current, origin = value, at
            if document.layer.binds:
                floor = (value, at)
        self.origins[key] = origin
        return current, origin
