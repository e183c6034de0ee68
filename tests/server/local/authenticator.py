"""A passkey in software, which signs whatever it is told: what a browser sends, and what an attacker would."""

from __future__ import annotations

import hashlib
import json
import os
import struct

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from webauthn.helpers import bytes_to_base64url

from ringfence.server.local.passkeys import HOST

_PRESENT, _VERIFIED, _ATTESTED = 0x01, 0x04, 0x40


class Authenticator:
    """One credential and its counter."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._id = os.urandom(16)
        self.counter = 0

    @property
    def id(self) -> str:
        return bytes_to_base64url(self._id)

    def create(self, challenge: bytes, origin: str, *, verified: bool = True) -> dict[str, object]:
        """What `navigator.credentials.create` gives."""
        numbers = self._key.public_key().public_numbers()
        key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = bytes(16) + struct.pack(">H", len(self._id)) + self._id + cbor2.dumps(key)
        data = self._data(HOST, verified=verified, extra=_ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return self._sent(
            attestationObject=attestation, clientDataJSON=_client_data("webauthn.create", challenge, origin)
        )

    def get(
        self, challenge: bytes, origin: str, *, host: str = HOST, verified: bool = True, counts: bool = True
    ) -> dict[str, object]:
        """What `navigator.credentials.get` gives."""
        self.counter += counts
        data = self._data(host, verified=verified)
        client = _client_data("webauthn.get", challenge, origin)
        signature = self._key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        return self._sent(authenticatorData=data, clientDataJSON=client, signature=signature)

    def _data(self, host: str, *, verified: bool, extra: int = 0) -> bytes:
        flags = _PRESENT | (_VERIFIED if verified else 0) | extra
        return hashlib.sha256(host.encode()).digest() + bytes([flags]) + struct.pack(">I", self.counter)

    def _sent(self, **response: bytes) -> dict[str, object]:
        encoded = {name: bytes_to_base64url(value) for name, value in response.items()}
        return {
            "id": self.id,
            "rawId": self.id,
            "type": "public-key",
            "clientExtensionResults": {},
            "response": encoded,
        }


def _client_data(kind: str, challenge: bytes, origin: str) -> bytes:
    return json.dumps({"type": kind, "challenge": bytes_to_base64url(challenge), "origin": origin}).encode()
