"""The passkeys of the users of this machine, in a file of theirs: public keys and counters, nothing secret.

Registration and assertion are checked by py_webauthn: user verification is required, and a counter that does not grow
is a copy of the key. Reading, checking and counting happen under one lock, so that two pages cannot count the same.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
import webauthn
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
)
from webauthn.helpers.exceptions import WebAuthnException

from ringfence.model.situations import RingfenceError

HOST = "ringfence.localhost"
"""The name that passkeys are bound to. SECURITY: a name of our own, because cookies and passkeys of plain `localhost`
are shared by every server on every port of it, and an agent may serve one of them."""


class Passkey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One credential of one user."""

    user: str
    credential: str
    public_key: str
    counter: int
    added_ns: int


def public_key(passkey: Passkey) -> str:
    """The public key as every program reads it, so that a proof needs no WebAuthn to be checked."""
    key = decoded_public_key_to_cryptography(decode_credential_public_key(base64url_to_bytes(passkey.public_key)))
    return bytes_to_base64url(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


class PasskeyRefused(RingfenceError):
    """A registration or an assertion that does not hold."""


class Passkeys:
    """The passkeys of one user."""

    def __init__(self, path: str, user: str) -> None:
        self._path = path
        self._user = user

    def all(self) -> tuple[Passkey, ...]:
        """The user's passkeys, oldest first."""
        return tuple(one for one in self._read() if one.user == self._user)

    def register(self, credential: Mapping[str, object], *, challenge: bytes, origin: str, now_ns: int) -> Passkey:
        """Add a new passkey; `PasskeyRefused` where what the browser sent does not hold."""
        try:
            checked = webauthn.verify_registration_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=HOST,
                expected_origin=origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError, KeyError, TypeError) as wrong:
            raise PasskeyRefused(f"the new passkey was not accepted: {wrong}", remedy="try again") from wrong
        added = Passkey(
            user=self._user,
            credential=bytes_to_base64url(checked.credential_id),
            public_key=bytes_to_base64url(checked.credential_public_key),
            counter=checked.sign_count,
            added_ns=now_ns,
        )
        with self._locked():
            known = self._read()
            if any(one.credential == added.credential for one in known):
                raise PasskeyRefused("this passkey is registered already", remedy="use it")
            self._write((*known, added))
        return added

    def check(self, assertion: Mapping[str, object], *, challenge: bytes, origin: str) -> Passkey:
        """The passkey that made an assertion, with its counter moved on; `PasskeyRefused` where it does not hold."""
        with self._locked():
            known = self._read()
            used = next((one for one in known if (one.user, one.credential) == (self._user, assertion.get("id"))), None)
            if used is None:
                raise PasskeyRefused("this passkey is not registered for you", remedy="use one that is")
            try:
                checked = webauthn.verify_authentication_response(
                    credential=dict(assertion),
                    expected_challenge=challenge,
                    expected_rp_id=HOST,
                    expected_origin=origin,
                    credential_public_key=base64url_to_bytes(used.public_key),
                    credential_current_sign_count=used.counter,
                    require_user_verification=True,
                )
            except (WebAuthnException, ValueError, KeyError, TypeError) as wrong:
                raise PasskeyRefused(f"the passkey's answer does not hold: {wrong}", remedy="answer again") from wrong
            moved = msgspec.structs.replace(used, counter=checked.new_sign_count)
            self._write(tuple(moved if one is used else one for one in known))
            return moved

    def forget(self) -> int:
        """Take away every passkey of the user; how many there were."""
        with self._locked():
            known = self._read()
            kept = tuple(one for one in known if one.user != self._user)
            self._write(kept)
            return len(known) - len(kept)

    def _read(self) -> tuple[Passkey, ...]:
        try:
            with open(self._path, "rb") as file:
                return msgspec.json.decode(file.read(), type=tuple[Passkey, ...])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError) as failure:
            # INVARIANT: a file that cannot be read is no empty list, which would let anybody add the first key.
            raise PasskeyRefused(
                f"the passkeys in `{self._path}` cannot be read: {failure}", remedy="repair the file, or remove it"
            ) from failure

    def _write(self, passkeys: tuple[Passkey, ...]) -> None:
        fresh = f"{self._path}.new"
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(passkeys))
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self._path)
        except OSError as failure:
            raise PasskeyRefused(f"`{self._path}` cannot be written: {failure}") from failure

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise PasskeyRefused(f"`{self._path}` cannot be locked: {failure}") from failure
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
