"""The value of a credential as it is kept outside the sandbox, and the placeholder that stands for it inside.

Values in, values out; where they come from is the session's business. Nothing here prints a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ringfence.policy.effective import CredentialRule

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
"""Of what the names of AWS keys are made."""
_LENGTH = 40
_SHAPES = re.compile(
    r"sk-ant-(?:api|oat|admin)[0-9]{2}-|sk-proj-|sk-svcacct-|sk-or-v1-|sk-|gh[pousr]_|github_pat_|glpat-|npm_|pypi-"
    r"|xox[abprs]-|hf_|AIza|dckr_pat_|rubygems_|SG\.|lin_api_|figd_"
)
"""How well-known kinds of keys begin. Their clients look at it, and it says nothing but the kind."""

Token: TypeAlias = Callable[[int], bytes]
"""Random bytes."""


class Secret:
    """A text that is never shown: not by `repr`, not by `str`, not in a traceback's locals."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one place that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written anywhere")


class AwsKeys(msgspec.Struct, frozen=True, kw_only=True):
    """What requests to AWS are signed with."""

    key: str
    """The access key id, which is a name and no secret."""
    secret: Secret
    session: Secret | None = None
    """The token of a temporary key."""


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A credential in use: what it is bound to, its value, and what stands for it inside."""

    rule: CredentialRule
    secret: Secret
    """The value; for AWS the secret key."""
    placeholder: str
    """What stands for it inside; for AWS for the access key id."""
    url: str = ""
    """For a database: the URL that holds the placeholder, where the value was one."""
    aws: AwsKeys | None = None
    standing: AwsKeys | None = None
    """For AWS: what programs inside sign with."""
    minted: bool = False
    """Whether a server made it in answer to another one: then it is only for who shows it."""
    for_anybody: bool = False
    """Whether a server gives it to everybody who asks: then no binding holds it, only its host does."""

    @property
    def name(self) -> str:
        """As the policy calls it."""
        return self.rule.id


def placeholder(value: str, token: Token) -> str:
    """A text of the kind and, for well-known kinds, of the length of a value. It says nothing else about it."""
    found = _SHAPES.match(value)
    start = found[0] if found else ""
    length = max(len(value) - len(start), 20) if found else _LENGTH
    return start + letters(length, token)


def letters(length: int, token: Token, alphabet: str = ALPHABET) -> str:
    """Random letters and digits."""
    return "".join(alphabet[byte % len(alphabet)] for byte in token(length))


def usable(value: str) -> str:
    """Why a value cannot be put into a request; empty where it can."""
    if not value:
        return "it is empty"
    # SECURITY: a line break in a value would be a header of its own.
    if not value.isascii() or not value.isprintable():
        return "it has a character that is not visible ASCII"
    if len(value) < 8:
        return "it is shorter than 8 characters, so that it could not be told from other text in answers"
    return "it is longer than 8,192 characters" if len(value) > 8192 else ""
