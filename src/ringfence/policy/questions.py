"""Questions in the words of the command line and of `[[test]]`, as actions. `ValueError` says what a question lacks."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import msgspec

from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    FileAction,
    FileOperation,
    McpAction,
    RequestFacts,
)
from ringfence.model.canonical import canonical_json, text_from_os
from ringfence.model.host import parse_destination
from ringfence.policy.graphql import UNKNOWN
from ringfence.policy.operations import KINDS as KINDS_OF_REQUESTS
from ringfence.policy.schema import escaped

KINDS = ("shell", "argv", "connect", "read", "write", "mcp")
"""The keys of which a question has exactly one."""

_KEYS = frozenset({*KINDS, "cwd", "method", "path", "model", "tool", "arguments", "operations", "query", "headers"})


def action_of(question: Mapping[str, object], *, cwd: str, home: str) -> Action:
    """The action that a question asks about."""
    unknown = sorted(set(question) - _KEYS)
    if unknown:
        raise ValueError(f"unknown key `{escaped(unknown[0])}`; a question has {', '.join(sorted(_KEYS))}")
    asked = [kind for kind in KINDS if kind in question]
    if len(asked) != 1:
        raise ValueError(f"a question has exactly one of {', '.join(f'`{kind}`' for kind in KINDS)}")
    folder = text_from_os(posixpath.join(cwd, _text(question, "cwd", cwd)))
    match asked[0]:
        case "shell":
            script = _text(question, "shell")
            return CommandAction(argv=("bash", "-c", script), shell=script, cwd=folder)
        case "argv":
            return CommandAction(argv=_argv(question["argv"]), cwd=folder)
        case "connect":
            return _connect(question)
        case "mcp":
            arguments = canonical_json(question.get("arguments", {})).decode()
            return McpAction(server=_text(question, "mcp"), tool=_text(question, "tool"), arguments=arguments)
        case operation:
            path = _absolute(_text(question, operation), folder, home)
            return FileAction(operation=FileOperation(operation), path=path)


def _connect(question: Mapping[str, object]) -> ConnectAction:
    destination = parse_destination(_text(question, "connect"), default_port=443)
    method = question.get("method")
    path = question.get("path")
    return ConnectAction(
        host=destination.host.name,
        port=destination.port,
        method=None if method is None else _text(question, "method").upper(),
        path=None if path is None else _text(question, "path"),
        facts=_facts(question),
        models=(_text(question, "model"),) if "model" in question else msgspec.UNSET,
    )


def _facts(question: Mapping[str, object]) -> RequestFacts | msgspec.UnsetType:
    if not {"operations", "query", "headers"} & set(question):
        return msgspec.UNSET
    named = question.get("operations", [])
    if not isinstance(named, list | tuple) or not all(one in (*KINDS_OF_REQUESTS, UNKNOWN) for one in named):
        raise ValueError(f"`operations` is a list of {', '.join(f'`{one}`' for one in KINDS_OF_REQUESTS)}")
    return RequestFacts(operations=tuple(named), query=_pairs(question, "query"), headers=_pairs(question, "headers"))


def _pairs(question: Mapping[str, object], key: str) -> tuple[tuple[str, str], ...]:
    value = question.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for pair in value.items() for one in pair):
        raise ValueError(f"`{key}` is an object of texts")
    return tuple((name.lower() if key == "headers" else name, text) for name, text in value.items())


def _argv(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("`argv` is a list of texts, and not empty")
    if not all(isinstance(word, str) for word in value):
        raise ValueError("`argv` is a list of texts")
    return tuple(text_from_os(word) for word in value)


def _absolute(path: str, cwd: str, home: str) -> str:
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    return posixpath.normpath(posixpath.join(cwd, path))


def _text(question: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = question.get(key, default)
    if not isinstance(value, str):
        raise ValueError(f"`{key}` is a text" if key in question else f"`{key}` is missing")
    return text_from_os(value)
