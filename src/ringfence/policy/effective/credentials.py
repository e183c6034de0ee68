"""Which credentials there are, and into which requests they are put. Their values are never a part of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringfence.policy.effective.origins import Origin


class SourceKind(StrEnum):
    """Where the value of a credential is, outside the sandbox."""

    KEYRING = "keyring"
    ENVIRONMENT = "environment"
    FILE = "file"
    COMMAND = "command"


class CredentialSource(msgspec.Struct, frozen=True, kw_only=True):
    """How the value of a credential is found when a session starts. It is never a part of a policy."""

    kind: SourceKind
    name: str = ""
    """The stored name, the variable or the path."""
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind.value} {' '.join(self.command) if self.kind is SourceKind.COMMAND else self.name}"


class CredentialForm(StrEnum):
    """How a request carries a credential."""

    BEARER = "bearer"
    BASIC = "basic"
    HEADER = "header"
    QUERY = "query"
    AWS = "aws-sigv4"
    GIT = "git"
    NPM = "npm"
    PYPI = "pypi"
    DOCKER = "docker"
    POSTGRES = "postgresql"


class Attach(StrEnum):
    """Which requests get a credential, of those that it is bound to."""

    PLACEHOLDER = "placeholder"
    ALWAYS = "always"


class CredentialRule(msgspec.Struct, frozen=True, kw_only=True):
    """A credential and the requests that it is bound to."""

    id: str
    """Its name in decisions and on record."""
    source: CredentialSource
    form: CredentialForm
    field: str = ""
    """The name of the header, in lower case, or of the key in the query."""
    user: str = ""
    hosts: tuple[str, ...]
    """Host patterns of names, each with its port."""
    methods: tuple[str, ...] = ()
    """Upper case; empty means any."""
    paths: tuple[str, ...] = ()
    """Globs; empty means any."""
    variables: tuple[str, ...] = ()
    """Variables that hold its placeholder inside."""
    attach: Attach = Attach.PLACEHOLDER
    reason: str = ""
    origin: Origin


class NoCredentials(msgspec.Struct, frozen=True, kw_only=True):
    """Hosts whose requests carry no credential, neither a bound one nor one of the agent's."""

    hosts: tuple[str, ...]
    reason: str = ""
    origin: Origin


class CredentialPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Which credentials go where."""

    rules: tuple[CredentialRule, ...] = ()
    forbidden: tuple[NoCredentials, ...] = ()
