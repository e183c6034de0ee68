"""The forms in which programs want to be told whom to trust: a bundle of PEM certificates, and a Java key store.

Pure: which certificates the machine trusts is looked up elsewhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_JKS_MAGIC, _JKS_VERSION, _TRUSTED = 0xFEEDFEED, 2, 2
_JKS_SALT = b"Mighty Aphrodite"
JAVA_PASSWORD = "changeit"  # noqa: S105 - the one that every Java has; it protects nothing, certificates are public
"""What Java's own store is opened with."""


def certificates(pem: bytes) -> tuple[bytes, ...]:
    """The certificates in a bundle, as DER, each once; what is none is left out."""
    found = []
    for match in _CERTIFICATE.finditer(pem):
        try:
            found.append(base64.b64decode(b"".join(match[1].split()), validate=True))
        except binascii.Error:
            continue
    return tuple(dict.fromkeys(found))


def bundle(ours: bytes, machine: bytes) -> bytes:
    """A bundle with both: ours first."""
    return ours.strip() + b"\n" + machine.strip() + b"\n"


def java_store(trusted: Iterable[bytes], *, now_ms: int) -> bytes:
    """A key store of the oldest form, which every Java reads, with certificates in DER."""
    entries = tuple(trusted)
    parts = [struct.pack(">III", _JKS_MAGIC, _JKS_VERSION, len(entries))]
    for number, der in enumerate(entries):
        parts.append(struct.pack(">I", _TRUSTED) + _text(f"ringfence-{number}") + struct.pack(">Q", now_ms))
        parts.append(_text("X.509") + struct.pack(">I", len(der)) + der)
    data = b"".join(parts)
    # The format asks for SHA-1; nobody relies on it: the file cannot be changed inside.
    digest = hashlib.sha1(JAVA_PASSWORD.encode("utf-16-be") + _JKS_SALT + data, usedforsecurity=False)
    return data + digest.digest()


def _text(text: str) -> bytes:
    data = text.encode("ascii")
    return struct.pack(">H", len(data)) + data
