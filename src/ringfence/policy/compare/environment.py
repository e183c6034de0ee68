"""Which variables reach the sandbox under two policies: every kind of name that their patterns tell apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, count

import msgspec

from ringfence.policy.effective import EnvironmentPolicy

_CREDENTIAL = re.compile(r"API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_?KEY|ACCESS_?KEY|_AUTH\b|_PAT\b")
_ENDINGS = ("TOKEN", "SECRET", "API_KEY", "PASSWORD")


class VariableKind(msgspec.Struct, frozen=True, kw_only=True):
    """Variables that the same patterns keep."""

    text: str
    """All of them, for people."""
    example: str
    before: bool
    """Whether they reach the sandbox under the first policy."""
    after: bool


def kept(environment: EnvironmentPolicy, name: str) -> bool:
    """Whether a variable of the person's environment reaches the sandbox."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern for pattern in environment.keep
    )


def is_credential(name: str) -> bool:
    """Whether a variable is named as those are that hold a credential."""
    return _CREDENTIAL.search(name.upper()) is not None


def variable_kinds(before: EnvironmentPolicy, after: EnvironmentPolicy) -> Iterator[VariableKind]:
    """Each name that is written, what else begins with each prefix (credentials apart), and a name nobody mentions."""
    patterns = dict.fromkeys((*before.keep, *after.keep))
    exact = [pattern for pattern in patterns if not pattern.endswith("*")]
    prefixes = [pattern[:-1] for pattern in patterns if pattern.endswith("*")]

    def kind(text: str, name: str) -> VariableKind:
        return VariableKind(text=text, example=name, before=kept(before, name), after=kept(after, name))

    for name in exact:
        yield kind(name, name)
    for prefix in prefixes:
        longer = [one for one in prefixes if one != prefix and one.startswith(prefix)]
        yield kind(f"other variables {prefix}*", _fresh(prefix, ("X", "OTHER"), exact, longer))
        yield kind(f"credentials {prefix}*", _fresh(prefix, _ENDINGS, exact, longer))
    yield kind("every other variable", _fresh("", ("UNNAMED",), exact, [one for one in prefixes if one]))


def _fresh(prefix: str, endings: tuple[str, ...], exact: list[str], longer: list[str]) -> str:
    """A name behind a prefix that no other pattern means."""
    tried = chain(
        endings, (f"{letter}{endings[0]}" for letter in "XYZQJKV"), (f"X{one}_{endings[0]}" for one in count())
    )
    names = (prefix + ending for ending in tried)
    return next(name for name in names if name not in exact and not any(name.startswith(one) for one in longer))
