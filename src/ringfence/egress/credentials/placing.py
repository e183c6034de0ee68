"""Puts the value of a credential into a request's head, in the form that its policy names. Pure."""

from __future__ import annotations

from base64 import b64encode
from typing import assert_never
from urllib.parse import quote, unquote_plus

import msgspec

from ringfence.egress.credentials.presented import Place, Presented
from ringfence.egress.credentials.secret import Credential
from ringfence.egress.http_head import RequestHead
from ringfence.policy.effective import CredentialForm

_SCHEMES = {"bearer": "Bearer", "token": "token"}


class Misplaced(ValueError):
    """The placeholder does not stand where the credential belongs; the message says where that is."""


def place(head: RequestHead, credential: Credential, shown: Presented | None) -> RequestHead:
    """The head with the value in place of the placeholder, or added to one that shows none."""
    rule, value = credential.rule, credential.secret.reveal()
    match rule.form:
        case CredentialForm.BEARER | CredentialForm.NPM:
            scheme = _SCHEMES.get(shown.scheme) if shown is not None else "Bearer"
            if scheme is None or (shown is not None and shown.place is not Place.AUTHORIZATION):
                raise Misplaced("in `Authorization: Bearer`")
            return _with_field(head, b"authorization", f"{scheme} {value}")
        case CredentialForm.BASIC | CredentialForm.GIT | CredentialForm.PYPI | CredentialForm.DOCKER:
            if shown is not None and (shown.place is not Place.AUTHORIZATION or shown.scheme != "basic"):
                raise Misplaced("in `Authorization: Basic`, as the password")
            return _with_field(head, b"authorization", basic(rule.user, value))
        case CredentialForm.HEADER:
            return _in_header(head, credential, shown)
        case CredentialForm.QUERY:
            if shown is not None and (shown.place is not Place.QUERY or not _has_key(head, credential)):
                raise Misplaced(f"in the query, as `{rule.field}`")
            return _with_key(head, rule.field, value)
        case CredentialForm.AWS:
            raise Misplaced("in a signature")
        case CredentialForm.POSTGRES:
            raise Misplaced("in a login to a database")
        case _:
            assert_never(rule.form)


def basic(user: str, password: str) -> str:
    """The value of `Authorization` for a user and a password."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


def _in_header(head: RequestHead, credential: Credential, shown: Presented | None) -> RequestHead:
    name = credential.rule.field.encode("ascii")
    value = credential.secret.reveal()
    if shown is None:
        return _with_field(head, name, value)
    for written, raw in head.fields:
        if written == name and raw.decode("latin-1").strip() == credential.placeholder:
            return _with_field(head, name, value)
    raise Misplaced(f"alone in the header `{credential.rule.field}`")


def _with_field(head: RequestHead, name: bytes, value: str) -> RequestHead:
    fields = [(written, raw) for written, raw in head.fields if written != name]
    return msgspec.structs.replace(head, fields=(*fields, (name, value.encode("ascii"))))


def _has_key(head: RequestHead, credential: Credential) -> bool:
    parts = [part.partition("=") for part in head.query.removeprefix("?").split("&")]
    return any(
        unquote_plus(name) == credential.rule.field and unquote_plus(value) == credential.placeholder
        for name, _, value in parts
    )


def _with_key(head: RequestHead, name: str, value: str) -> RequestHead:
    parts = [part for part in head.query.removeprefix("?").split("&") if part]
    kept = [part for part in parts if unquote_plus(part.partition("=")[0]) != name]
    query = "&".join((*kept, f"{quote(name, safe='')}={quote(value, safe='')}"))
    return msgspec.structs.replace(head, query=f"?{query}")
