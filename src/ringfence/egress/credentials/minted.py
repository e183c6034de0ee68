"""What a server makes for a credential: it comes inside as a placeholder, like the credential itself.

A container registry answers a login with a token for the requests that follow, AWS answers who takes a role with other
keys. Those are replaced in the answer by texts of the same length, and put back into requests to the hosts of their
credential.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict

import msgspec

from ringfence.egress.credentials.echo import Echo
from ringfence.egress.credentials.secret import UPPER, AwsKeys, Credential, Secret, Token, letters
from ringfence.policy.effective import CredentialForm, CredentialRule

MOST_BYTES = 256 * 1024
"""An answer that has a token is not longer."""
MOST_TOKENS = 256
_KEYS = ("token", "access_token", "refresh_token")
_SHORTEST = 16
_AWS = (
    re.compile(rb'(?i:AccessKeyId)(?:>|"\s*:\s*")((?:ASIA|AKIA)[0-9A-Z]{12,128})(?=[<"])'),
    re.compile(rb'(?i:SecretAccessKey|SecretKey)(?:>|"\s*:\s*")([^<"\\]{16,256})(?=[<"])'),
    re.compile(rb'(?i:SessionToken)(?:>|"\s*:\s*")([^<"\\]{16,8192})(?=[<"])'),
)
"""A key, its secret and its token, as STS and its like write them in XML and JSON."""
_ALONE = re.compile(rb'(?i)("authorizationToken"\s*:\s*")([^"\\]{8,65536})(?=")')
"""What is a credential for something else than requests that are signed."""
_WRITTEN = re.compile(r"[A-Za-z0-9._~+/=-]+")


class Minted:
    """The tokens of a session, the latest ones."""

    def __init__(self, token: Token) -> None:
        self._token = token
        self._by_value: OrderedDict[str, Credential] = OrderedDict()
        self._echoes: dict[str, Echo] = {}
        self.taken_out = 0
        """How many of them were replaced by something that cannot be used."""

    def credentials(self) -> tuple[Credential, ...]:
        """Each as a credential of its own, with the name of the one it was made for."""
        return tuple(self._by_value.values())

    def echo(self, shown: Credential, credentials: tuple[Credential, ...]) -> Echo:
        """What must not come back to a request that shows one of them: its value, beside those of the session."""
        echo = self._echoes.get(shown.placeholder)
        if echo is None:
            echo = self._echoes[shown.placeholder] = Echo((*credentials, shown))
        return echo

    def replaced(self, body: bytes, rule: CredentialRule, *, for_anybody: bool) -> bytes:
        """An answer with placeholders for what was made in it, as long as it was; `ValueError` where something in it
        cannot be replaced."""
        if rule.form is CredentialForm.AWS:
            return self._keys(body, rule)
        return self._tokens(body, rule, for_anybody=for_anybody)

    def _keys(self, body: bytes, rule: CredentialRule) -> bytes:
        found = [list(pattern.finditer(body)) for pattern in _AWS]
        body, alone = _ALONE.subn(lambda one: one[1] + b"*" * len(one[2]), body)
        self.taken_out += alone
        if len({len(one) for one in found}) != 1:
            # Keys that do not come in threes cannot be used here, and must not be used elsewhere.
            self.taken_out += len(found[1]) + len(found[2])
            for pattern in _AWS[1:]:
                body = pattern.sub(lambda one: one[0].replace(one[1], b"*" * len(one[1])), body)
            return body
        for one in zip(*found, strict=True):
            key, secret, session = (match[1].decode() for match in one)
            known = self._by_value.get(key) or self._role(rule, key, secret, session)
            standing = known.standing
            assert standing is not None and standing.session is not None
            for real, shown in (
                (key, standing.key),
                (secret, standing.secret.reveal()),
                (session, standing.session.reveal()),
            ):
                body = body.replace(real.encode(), shown.encode())
        return body

    def _role(self, rule: CredentialRule, key: str, secret: str, session: str) -> Credential:
        keys = AwsKeys(key=key, secret=Secret(secret), session=Secret(session))
        standing = AwsKeys(
            key=key[:4] + letters(len(key) - 4, self._token, UPPER),
            secret=Secret(letters(len(secret), self._token)),
            session=Secret(letters(len(session), self._token)),
        )
        made = Credential(
            rule=rule, secret=keys.secret, placeholder=standing.key, aws=keys, standing=standing, minted=True
        )
        self._remember(key, made)
        return made

    def _tokens(self, body: bytes, rule: CredentialRule, *, for_anybody: bool) -> bytes:
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
        if any(one.placeholder == value for one in self._by_value.values()):
            return value  # the one that the request showed, given again
        known = self._by_value.get(value)
        if known is None:
            known = Credential(
                rule=msgspec.structs.replace(rule, form=CredentialForm.BEARER, user=""),
                secret=Secret(value),
                placeholder=letters(len(value), self._token),
                minted=True,
                for_anybody=for_anybody,
            )
            self._remember(value, known)
        return known.placeholder

    def _remember(self, value: str, credential: Credential) -> None:
        self._by_value[value] = credential
        if len(self._by_value) > MOST_TOKENS:
            _, last = self._by_value.popitem(last=False)
            self._echoes.pop(last.placeholder, None)
