"""The small internet that the battery tries to reach, and what of it the policy allows: `GOOD`, on its usual ports.

What arrives anywhere else, or for anybody else, got out.
"""

from __future__ import annotations

from ringfence.verify.arena import LISTENERS, WEB4, WEB6, Listener

GOOD = "9.9.9.10"
NAT64, SIX_TO_FOUR, SITE = "64:ff9b::101:101", "2002:101:101::1", "fec0::1"
POLICY = """\
[[network.rule]]
hosts = ["good.allowed.test:80", "good.allowed.test:443", "**.allowed.test:80", "**.allowed.test:443"]
verdict = "allow"
reason = "needed"
"""
ADDRESSES = (GOOD, NAT64, SIX_TO_FOUR, SITE)

_EVIL_PORTS = (21, 22, 25, 53, 853, 8080, 9418)
_OWN: dict[str, Listener] = {
    "good": ("tcp", GOOD, 80),
    "good-tls": ("tcp", GOOD, 443),
    "good-ssh": ("tcp", GOOD, 22),
    "good-odd-port": ("tcp", GOOD, 8443),
    "good-udp": ("udp", GOOD, 443),
    "time": ("udp", WEB4, 123),
    "nat64": ("tcp", NAT64, 443),
    "six-to-four": ("tcp", SIX_TO_FOUR, 443),
    "site": ("tcp", SITE, 443),
    "dns6": ("udp", WEB6, 53),
    "abstract": ("abstract", "ringfence-battery", 0),
}
EVERYTHING = {**_OWN, **{f"web-{port}": ("tcp", WEB4, port) for port in _EVIL_PORTS}}
PERMITTED = frozenset({"good", "good-tls"})

assert not set(EVERYTHING) & set(LISTENERS)
