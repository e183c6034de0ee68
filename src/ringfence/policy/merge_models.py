"""What all layers say about models, as one: lists narrow each other, budgets are the smallest that binds, and where
requests go and what they cost is never said by a repository, nor by a person where an administrator has said it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from ringfence.model.host_pattern import HostPattern
from ringfence.policy.choosing import distrust
from ringfence.policy.documents import Document
from ringfence.policy.effective import BUILT_IN, ModelPolicy, ModelPrice, ModelRoute, Origin
from ringfence.policy.model_endpoints import PROVIDERS

_UNLIMITED = 1 << 50
_Row = TypeVar("_Row", ModelPrice, ModelRoute)


class Scalar(Protocol):
    """`Merging.scalar`: the value that applies, where none loosens one that binds it."""

    def __call__(
        self,
        key: str,
        values: Iterable[tuple[Document, tuple[int, Origin] | None]],
        strictness: Callable[[int], int],
        default: int,
        /,
    ) -> tuple[int, Origin]:
        """The value and who wrote it."""
        ...


class Skip(Protocol):
    """Notes that something that was written does not count."""

    def __call__(self, origin: Origin, what: str, why: str, by: Origin | None = None, *, told: bool = True) -> None:
        """Note it."""
        ...


def merged_models(documents: tuple[Document, ...], scalar: Scalar, skip: Skip) -> ModelPolicy:
    """The policy about models."""
    said = [(document, document.model) for document in documents]
    reads = [(document, None if one.read is None else (int(one.read[0]), one.read[1])) for document, one in said]
    read, read_at = scalar("model.read", reads, lambda value: value, 0)
    tokens, tokens_at = scalar(
        "model.budget_tokens", [(document, one.budget_tokens) for document, one in said], lambda most: -most, _UNLIMITED
    )
    cost, cost_at = scalar(
        "model.budget_cost", [(document, one.budget_cost) for document, one in said], lambda most: -most, _UNLIMITED
    )
    # SECURITY: whoever is held to a budget does not say what is counted against it.
    held = any(document.layer.binds and one.budget_cost is not None for document, one in said)
    written = (("read", read_at), ("budget_tokens", tokens_at), ("budget_cost", cost_at))
    return ModelPolicy(
        read=bool(read),
        hosts=tuple(host for _, one in said for host in one.hosts),
        allowed=tuple(one.allowed for _, one in said if one.allowed is not None),
        budget_tokens=None if tokens == _UNLIMITED else tokens,
        budget_cost=None if cost == _UNLIMITED else cost,
        prices=_rows([(document, one.prices) for document, one in said], "a price of models", skip, held=held),
        routes=_rows([(document, one.routes) for document, one in said], "a route of models", skip, held=False),
        origins=tuple((key, at) for key, at in written if at != BUILT_IN),
    )


def _rows(written: list[tuple[Document, tuple[_Row, ...]]], what: str, skip: Skip, *, held: bool) -> tuple[_Row, ...]:
    """Those that count, of the highest layer first. Where an administrator has written any, theirs alone do."""
    binding = next((rows[0].origin for document, rows in written if rows and document.layer.binds), None)
    kept: list[_Row] = []
    for document, rows in reversed(written):
        for row in rows:
            if not document.trusted:
                skip(row.origin, what, distrust(document))
            elif binding is not None and not document.layer.binds:
                skip(row.origin, what, f"{binding.source} has others", binding)
            elif held and not document.layer.binds:
                skip(row.origin, what, "the budget is the administrator's, and so are its prices")
            else:
                kept.append(row)
    return tuple(kept)


def limited_hosts(documents: tuple[Document, ...]) -> list[tuple[str, Origin]]:
    """The hosts of models whose requests have to be seen, because somebody limits or leads them."""
    limiting: list[Origin] = []
    for document in documents:
        said = document.model
        limiting += [said.allowed.origin] if said.allowed is not None else []
        limiting += [one[1] for one in (said.budget_tokens, said.budget_cost) if one is not None]
        limiting += [one.origin for one in said.routes if document.trusted]
    if not limiting:
        return []
    known = [text for one in PROVIDERS for text in one.hosts]
    own = [host.hosts for document in documents for host in document.model.hosts]
    return [(str(HostPattern.parse(text)), limiting[0]) for text in (*known, *own)]
