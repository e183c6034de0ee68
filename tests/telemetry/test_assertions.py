"""The proof of a vote by passkey: it holds for exactly this answer, and for none that is like it."""

from __future__ import annotations

import json

import cbor2
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.server.local.authenticator import Authenticator
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    parse_authenticator_data,
)

from ringfence.model.assertion import Evidence, Statement
from ringfence.model.vote import Authentication, Scope, Vote
from ringfence.telemetry.assertions import problem

ORIGIN = "http://ringfence.localhost:4000"
STATEMENT = Statement(
    vote="v", request="r", seen="sha256:s", approver="person:ada", approve=True, scope=Scope.ONCE, reason="", nonce="n"
)


def public_key(authenticator: Authenticator) -> str:
    response = authenticator.create(b"c", ORIGIN)["response"]
    assert isinstance(response, dict)
    attested = cbor2.loads(base64url_to_bytes(response["attestationObject"]))
    data = parse_authenticator_data(attested["authData"]).attested_credential_data
    assert data is not None
    key = decoded_public_key_to_cryptography(decode_credential_public_key(data.credential_public_key))
    return bytes_to_base64url(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def evidence(
    *, challenge: bytes = STATEMENT.challenge, verified: bool = True, host: str = "ringfence.localhost"
) -> Evidence:
    authenticator = Authenticator()
    response = authenticator.get(challenge, ORIGIN, verified=verified, host=host)["response"]
    assert isinstance(response, dict)
    return Evidence(
        statement=STATEMENT,
        origin=ORIGIN,
        credential=authenticator.id,
        public_key=public_key(authenticator),
        client_data=response["clientDataJSON"],
        authenticator_data=response["authenticatorData"],
        signature=response["signature"],
    )


GOOD = evidence()


def vote(proof: Evidence | str = GOOD) -> Vote:
    text = proof if isinstance(proof, str) else msgspec.json.encode(proof).decode()
    return Vote(
        id="v",
        request="r",
        approver="person:ada",
        approve=True,
        seen="sha256:s",
        authentication=Authentication.PASSKEY,
        evidence=text,
    )


def changed(**fields: object) -> Evidence:
    return msgspec.structs.replace(GOOD, **fields)


def test_the_proof_of_what_was_signed_holds() -> None:
    assert problem(vote()) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"id": "w"},
        {"request": "q"},
        {"seen": "sha256:t"},
        {"approver": "person:eve"},
        {"approve": False},
        {"scope": Scope.REPO},
        {"reason": "because"},
        {"seconds": 5},
        {"words": 1},
    ],
    ids=str,
)
def test_it_is_no_proof_of_another_answer(fields: dict[str, object]) -> None:
    assert problem(msgspec.structs.replace(vote(), **fields)) != ""


@pytest.mark.parametrize(
    ("proof", "why"),
    [
        ("", "it cannot be read"),
        ("{}", "it cannot be read"),
        (changed(public_key="AAAA"), "it cannot be read"),
        (changed(client_data="!"), "it cannot be read"),
        (changed(client_data=bytes_to_base64url(b"[" * 99999)), "it cannot be read"),
        (changed(client_data=bytes_to_base64url(json.dumps({"type": "webauthn.create"}).encode())), "another page"),
        (changed(origin="http://localhost:3000"), "another page"),
        (changed(public_key=public_key(Authenticator())), "its signature is wrong"),
        (changed(authenticator_data="AAAA"), "bound to another page"),
        (evidence(challenge=b"another"), "it signs something else"),
        (evidence(verified=False), "nobody was verified"),
        (evidence(host="localhost"), "bound to another page"),
    ],
)
def test_what_does_not_hold_says_why(proof: Evidence | str, why: str) -> None:
    assert why in problem(vote(proof))
