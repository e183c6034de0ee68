"""Which destinations answer DNS questions over HTTPS or TLS: a list of the public ones, and the port for the latter.

The list is never whole, and need not be: what it adds is that `*` and `**.example.com` do not open these by accident.
"""

from __future__ import annotations

import os
from functools import cache

from ringfence.model.host import Host, parse_host

DNS_OVER_TLS = 853

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "public_resolvers.txt")


def is_public_resolver(host: Host) -> bool:
    """Whether a host is one of the list, or below one."""
    known = _known()
    if host.address is not None:
        return host.name in known
    name, dot = host.name, "."
    while dot:
        if name in known:
            return True
        _, dot, name = name.partition(".")
    return False


@cache
def resolver_addresses() -> frozenset[str]:
    """The addresses of the list."""
    return frozenset(name for name in _known() if parse_host(name).address is not None)


@cache
def _known() -> frozenset[str]:
    with open(_FILE, encoding="ascii") as stream:
        lines = (line.strip() for line in stream)
        return frozenset(parse_host(line).name for line in lines if line and not line.startswith("#"))
