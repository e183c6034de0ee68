"""The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding. Pure: bytes in, bytes out.

Both sides prove that they know the password: a server that does not is not spoken to.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error

MECHANISM = b"SCRAM-SHA-256"
MOST_ROUNDS = 1_000_000
"""More would keep the gateway busy for somebody else's sake."""
_NO_BINDING = "n,,"


class ScramInvalid(ValueError):
    """The server does not speak as it should, or does not know the password."""


class Scram:
    """One exchange."""

    def __init__(self, password: str, nonce: bytes) -> None:
        self._password = password.encode()
        self._nonce = b64encode(nonce).decode()
        # PostgreSQL takes the user from the startup message, and the name here is left empty.
        self._first = f"n=,r={self._nonce}"
        self._expected = b""

    def first(self) -> bytes:
        """What the client begins with."""
        return f"{_NO_BINDING}{self._first}".encode()

    def final(self, challenge: bytes) -> bytes:
        """The proof, in answer to the server's challenge."""
        said = _attributes(challenge, "rsi")
        try:
            salt, rounds = b64decode(said["s"], validate=True), int(said["i"])
        except (Error, ValueError):
            raise ScramInvalid("its challenge has no salt or no rounds") from None
        if not said["r"].startswith(self._nonce) or said["r"] == self._nonce:
            raise ScramInvalid("its challenge answers another question")
        if not salt or not 0 < rounds <= MOST_ROUNDS:
            raise ScramInvalid("its challenge has no salt, or too many rounds")
        salted = hashlib.pbkdf2_hmac("sha256", self._password, salt, rounds)
        key = _hmac(salted, b"Client Key")
        bare = f"c={b64encode(_NO_BINDING.encode()).decode()},r={said['r']}"
        signed = b",".join((self._first.encode(), challenge, bare.encode()))
        proof = bytes(one ^ other for one, other in zip(key, _hmac(hashlib.sha256(key).digest(), signed), strict=True))
        self._expected = _hmac(_hmac(salted, b"Server Key"), signed)
        return f"{bare},p={b64encode(proof).decode()}".encode()

    def verify(self, answer: bytes) -> None:
        """Whether the server knows the password as well; `ScramInvalid` where it does not."""
        try:
            signature = b64decode(_attributes(answer, "v")["v"], validate=True)
        except (Error, ValueError):
            raise ScramInvalid("it does not prove that it knows the password") from None
        if not self._expected or not hmac.compare_digest(signature, self._expected):
            raise ScramInvalid("it does not know the password")


def _attributes(message: bytes, wanted: str) -> dict[str, str]:
    try:
        parts = message.decode("ascii").split(",")
    except UnicodeDecodeError:
        raise ScramInvalid("its message is not ASCII") from None
    found = {part[:1]: part[2:] for part in parts if part[1:2] == "="}
    if any(name not in found for name in wanted) or len(found) != len(parts):
        raise ScramInvalid("its message lacks a part")
    return found


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
