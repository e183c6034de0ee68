"""Requests to models: which hosts those are, where they go, and whether this model may be asked, and this much.

Pure. What was asked and used is read elsewhere; here it is only compared with what the policy says.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache

import msgspec

from ringfence.model.decision import Reason, Verdict
from ringfence.model.host import Host
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import ModelPolicy, ModelPrice, ModelRoute, Origin
from ringfence.policy.judges.finding import reason
from ringfence.policy.model_endpoints import PROVIDERS, Provider
from ringfence.policy.schema import escaped

MILLION = 1_000_000
_ANOTHER = "stop here and say what is left to do; another session has a budget of its own"
NEXT_STEPS = {
    "model.models": "ask for a model that the policy allows",
    "model.budget_tokens": _ANOTHER,
    "model.budget_cost": _ANOTHER,
    "model.price": "ask for a model that has a price in the policy, or have one added",
    "model.unread": "ask a model by one of its usual interfaces",
}
"""What helps, by the rule that denies."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one request, or of all of a session."""

    input_tokens: int = 0
    """All that went in, with those from and for the cache."""
    cached_tokens: int = 0
    """Those of them that the provider had in its cache."""
    cache_write_tokens: int = 0
    """Those of them that it has put there."""
    output_tokens: int = 0
    """All that came out, with those of reasoning."""
    reasoning_tokens: int = 0

    @property
    def total(self) -> int:
        """What counts against a budget."""
        return self.input_tokens + self.output_tokens


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What a session has used so far, and what requests that are not answered yet may still use."""

    tokens: int = 0
    cost: int = 0
    """In millionths."""
    open_requests: int = 0
    open_tokens: int = 0
    open_cost: int = 0


class ModelTable:
    """The hosts of a policy on which models are asked, with their prices and routes."""

    def __init__(self, policy: ModelPolicy) -> None:
        self.policy = policy
        own = [(HostPattern.parse(one.hosts), Provider(name="", hosts=(one.hosts,))) for one in policy.hosts]
        led = [(_exactly(one), Provider(name="", hosts=(one.host,), base=one.base)) for one in policy.routes]
        self._hosts = [*own, *led]
        self._targets = frozenset((one.host, one.port) for one in policy.routes)
        self._routes = [(tuple(map(HostPattern.parse, one.hosts)), one) for one in policy.routes]

    def provider(self, host: Host, port: int) -> Provider | None:
        """Whose models are asked there; nothing where none are."""
        places = (*_known(), *self._hosts)
        return next((one for pattern, one in places if pattern.matches(host, port)), None)

    def saying(self, host: Host, port: int) -> list[Origin]:
        """Where it is written that requests to a host have to be seen because of models."""
        if not self.policy.reads or self.provider(host, port) is None:
            return []
        return list(origins(self.policy))

    def route(self, host: Host, port: int) -> ModelRoute | None:
        """Where requests to models on a host go instead."""
        if (host.name, port) in self._targets or self.provider(host, port) is None:
            return None
        for patterns, one in self._routes:
            if not patterns or any(pattern.matches(host, port) for pattern in patterns):
                return one
        return None

    def led(self, host: Host, port: int, path: str | None) -> tuple[ModelRoute, str | None] | None:
        """Where a request goes instead, and for which path; nothing where it stays, as other business of its host
        does. A path that is not known is taken to be the interface's."""
        provider, route = self.provider(host, port), self.route(host, port)
        if provider is None or route is None:
            return None
        if path is None:
            return route, None
        if not _is_of_interface(provider, path):
            return None
        return route, route.base + path.removeprefix(provider.base)

    def price(self, model: str) -> ModelPrice | None:
        """What a model costs: by the pattern that says most about it; among equals the dearest."""
        name = model.lower()
        fitting = [
            (_said(glob), one.output, one.input, one)
            for one in self.policy.prices
            for glob in one.models
            if fnmatchcase(name, glob)
        ]
        return max(fitting, key=lambda one: one[:3])[3] if fitting else None

    def cost(self, model: str, usage: Usage) -> int:
        """What a use costs, in millionths, rounded up; nothing where no price is known."""
        price = self.price(model)
        if price is None:
            return 0
        plain = max(usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens, 0)
        whole = (
            plain * price.input
            + usage.cached_tokens * price.cached_input
            + usage.cache_write_tokens * price.cache_write
            + usage.output_tokens * price.output
        )
        return -(-whole // MILLION)

    def refusal(self, models: tuple[str, ...], spent: Spent) -> Reason | None:
        """Why these models may not be asked now; nothing where they may."""
        return next(self._refusals(models, spent), None)

    def _refusals(self, models: tuple[str, ...], spent: Spent) -> Iterator[Reason]:
        policy = self.policy
        for listed in policy.allowed:
            for name in models or ("",):
                if not any(fnmatchcase(name.lower(), glob) for glob in listed.models):
                    said = f"model `{escaped(name)}`" if name else "a request that names no model"
                    globs = ", ".join(f"`{glob}`" for glob in listed.models)
                    yield _denied("model.models", listed.origin, f"{said} is not one of {globs}")
        tokens, cost = policy.budget_tokens, policy.budget_cost
        if tokens is not None and spent.tokens + spent.open_tokens >= tokens:
            text = f"the session may use {tokens:,} tokens, and has used {spent.tokens:,}{_open(spent)}"
            yield _denied("model.budget_tokens", _origin(policy, "budget_tokens"), text)
        if cost is None:
            return
        origin = _origin(policy, "budget_cost")
        for name in models or ("",):
            if self.price(name) is None:
                text = f"the session has a budget, and no `[[model.price]]` says what `{escaped(name)}` costs"
                yield _denied("model.price", origin, text)
        if spent.cost + spent.open_cost >= cost:
            text = f"the session may cost {amount(cost)}, and has cost {amount(spent.cost)}{_open(spent)}"
            yield _denied("model.budget_cost", origin, text)


def _is_of_interface(provider: Provider, path: str) -> bool:
    """Whether a path is below the provider's base address, and no other business of its host."""
    if any(fnmatchcase(path, glob) for glob in provider.beside):
        return False
    return not provider.base or path.startswith(f"{provider.base}/")


@cache
def _known() -> tuple[tuple[HostPattern, Provider], ...]:
    return tuple((HostPattern.parse(text), one) for one in PROVIDERS for text in one.hosts)


def _exactly(route: ModelRoute) -> HostPattern:
    return HostPattern(kind=PatternKind.EXACT, name=route.host, port=route.port)


def origins(policy: ModelPolicy) -> Iterator[Origin]:
    """Who wrote something because of which the traffic with models is read."""
    yield from (one.origin for one in policy.hosts if one.named)
    yield from (one.origin for one in policy.allowed)
    yield from (one.origin for one in policy.routes)
    yield from (origin for _, origin in policy.origins)


def amount(millionths: int) -> str:
    """An amount as documents write it, to the ten-thousandth."""
    whole, rest = divmod(-(-millionths // 100), 10_000)
    return f"{whole}.{rest:04d}".removesuffix("00")


def _said(glob: str) -> int:
    return sum(1 for character in glob if character not in "*?[]!")


def _open(spent: Spent) -> str:
    if not spent.open_requests:
        return ""
    many = "1 request that is" if spent.open_requests == 1 else f"{spent.open_requests} requests that are"
    return f"; {many} not answered yet may use the rest"


def _origin(policy: ModelPolicy, key: str) -> Origin:
    return dict(policy.origins)[key]


def _denied(rule: str, origin: Origin, text: str) -> Reason:
    return reason(rule, origin, Verdict.DENY, text)
