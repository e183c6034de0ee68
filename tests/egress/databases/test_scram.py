from __future__ import annotations

from base64 import b64decode

import pytest

from ringfence.egress.databases.scram import Scram, ScramInvalid

NONCE = b64decode("rOprNGfwEbeRWgbNEkqO")
CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def test_the_exchange_of_the_rfc_comes_out() -> None:
    # RFC 7677, section 3, where the user is named in the message; PostgreSQL leaves the name empty.
    scram = Scram("pencil", NONCE)
    scram._first = "n=user,r=rOprNGfwEbeRWgbNEkqO"

    assert scram.final(CHALLENGE) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


@pytest.mark.parametrize(
    "challenge",
    [
        b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        CHALLENGE.replace(b"i=4096", b"i=999999999"),
        CHALLENGE.replace(b"i=4096", b"i=0"),
        CHALLENGE.replace(b"s=W22Z", b"s=!!!!"),
        CHALLENGE.replace(b",i=4096", b""),
        CHALLENGE + b",i=1",
        b"\xff",
    ],
)
def test_a_challenge_that_is_none_is_not_answered(challenge: bytes) -> None:
    with pytest.raises(ScramInvalid):
        Scram("pencil", NONCE).final(challenge)


@pytest.mark.parametrize("answer", [b"v=AAAA", b"e=invalid-proof", b"v=!", b""])
def test_a_server_that_does_not_know_the_password_is_not_trusted(answer: bytes) -> None:
    scram = Scram("pencil", NONCE)
    scram.final(CHALLENGE)

    with pytest.raises(ScramInvalid):
        scram.verify(answer)


def test_a_server_that_skips_the_challenge_is_not_trusted() -> None:
    with pytest.raises(ScramInvalid):
        Scram("pencil", NONCE).verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
