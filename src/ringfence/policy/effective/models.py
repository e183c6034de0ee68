"""What may be asked of models, where requests to them go, and what they cost."""

from __future__ import annotations

import msgspec

from ringfence.policy.effective.origins import Origin


class ModelHost(msgspec.Struct, frozen=True, kw_only=True):
    """A host on which models are asked, beside those that are known."""

    hosts: str
    """One host pattern."""
    named: bool = True
    """Whether a policy names it; the agent's own address of its model does not switch reading on."""
    origin: Origin


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Models that may be asked."""

    models: tuple[str, ...]
    """Globs over the names of models, in lower case."""
    origin: Origin


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens of some models cost, in millionths of the currency that the policy counts in."""

    models: tuple[str, ...]
    input: int
    cached_input: int
    cache_write: int
    output: int
    origin: Origin


class ModelRoute(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to models on some hosts go to another address instead."""

    hosts: tuple[str, ...]
    """Host patterns; empty for every host on which models are asked."""
    host: str
    port: int
    secure: bool = True
    """Over TLS; only to this machine's own loopback it need not be."""
    base: str = ""
    """The path before those of the interface, without a slash at its end."""
    origin: Origin

    @property
    def url(self) -> str:
        """The address as documents write it."""
        scheme, usual = ("https", 443) if self.secure else ("http", 80)
        return f"{scheme}://{self.host}{'' if self.port == usual else f':{self.port}'}{self.base}"


class ModelPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of the traffic with models, and what may be asked of them."""

    read: bool = False
    hosts: tuple[ModelHost, ...] = ()
    allowed: tuple[ModelList, ...] = ()
    """Lists that all have to hold the model; none means any."""
    budget_tokens: int | None = None
    budget_cost: int | None = None
    """In millionths of the currency of the prices."""
    prices: tuple[ModelPrice, ...] = ()
    routes: tuple[ModelRoute, ...] = ()
    origins: tuple[tuple[str, Origin], ...] = ()
    """Who wrote `read`, `budget_tokens` and `budget_cost`, where somebody did."""

    @property
    def limits(self) -> bool:
        """Whether a request can be denied because of what it asks of a model."""
        return bool(self.allowed) or self.budget_tokens is not None or self.budget_cost is not None

    @property
    def reads(self) -> bool:
        """Whether requests to models have to be seen."""
        return self.read or self.limits or bool(self.routes) or any(one.named for one in self.hosts)

    @property
    def unpriced(self) -> str:
        """What there is to say about a budget of money that nothing can be counted against; empty where there is
        none."""
        if self.budget_cost is None or self.prices:
            return ""
        return (
            f"`model.budget_cost` ({dict(self.origins)['budget_cost'].source}) denies every request to a model: no "
            "`[[model.price]]` that counts says what one costs"
        )
