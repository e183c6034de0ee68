"""Where data can go, and what may leave in requests."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.model.decision import Verdict
from ringfence.policy.effective.origins import Origin
from ringfence.policy.layers import Enforcement


class HostRule(msgspec.Struct, frozen=True, kw_only=True):
    """Destinations and what may be done with them."""

    id: str
    hosts: tuple[str, ...]
    """Normalised: exact, `*.x` (subdomains), `**.x` (apex too), each with an optional `:port`; address literals
    and CIDR ranges, which declare that private addresses are meant."""
    methods: tuple[str, ...] = ()
    """Upper case; empty means any."""
    paths: tuple[str, ...] = ()
    """Globs; empty means any."""
    operations: tuple[str, ...] = ()
    """What requests do, as the gateway reads it; empty means anything."""
    query: tuple[tuple[str, str], ...] = ()
    """Keys of the query, each with a glob that its value has to match."""
    headers: tuple[tuple[str, str], ...] = ()
    """Header fields in lower case, each with a glob that its value has to match."""
    verdict: Verdict
    private: bool = False
    """Whether a name may lead to an address of one's own network, whose range nobody has to know."""
    protocol: str = ""
    """What is spoken there, where it is not HTTP or TLS; every host of such a rule has a port."""
    host_keys: tuple[str, ...] = ()
    """For SSH: the keys that the server may show, whole or as `SHA256:...`; `*` for any."""
    reason: str = ""
    origin: Origin
    opens: bool = True
    """False where its layer only tightens: then it never stands in for a stricter default."""
    enforcement: Enforcement | None = None
    """How strictly it is meant; as its document is, where it says nothing."""

    @property
    def looks_at_requests(self) -> bool:
        """Whether more than the destination has to be known to say whether it speaks."""
        return bool(self.methods or self.paths or self.operations or self.query or self.headers)


class Inspect(msgspec.Struct, frozen=True, kw_only=True):
    """Destinations whose TLS the gateway ends."""

    hosts: str
    """A pattern, normalised like those of a host rule."""
    origin: Origin


class NetworkPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where data can go."""

    default: Verdict
    """For destinations that no rule names."""
    default_origin: Origin
    rules: tuple[HostRule, ...] = ()
    host_ports: tuple[int, ...] = ()
    """Ports of the host's loopback that appear on the sandbox's own loopback."""
    pass_through: tuple[str, ...] = ()
    """Patterns of hosts whose connections are never looked into."""
    floor: Verdict | None = None
    """What requirements say at least about destinations that no rule of the administrator allows."""
    floor_origin: Origin | None = None
    inspect: tuple[Inspect, ...] = ()
    """Destinations that are inspected, beside those whose rules look at requests."""
    http2: tuple[Inspect, ...] = ()
    """Destinations that are inspected, and whose clients may speak HTTP/2."""
    limited: tuple[Inspect, ...] = ()
    """Destinations whose requests only read, unless a rule names what else is allowed."""


class OnSecret(StrEnum):
    """What happens where a request carries a secret."""

    OFF = "off"
    """Nobody looks."""
    RECORD = "record"
    ASK = "ask"
    DENY = "deny"


class ContentBudget(msgspec.Struct, frozen=True, kw_only=True):
    """How much may be sent to some destinations in one session."""

    hosts: tuple[str, ...]
    """Patterns, normalised like those of a host rule."""
    left_out: tuple[str, ...] = ()
    """Destinations that are not counted although they are among those."""
    megabytes: int
    each: bool = False
    """Whether each destination has the whole of it."""
    over: Verdict = Verdict.DENY
    """`ask` or `deny`: what happens with what goes beyond it."""
    origin: Origin


class ContentPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What may leave in requests."""

    on_secret: OnSecret = OnSecret.OFF
    """Where a request carries what has the form of a secret."""
    canaries: bool = False
    """Whether made-up credentials lie inside, and a request that carries one is denied."""
    unreadable: Verdict = Verdict.ALLOW
    """Where a request cannot be looked into as a whole."""
    record_only: tuple[str, ...] = ()
    """Patterns of destinations where findings are recorded and nothing is stopped."""
    budgets: tuple[ContentBudget, ...] = ()

    @property
    def looks(self) -> bool:
        """Whether requests are looked into for their content."""
        return self.canaries or self.on_secret is not OnSecret.OFF
