"""Tokens that a server makes for a credential: they come inside as placeholders, like the credential itself.

A container registry answers a login with a token for the requests that follow. It is replaced in the answer by a text
of the same length, and put back into requests to the hosts of its credential.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict

import msgspec

from ringfence.egress.credentials.secret import Credential, Secret, Token, letters
from ringfence.policy.effective import CredentialForm, CredentialRule

MOST_BYTES = 256 * 1024
"""An answer that has a token is not longer."""
MOST_TOKENS = 256
_KEYS = ("token", "access_token", "refresh_token")
_SHORTEST = 16
_WRITTEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class Minted:
    """The tokens of a session, the latest ones."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._by_value: OrderedDict[str, Credential] = OrderedDict()

    def credentials(self) -> tuple[Credential, ...]:
        """Each as a credential of its own, with the name of the one it was made for."""
        return tuple(self._by_value.values())

    def replaced(self, body: bytes, rule: CredentialRule, *, for_anybody: bool) -> bytes:
        """An answer with placeholders for the tokens in it, as long as it was; `ValueError` where it has a token that
        cannot be replaced."""
        try:
            values = json.loads(body)
        except (ValueError, RecursionError):
            return body
        if not isinstance(values, dict):
            return body
        for value in dict.fromkeys(values[key] for key in _KEYS if isinstance(values.get(key), str)):
            if not value:
                continue
            if len(value) < _SHORTEST or not _WRITTEN.fullmatch(value) or value.encode() not in body:
                raise ValueError("it is written in a way that is not known")
            body = body.replace(value.encode(), self._keep(value, rule, for_anybody=for_anybody).encode())
        return body

    def _keep(self, value: str, rule: CredentialRule, *, for_anybody: bool) -> str:
        known = self._by_value.get(value)
        if known is None:
            known = Credential(
                rule=msgspec.structs.replace(rule, form=CredentialForm.BEARER, user=""),
                secret=Secret(value),
                placeholder=letters(len(value), self._token),
                minted=True,
                for_anybody=for_anybody,
            )
            self._by_value[value] = known
            if len(self._by_value) > MOST_TOKENS:
                self._by_value.popitem(last=False)
        return known.placeholder
