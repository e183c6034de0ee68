"""Checks the proof that a vote by passkey keeps, without a browser, a server or WebAuthn's library.

What it shows: somebody with that passkey, verified by their device, signed exactly this answer to exactly these lines.
Whose passkey it is, the vote's own signature says: that of the machine which knew it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from ringfence.model.assertion import Evidence
from ringfence.model.vote import Vote

_PRESENT_AND_VERIFIED = 0x05


def problem(vote: Vote) -> str:
    """Why the proof of a vote does not hold; empty where it does."""
    try:
        evidence = msgspec.json.decode(vote.evidence, type=Evidence)
        client_data, data = _bytes(evidence.client_data), _bytes(evidence.authenticator_data)
        said = json.loads(client_data)
        return (
            _statement(vote, evidence)
            or _client(said, evidence)
            or _authenticator(data, evidence)
            or _signature(evidence, data + hashlib.sha256(client_data).digest())
        )
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, UnsupportedAlgorithm):
        return "it cannot be read"


def _statement(vote: Vote, evidence: Evidence) -> str:
    said = evidence.statement
    signed = (said.vote, said.request, said.seen, said.approver, said.approve, said.scope, said.reason)
    if signed != (vote.id, vote.request, vote.seen, vote.approver, vote.approve, vote.scope, vote.reason):
        return "it is about another answer"
    return "" if vote.words is None and vote.seconds is None else "the answer reaches further than what was signed"


def _client(said: object, evidence: Evidence) -> str:
    if not isinstance(said, dict) or said.get("type") != "webauthn.get" or said.get("origin") != evidence.origin:
        return "it was made on another page"
    challenge = said.get("challenge")
    if not isinstance(challenge, str) or _bytes(challenge) != evidence.statement.challenge:
        return "it signs something else"
    return ""


def _authenticator(data: bytes, evidence: Evidence) -> str:
    host = urlsplit(evidence.origin).hostname or ""
    if len(data) < 37 or data[:32] != hashlib.sha256(host.encode()).digest():
        return "it is bound to another page"
    return "" if data[32] & _PRESENT_AND_VERIFIED == _PRESENT_AND_VERIFIED else "nobody was verified"


def _signature(evidence: Evidence, signed: bytes) -> str:
    key, signature = load_der_public_key(_bytes(evidence.public_key)), _bytes(evidence.signature)
    try:
        match key:
            case ec.EllipticCurvePublicKey():
                key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, signed)
            case rsa.RSAPublicKey():
                key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
            case _:
                return "its kind of key is not known"
    except InvalidSignature:
        return "its signature is wrong"
    return ""


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
