"""The credentials of one session: their values, and the variables that hold placeholders inside.

A credential whose value is not there stops nothing else: the person is told, and its hosts take no other one all the
same.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from ringfence.egress.credentials.secret import UPPER, AwsKeys, Credential, Secret, Token, letters, placeholder, usable
from ringfence.policy.effective import CredentialForm, CredentialPolicy, CredentialRule, SourceKind
from ringfence.session.credentials.aws_keys import aws_keys
from ringfence.session.credentials.database_urls import database_credential
from ringfence.session.credentials.sources import AWS_VARIABLES, Outside, Unavailable, read_value


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials that a session has."""

    credentials: tuple[Credential, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    """Variables inside, each with a placeholder."""
    notices: tuple[str, ...] = ()
    """What is bound and not there."""


def load(policy: CredentialPolicy, outside: Outside, token: Token) -> Loaded:
    """Read every credential that the policy binds."""
    found: list[Credential] = []
    variables: dict[str, str] = {}
    notices: list[str] = []
    for rule in policy.rules:
        try:
            credential = load_one(rule, outside, token)
        except Unavailable as why:
            notices.append(f"credential `{rule.id}` ({rule.origin.source}) is not available: {why}")
            continue
        found.append(credential)
        for name, value in _inside(credential):
            if name in variables:
                notices.append(
                    f"`{name}` holds the placeholder of another credential than `{rule.id}`, which names it too"
                )
            variables.setdefault(name, value)
    return Loaded(credentials=tuple(found), variables=tuple(variables.items()), notices=tuple(notices))


def load_one(rule: CredentialRule, outside: Outside, token: Token) -> Credential:
    """One credential with its value; `Unavailable` where that is not there or cannot be put into a request."""
    text = read_value(rule, outside)
    if rule.form is CredentialForm.AWS:
        keys = aws_keys(text)
        for part in (keys.secret, keys.session, Secret(keys.key)):
            if part is not None and usable(part.reveal()):
                raise Unavailable(f"a part of the keys cannot be used: {usable(part.reveal())}")
        standing = AwsKeys(
            key=keys.key[:4] + letters(16, token, UPPER),
            secret=Secret(letters(40, token)),
            session=Secret(letters(200, token)) if keys.session is not None else None,
        )
        return Credential(rule=rule, secret=keys.secret, placeholder=standing.key, aws=keys, standing=standing)
    if rule.form is CredentialForm.POSTGRES:
        return database_credential(rule, text, token)
    value = text.reveal()
    if why := usable(value):
        raise Unavailable(f"its value cannot be used: {why}")
    return Credential(rule=rule, secret=text, placeholder=placeholder(value, token))


def hidden(environment: Mapping[str, str], loaded: Loaded) -> dict[str, str]:
    """Variables for inside: placeholders where there were values, under whatever name and inside whatever text."""
    stand_ins: dict[str, str] = {}
    for credential in loaded.credentials:
        stand_ins[credential.secret.reveal()] = _stand_in(credential)
        stand_ins[quote(credential.secret.reveal(), safe="")] = _stand_in(credential)
        if credential.aws is not None and credential.standing is not None:
            session, fake = credential.aws.session, credential.standing.session
            if session is not None and fake is not None:
                stand_ins[session.reveal()] = fake.reveal()
            stand_ins[credential.aws.key] = credential.standing.key
    cleaned = dict(environment)
    for name, text in environment.items():
        for value in sorted(stand_ins, key=len, reverse=True):
            text = text.replace(value, stand_ins[value])
        cleaned[name] = text
    return cleaned | dict(loaded.variables)


def missing_variables(policy: CredentialPolicy, loaded: Loaded) -> tuple[str, ...]:
    """Variables of the person's that a credential is read from or shown in and that must not come inside as they are:
    those of credentials that are not available."""
    names = {one.name for one in loaded.credentials}
    found: list[str] = []
    for rule in policy.rules:
        if rule.id in names:
            continue
        found += rule.variables
        if rule.source.kind is SourceKind.ENVIRONMENT:
            found += _sources(rule)
    return tuple(found)


def _sources(rule: CredentialRule) -> tuple[str, ...]:
    name = rule.source.name
    return tuple(f"{name}_{ending}" for ending in AWS_VARIABLES) if rule.form is CredentialForm.AWS else (name,)


def _stand_in(credential: Credential) -> str:
    return credential.placeholder if credential.standing is None else credential.standing.secret.reveal()


def _inside(credential: Credential) -> tuple[tuple[str, str], ...]:
    if credential.rule.form is CredentialForm.POSTGRES:
        return tuple((name, credential.url or credential.placeholder) for name in credential.rule.variables)
    if credential.standing is None:
        return tuple((name, credential.placeholder) for name in credential.rule.variables)
    standing = credential.standing
    values = (standing.key, standing.secret.reveal(), standing.session.reveal() if standing.session is not None else "")
    return tuple((f"AWS_{ending}", value) for ending, value in zip(AWS_VARIABLES, values, strict=True) if value)
