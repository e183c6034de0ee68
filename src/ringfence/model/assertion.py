"""What a passkey signs: the answer and the digest of what was seen, once. The vote alone is enough to check it later.

The challenge is a digest of the statement, so an assertion for one answer is none for another: neither for another
scope, nor for another request, nor for other lines. The nonce makes it good for one vote.
"""

from __future__ import annotations

import hashlib

import msgspec

from ringfence.model.canonical import canonical_json
from ringfence.model.vote import Scope


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, before it is signed."""

    vote: str
    """The id that the vote will have."""
    request: str
    seen: str
    """The digest of the lines that were on the page, computed there."""
    approver: str
    approve: bool
    scope: Scope
    reason: str
    nonce: str

    @property
    def challenge(self) -> bytes:
        """What the passkey signs."""
        return hashlib.sha256(canonical_json(self)).digest()


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a vote by passkey keeps as its proof."""

    statement: Statement
    origin: str
    """The address of the page: what the browser says it signed for has to be this."""
    credential: str
    public_key: str
    """The credential's public key (SubjectPublicKeyInfo), in base64url as everything here."""
    client_data: str
    authenticator_data: str
    signature: str
