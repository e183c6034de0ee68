"""The servers of tools that Codex starts, by its configuration: each behind our stand-in.

They are wrapped in the private copies of its files. What the command line says about a server is laid over those, and
said once more behind it. A project's own `.codex/config.toml` is not touched: the workspace is not ours to change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping

import tomlkit
from tomlkit.exceptions import TOMLKitError

from ringfence.agents.agent import AgentRequest
from ringfence.agents.codex_config import Table, option_values
from ringfence.agents.mcp_client import NAME
from ringfence.agents.mcp_wrapping import wrap_servers, wrapped

SERVERS = "mcp_servers"


def wrap_file(content: bytes, request: AgentRequest) -> bytes:
    """A configuration with its servers wrapped; as it is where it has none, or where Codex could not read it either."""
    if SERVERS.encode() not in content:
        return content
    try:
        document = tomlkit.parse(content.decode("utf-8"))
    except (TOMLKitError, UnicodeDecodeError):
        return content
    tables = [document, *_profiles(document)]
    done = [wrap_servers(table.get(SERVERS), request) for table in tables]
    return tomlkit.dumps(document).encode() if any(done) else content


def with_servers(argv: tuple[str, ...], config: Table, request: AgentRequest) -> tuple[str, ...]:
    """The command line with the servers behind the stand-in about which it says something. `config` is all that is
    said, files and command line together; what comes last counts."""
    said = {_server_of(one) for one in option_values(argv, "-c", "--config")} - {""}
    servers = config.get(SERVERS)
    words: list[str] = []
    for name in sorted(said):
        server = servers.get(name) if isinstance(servers, Mapping) else None
        command = server.get("command") if isinstance(server, Mapping) else None
        if not isinstance(server, Mapping) or not isinstance(command, str):
            continue
        arguments = server.get("args")
        listed = arguments if isinstance(arguments, list) else []
        program, *rest = wrapped((command, *map(str, listed)), request.interpreter)
        for key, value in (("command", program), ("args", rest), (f"env.{NAME}", name)):
            words += ["-c", f"{SERVERS}.{name}.{key}={json.dumps(value)}"]
    last = max((number for number, word in enumerate(argv) if _server_of(_value(word))), default=0)
    return (*argv[: last + 1], *words, *argv[last + 1 :])


def _value(word: str) -> str:
    """The assignment in one word of a command line: it may be the option's word too."""
    for option in ("--config=", "-c"):
        if word.startswith(option):
            return word.removeprefix(option).removeprefix("=")
    return word


def _profiles(document: tomlkit.TOMLDocument) -> list[MutableMapping[str, object]]:
    profiles = document.get("profiles")
    return [one for one in profiles.values() if isinstance(one, MutableMapping)] if isinstance(profiles, dict) else []


def _server_of(assignment: str) -> str:
    """The server that an option is about."""
    key, *rest = assignment.partition("=")[0].split(".")
    return rest[0].strip().strip('"') if key.strip() == SERVERS and rest else ""
