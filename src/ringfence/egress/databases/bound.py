"""What a gateway knows about databases whose logins it makes."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence

import msgspec

from ringfence.egress.credentials.secret import Credential
from ringfence.model.event import CredentialUsed
from ringfence.model.host import Destination


class Databases(msgspec.Struct, frozen=True, kw_only=True):
    """What logins are made with."""

    bound: Callable[[Destination], Sequence[Credential] | None]
    """The credentials that a destination takes; none where it takes some and they are not there; None where it is no
    database of the policy's."""
    used: Callable[[CredentialUsed], None]
    """Puts a use on record, before the login."""
    trust: Callable[[], ssl.SSLContext]
    """What servers are verified by."""


def database_trust() -> ssl.SSLContext:
    """Verifies databases by what the machine trusts."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
