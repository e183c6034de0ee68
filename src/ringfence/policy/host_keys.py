"""The host keys that an SSH server may show: as a rule writes them, and as forges publish theirs. Pure.

A key is known by its fingerprint, `SHA256:...`, as OpenSSH shows it. Whole keys can be written too, and then programs
inside are told of them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from functools import cache

import msgspec

ANY_KEY = "*"
"""What a rule writes that takes any host key."""

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "published_keys.txt")
_WITH_PORT = re.compile(r"\[(.+)\]:[0-9]+")


class HostKey(msgspec.Struct, frozen=True, kw_only=True):
    """A whole public key."""

    algorithm: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """As OpenSSH shows it."""
        return fingerprint(self.blob)

    def __str__(self) -> str:
        return f"{self.algorithm} {base64.b64encode(self.blob).decode()}"


def fingerprint(blob: bytes) -> str:
    """The fingerprint of a public key."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def parse_key(text: str) -> HostKey | str:
    """What a rule writes: a whole key, or its fingerprint as it is. `ValueError`, with words for a person, else."""
    if _FINGERPRINT.fullmatch(text):
        return text
    words = text.split()
    if len(words) < 2:
        raise ValueError(f"`{text}` is not a host key; write `SHA256:...`, or the key itself: `ssh-ed25519 AAAA...`")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the host key `{text}` is damaged: what follows `{words[0]}` is not base64") from None
    fields = _fields(blob)
    if len(fields) < 2 or fields[0] != words[0].encode():
        raise ValueError(f"the host key `{text}` is damaged: it is no key of the kind `{words[0]}`")
    if "-cert-" in words[0]:
        raise ValueError(f"`{words[0]}` is a certificate; write the key that it is about")
    return HostKey(algorithm=words[0], blob=blob)


def _fields(blob: bytes) -> list[bytes]:
    """The fields of a key; none where they do not fill it."""
    fields, at = [], 0
    while at + 4 <= len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4], "big")
        fields.append(blob[at + 4 : end])
        at = end
    return fields if at == len(blob) else []


def fingerprints(written: tuple[str, ...]) -> tuple[str, ...]:
    """The fingerprints of what a rule wrote."""
    keys = [parse_key(text) for text in written if text != ANY_KEY]
    return tuple(dict.fromkeys(key.fingerprint if isinstance(key, HostKey) else key for key in keys))


def published(host: str) -> tuple[HostKey, ...]:
    """The keys that a forge publishes for itself; none for a host that is not known here."""
    return _published().get(host, ())


@cache
def _published() -> dict[str, tuple[HostKey, ...]]:
    found: dict[str, tuple[HostKey, ...]] = {}
    with open(_FILE, encoding="ascii") as stream:
        lines = [line for line in stream.read().splitlines() if line and not line.startswith("#")]
    for line in lines:
        names, _, text = line.partition(" ")
        key = parse_key(text)
        assert isinstance(key, HostKey)
        for name in names.split(","):
            host = _WITH_PORT.sub(r"\1", name)
            found[host] = (*found.get(host, ()), key)
    return found
