"""What another policy would change about models. Where it is not plain that a change only tightens, it loosens."""

from __future__ import annotations

from collections.abc import Iterator

from ringfence.policy.compare.difference import ValueDifference
from ringfence.policy.effective import ModelList, ModelPolicy, ModelPrice
from ringfence.policy.judges.model import amount

_NOT_SET = "not set"


def model_differences(before: ModelPolicy, after: ModelPolicy) -> Iterator[ValueDifference]:
    """Lists, budgets, prices, routes and hosts, as far as they differ."""
    first, second = _shown(before), _shown(after)
    tightens = {
        "read": after.reads or not before.reads,
        "hosts": _hosts(before) <= _hosts(after),
        "models": _narrows(before.allowed, after.allowed),
        "budget_tokens": _smaller(before.budget_tokens, after.budget_tokens),
        "budget_cost": _smaller(before.budget_cost, after.budget_cost),
        # What costs less uses up less of a budget, and another address is another reader.
        "price": before.budget_cost is None,
        "route": False,
    }
    for key, one in first.items():
        if one != second[key]:
            yield ValueDifference(key=f"model.{key}", before=one, after=second[key], loosens=not tightens[key])


def price_text(price: ModelPrice) -> str:
    """A price in one line."""
    parts = (
        ("input", price.input),
        ("cached", price.cached_input),
        ("to the cache", price.cache_write),
        ("output", price.output),
    )
    return f"{' '.join(price.models)}: " + ", ".join(f"{name} {amount(value)}" for name, value in parts)


def _shown(policy: ModelPolicy) -> dict[str, str]:
    return {
        "read": "yes" if policy.reads else "no",
        "hosts": " ".join(sorted(_hosts(policy))) or _NOT_SET,
        "models": " and ".join(sorted({" ".join(one.models) for one in policy.allowed})) or _NOT_SET,
        "budget_tokens": _NOT_SET if policy.budget_tokens is None else str(policy.budget_tokens),
        "budget_cost": _NOT_SET if policy.budget_cost is None else amount(policy.budget_cost),
        "price": "; ".join(map(price_text, policy.prices)) or _NOT_SET,
        "route": "; ".join(f"{' '.join(one.hosts) or 'all'} to {one.url}" for one in policy.routes) or _NOT_SET,
    }


def _hosts(policy: ModelPolicy) -> set[str]:
    return {one.hosts for one in policy.hosts}


def _narrows(before: tuple[ModelList, ...], after: tuple[ModelList, ...]) -> bool:
    """Whether every list of before is held by one that says no more."""
    return all(any(set(other.models) <= set(one.models) for other in after) for one in before)


def _smaller(before: int | None, after: int | None) -> bool:
    return before is None or (after is not None and after <= before)
