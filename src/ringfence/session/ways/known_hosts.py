"""Reads OpenSSH's `known_hosts` far enough to know the keys of named hosts. Pure.

A key that is marked as revoked is never one of them; certificate authorities are left aside, because a filter that
compares keys cannot follow them.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable, Mapping


def keys_of(hosts: Iterable[str], texts: Iterable[str]) -> Mapping[str, tuple[bytes, ...]]:
    """The keys of each host, as the files' texts have them; none where a host is in no file."""
    lines = [fields for text in texts for line in text.splitlines() if (fields := _fields(line)) is not None]
    revoked = {key for marker, _, key in lines if marker == "@revoked"}
    found = {}
    for host in hosts:
        keys = [key for marker, names, key in lines if not marker and key not in revoked and _names(names, host)]
        found[host] = tuple(dict.fromkeys(keys))
    return found


def lines_for(keys: Mapping[str, Iterable[bytes]]) -> bytes:
    """A `known_hosts` file that holds exactly these."""
    lines = [f"{host} {_kind(key)} {base64.b64encode(key).decode()}" for host, found in keys.items() for key in found]
    return "".join(f"{line}\n" for line in lines).encode()


def _kind(key: bytes) -> str:
    """The name of a key's algorithm, with which it begins."""
    return key[4 : 4 + int.from_bytes(key[:4], "big")].decode("ascii", "replace")


def _fields(line: str) -> tuple[str, str, bytes] | None:
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3:
        return None
    try:
        return marker, words[0], base64.b64decode(words[2], validate=True)
    except (binascii.Error, ValueError):
        return None


def _names(names: str, host: str) -> bool:
    if names.startswith("|1|"):
        return _is_hash_of(names, host)
    patterns = names.lower().split(",")
    if any(one.startswith("!") and _matches(one[1:], host) for one in patterns):
        return False
    return any(_matches(one, host) for one in patterns if not one.startswith("!"))


def _matches(pattern: str, host: str) -> bool:
    # `[` is part of a name with a port here, and begins no set.
    return fnmatch.fnmatchcase(host, pattern.replace("[", "[[]"))


def _is_hash_of(names: str, host: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in names.split("|")[2:4])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, host.encode(), hashlib.sha1).digest(), digest)
