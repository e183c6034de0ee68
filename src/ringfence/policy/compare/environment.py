"""Which variables reach the sandbox under two policies: every kind of name that their patterns tell apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import msgspec

from ringfence.policy.effective import EnvironmentPolicy

_CREDENTIAL = re.compile(r"API_?KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE_?KEY|ACCESS_?KEY|_AUTH\b|_PAT\b")
_LOCALES = "LC_"
"""What begins so says how to write dates and sort words, and is kept by every preset."""
_LETTERS = "XYZQJKVWABCDEFGHILMNOPRSTU_abcdefghijklmnopqrstuvwxyz0123456789"
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
    return _is_named(name, environment.keep) and not _is_named(name, environment.remove)


def _is_named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in patterns)


def is_credential(name: str) -> bool:
    """Whether a variable is named as those are that hold a credential."""
    return _CREDENTIAL.search(name.upper()) is not None and not name.startswith(_LOCALES)


def variable_kinds(before: EnvironmentPolicy, after: EnvironmentPolicy) -> Iterator[VariableKind]:
    """Each name that is written, what else begins with each prefix (credentials apart), and a name nobody mentions."""
    patterns = dict.fromkeys((*before.keep, *after.keep, *before.remove, *after.remove))
    exact = [pattern for pattern in patterns if not pattern.endswith("*")]
    prefixes = [pattern[:-1] for pattern in patterns if pattern.endswith("*")]

    named: list[tuple[str, str | None]] = [(name, name) for name in exact]
    for prefix in prefixes:
        longer = [one for one in prefixes if one != prefix and one.startswith(prefix)]
        named.append((f"other variables {prefix}*", _fresh(prefix, ("OTHER", "X"), exact, longer)))
        named.append((f"credentials {prefix}*", _fresh(prefix, _ENDINGS, exact, longer)))
    named.append(("every other variable", _fresh("", ("UNNAMED",), exact, prefixes)))
    for text, name in named:
        if name is not None:
            yield VariableKind(text=text, example=name, before=kept(before, name), after=kept(after, name))


def _fresh(prefix: str, endings: tuple[str, ...], exact: list[str], longer: list[str]) -> str | None:
    """A name behind a prefix that no other pattern means; nothing where the longer prefixes leave none."""
    for stem in chain((prefix,), _stems(prefix, longer)):
        names = (
            f"{stem}{more}{ending}" for more in ("", *(f"{one}_" for one in range(len(exact)))) for ending in endings
        )
        found = next((name for name in names if _is_free(name, exact, longer)), None)
        if found is not None:
            return found
    return prefix if _is_free(prefix, exact, longer) else None


def _counted(most: int) -> Iterator[str]:
    yield ""
    yield from (f"{number}_" for number in range(most))


def _stems(prefix: str, longer: list[str]) -> Iterator[str]:
    """Beginnings that leave every longer prefix aside, as short as possible."""
    waiting = [prefix]
    for stem in waiting:
        for letter in _LETTERS:
            name = stem + letter
            if any(one.startswith(name) and one != name for one in longer) and not _covered(name, longer):
                waiting.append(name)
            elif not _covered(name, longer):
                yield name


def _is_free(name: str, exact: list[str], longer: list[str]) -> bool:
    return bool(name) and name not in exact and not _covered(name, longer)


def _covered(name: str, longer: list[str]) -> bool:
    return any(name.startswith(one) for one in longer)
