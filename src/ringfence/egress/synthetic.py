"""Synthetic addresses: each name that is asked for gets one, and the gateway knows by it which name was meant.

No name ever leaves the machine by DNS. A slot follows from the name itself and is never given to another, so a stale
cached address means the same host or none.
"""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

RANGE4 = ip_network("198.18.0.0/15")
RANGE6 = ip_network("fd72:696e:6766:656e::/64")
_SLOTS = 1 << 17
_FIRST4 = int(RANGE4.network_address)
_FIRST6 = int(RANGE6.network_address)


class SyntheticAddresses:
    """The names of one session and their addresses."""

    def __init__(self, limit: int) -> None:
        self._limit = min(limit, _SLOTS // 2)
        self._slots: dict[str, int] = {}
        self._names: dict[int, str] = {}

    def of(self, name: str) -> tuple[IPv4Address, IPv6Address] | None:
        """The addresses that stand for a normalised name; None when the session has asked for too many names."""
        slot = self._slots.get(name)
        if slot is None:
            if len(self._slots) >= self._limit:
                return None
            slot = self._slots[name] = self._free_slot(name)
            self._names[slot] = name
        return IPv4Address(_FIRST4 + slot), IPv6Address(_FIRST6 + slot)

    def name(self, address: str) -> str | None:
        """The name that an address stands for; None where it was not given out in this session."""
        parsed = ip_address(address)
        first = _FIRST4 if parsed.version == 4 else _FIRST6
        return self._names.get(int(parsed) - first)

    def _free_slot(self, name: str) -> int:
        slot = int.from_bytes(hashlib.sha256(name.encode("ascii")).digest()[:4], "big") % _SLOTS
        while slot in self._names or slot in (
            0,
            _SLOTS - 1,
        ):  # the first and last address of a range confuse some tools
            slot = (slot + 1) % _SLOTS
        return slot


def is_synthetic(address: str) -> bool:
    """Whether an address is of the ranges that stand for names."""
    parsed = ip_address(address)
    return parsed in RANGE4 or parsed in RANGE6
