"""The egress gateway: sans-IO readers of HTTP, SOCKS, DNS and TLS hellos, and the engine that carries the bytes.

Nothing here decides about policy; see `authorization` for what the gateway asks.
"""

from ringfence.egress.authorization import Authorization, Authorize, Cancel
from ringfence.egress.gateway import Gateway
from ringfence.egress.inspection import Inspection
from ringfence.egress.limits import Limits
from ringfence.egress.resolver import Resolution, Resolver, SystemResolver

__all__ = [
    "Authorization",
    "Authorize",
    "Cancel",
    "Gateway",
    "Inspection",
    "Limits",
    "Resolution",
    "Resolver",
    "SystemResolver",
]
