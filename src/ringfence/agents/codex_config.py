"""Which model provider Codex will use, by the person's own configuration and command line.

Reads `config.toml`, its profiles and `-c` options in the order in which Codex does, and only the few keys that say
where the model is and which variable holds the key. Nothing in the workspace is read: a project must not be able to
choose where prompts go.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence

import msgspec

Table = dict[str, object]


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """The provider in use."""

    id: str
    base_url: str | None = None
    """None for a provider that Codex knows by itself."""
    key_variables: tuple[str, ...] = ()
    openai_login: bool = False
    """Whether it takes the login with an OpenAI account."""
    told_by: str = "config.toml"


def read_table(content: bytes | None) -> Table:
    """A TOML document; `ValueError` where it is not one. A missing document is an empty table."""
    if content is None:
        return {}
    return tomllib.loads(content.decode("utf-8"))


def effective_table(config: Table, profile_file: Table, argv: Sequence[str]) -> Table:
    """The configuration after a profile and the command line."""
    merged = dict(config)
    name = option_value(argv, "-p", "--profile") or config.get("profile")
    profiles = config.get("profiles")
    if isinstance(name, str) and isinstance(profiles, Mapping) and isinstance(profiles.get(name), Mapping):
        _lay_over(merged, profiles[name])
    _lay_over(merged, profile_file)
    for assignment in option_values(argv, "-c", "--config"):
        _lay_over(merged, _assignment(assignment))
    return merged


def provider(config: Table, environ: Mapping[str, str], argv: Sequence[str]) -> Provider:
    """The provider in use."""
    name = config.get("model_provider")
    if "--oss" in argv:
        name = option_value(argv, "--local-provider", "--local-provider") or config.get("oss_provider") or "ollama"
    name = name if isinstance(name, str) else "openai"
    providers = config.get("model_providers")
    table = providers.get(name) if isinstance(providers, Mapping) else None
    if isinstance(table, Mapping):
        return _own_provider(name, table)
    if name == "openai":
        address = environ.get("OPENAI_BASE_URL") or config.get("openai_base_url")
        told_by = "OPENAI_BASE_URL" if environ.get("OPENAI_BASE_URL") else "config.toml"
        return Provider(
            id=name, base_url=address if isinstance(address, str) else None, openai_login=True, told_by=told_by
        )
    return Provider(id=name)


def option_values(argv: Sequence[str], short: str, long: str) -> tuple[str, ...]:
    """The values of an option in all its spellings, up to `--`."""
    found, words = [], iter(argv[1:])
    for word in words:
        if word == "--":
            break
        if word in {short, long}:
            found.append(next(words, ""))
        elif word.startswith(f"{long}="):
            found.append(word.removeprefix(f"{long}="))
        elif word.startswith(short) and not word.startswith("--") and len(word) > len(short):
            found.append(word[len(short) :].removeprefix("="))
    return tuple(found)


def option_value(argv: Sequence[str], short: str, long: str) -> str | None:
    """The last value of an option."""
    values = option_values(argv, short, long)
    return values[-1] if values else None


def _own_provider(name: str, table: Mapping[str, object]) -> Provider:
    address, key = table.get("base_url"), table.get("env_key")
    headers = table.get("env_http_headers")
    variables = [key, *(headers.values() if isinstance(headers, Mapping) else ())]
    return Provider(
        id=name,
        base_url=address if isinstance(address, str) else None,
        key_variables=tuple(variable for variable in variables if isinstance(variable, str)),
        openai_login=table.get("requires_openai_auth") is True,
    )


def _assignment(text: str) -> Table:
    """`a.b=value` as a table; a value that is not TOML is a text, as Codex has it."""
    key, _, value = text.partition("=")
    try:
        leaf: object = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        leaf = value
    for part in reversed([piece.strip().strip('"') for piece in key.split(".")]):
        leaf = {part: leaf}
    assert isinstance(leaf, dict)
    return leaf


def _lay_over(below: Table, above: Mapping[str, object]) -> None:
    for key, value in above.items():
        standing = below.get(key)
        if isinstance(value, Mapping) and isinstance(standing, Mapping):
            merged = dict(standing)
            _lay_over(merged, value)
            below[key] = merged
        else:
            below[key] = value
