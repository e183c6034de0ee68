"""Reads the value of a credential for a database: a password, or the URL that holds one."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import msgspec

from ringfence.egress.credentials.secret import Credential, Secret, Token, placeholder, usable
from ringfence.model.host import parse_host
from ringfence.policy.credentials import host_means
from ringfence.policy.effective import CredentialRule
from ringfence.session.credentials.sources import Unavailable

_URL = re.compile(r"postgres(?:ql)?://")
PORT = 5432


def database_credential(rule: CredentialRule, text: Secret, token: Token) -> Credential:
    """The credential with its password; `Unavailable` where there is none, or where it is for another database."""
    value = text.reveal()
    if not _URL.match(value):
        if why := usable(value):
            raise Unavailable(f"its value cannot be used: {why}")
        return Credential(rule=rule, secret=text, placeholder=placeholder(value, token))
    try:
        parts = urlsplit(value)
        host, port = parse_host(parts.hostname or ""), parts.port or PORT
    except ValueError:
        raise Unavailable("its value is no URL of a database that can be read") from None
    password = unquote(parts.password or "")
    if why := usable(password):
        raise Unavailable(f"the password in its URL cannot be used: {why}")
    if not host_means(rule.hosts, host, port):
        raise Unavailable("its URL leads to another host or port than it is bound to")
    user = unquote(parts.username or "")
    if rule.user and user != rule.user:
        raise Unavailable("its URL names another `user` than the policy")
    stand_in = placeholder(password, token)
    place = parts.netloc.rpartition("@")[2]
    shown = parts._replace(netloc=f"{quote(user, safe='')}:{stand_in}@{place}")
    return Credential(
        rule=msgspec.structs.replace(rule, user=user),
        secret=Secret(password),
        placeholder=stand_in,
        url=urlunsplit(shown),
    )
