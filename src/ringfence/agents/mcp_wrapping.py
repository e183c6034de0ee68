"""Puts our stand-in before every server of tools that an agent's settings start, so that its lists and calls are seen.

Pure. It works on the private copies of settings; where a server is only reached (`url`), the gateway sees what is said.
The server's name travels in a variable, so that an administrator's lists of allowed commands can name the command.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence

from ringfence.agents.agent import HOOK_FOLDER, AgentRequest, Disk
from ringfence.agents.mcp_client import NAME
from ringfence.model.shown import PlacedFile
from ringfence.model.situations import RingfenceError

CLIENT = os.path.join(os.path.dirname(__file__), "mcp_client.py")
"""Where the stand-in lies in the installed package."""
PROGRAM = f"{HOOK_FOLDER}/mcp.py"
"""Where it lies inside the sandbox."""
ELSEWHERE = "RINGFENCE_HOOKS"
"""The variable that names its folder where nothing can be shown at that place."""
SCRIPT = f'exec "$0" -I -S "${{{ELSEWHERE}:-{HOOK_FOLDER}}}/mcp.py" -- "$@"'
"""Starts it in either of the two."""
_REPLACING = re.compile(r"PATH|LD_.*|PYTHON.*|BASH_ENV|ENV")
"""Variables with which a server's settings could make another program of `ringfence`."""


def stand_in(disk: Disk) -> PlacedFile:
    """The stand-in, as a file inside the sandbox."""
    content = disk.read_file(CLIENT)
    if not content:
        raise RingfenceError(f"the stand-in `{CLIENT}` cannot be read", remedy="install Ringfence again")
    return PlacedFile(path=PROGRAM, content=content, mode=0o444)


def wrapped(command: Iterable[str], interpreter: str) -> tuple[str, ...]:
    """The argument vector that starts a server behind the stand-in."""
    return (interpreter, "-I", "-S", PROGRAM, "--", *command)


def wrapped_anywhere(command: Iterable[str], interpreter: str) -> tuple[str, ...]:
    """The same where no mounts may be possible, by a shell that finds the stand-in."""
    return ("/bin/sh", "-c", SCRIPT, interpreter, *command)


Wrapping = Callable[[Iterable[str], str], tuple[str, ...]]


def wrap_servers(servers: object, request: AgentRequest, prefix: str = "", *, by: Wrapping = wrapped) -> bool:
    """Wrap each server of a table of servers that has a command, in place; whether there was any. `prefix`: what the
    agent puts before their names."""
    if not isinstance(servers, MutableMapping):
        return False
    done = [_wrap(f"{prefix}{name}", server, request, by) for name, server in servers.items()]
    return any(done)


def is_wrapped(command: Sequence[str], interpreter: str) -> bool:
    """Whether an argument vector is one of ours already."""
    # SECURITY: the whole beginning, because a repository can put any word among a server's arguments.
    return any(
        tuple(command[: len(ours)]) == ours for ours in (wrapped((), interpreter), wrapped_anywhere((), interpreter))
    )


def started_unseen(servers: object, interpreter: str, prefix: str = "") -> tuple[str, ...]:
    """The names of the servers of a table that have a command without our stand-in in front."""
    if not isinstance(servers, Mapping):
        return ()
    return tuple(f"{prefix}{name}" for name, server in servers.items() if _starts_unseen(server, interpreter))


def _starts_unseen(server: object, interpreter: str) -> bool:
    if not isinstance(server, Mapping) or not isinstance(command := server.get("command"), str | list) or not command:
        return False
    arguments = server.get("args")
    words = [command] if isinstance(command, str) else list(command)
    words += arguments if isinstance(arguments, list) else []
    if is_wrapped(words, interpreter):
        return False
    environment = server.get("env", server.get("environment"))
    names = environment if isinstance(environment, Mapping) else ()
    # SECURITY: only the program that is found on the path of the session: a repository has another one of that name.
    return words[:2] != ["ringfence", "mcp"] or any(_REPLACING.fullmatch(str(name)) for name in names)


def wrap_text(content: bytes, request: AgentRequest, *, depth: bool = False) -> bytes:
    """A file of settings in JSON with the servers in `mcpServers` wrapped, those of each of its projects too where
    `depth` says so; as it is where there are none, or where it is no such file."""
    try:
        values = json.loads(content)
    except ValueError:
        return content
    if not isinstance(values, dict):
        return content
    done = [wrap_servers(values.get("mcpServers"), request)]
    done += [_wrap_list(values.get(key), request) for key in ("allowedMcpServers", "deniedMcpServers")]
    projects = values.get("projects")
    if depth and isinstance(projects, dict):
        done += [wrap_servers(one.get("mcpServers"), request) for one in projects.values() if isinstance(one, dict)]
    return json.dumps(values, indent=2).encode() if any(done) else content


def _wrap(name: str, server: object, request: AgentRequest, by: Wrapping) -> bool:
    if not isinstance(server, MutableMapping) or server.get("type", "stdio") not in ("stdio", "local"):
        return False
    command, arguments = server.get("command"), server.get("args", [])
    if not isinstance(command, str) or not isinstance(arguments, list):
        return False
    words = (command, *map(str, arguments))
    if is_wrapped(words, request.interpreter):
        return False
    program, *rest = by(words, request.interpreter)
    environment = server.get("env")
    server["command"], server["args"] = program, rest
    server["env"] = {**(environment if isinstance(environment, Mapping) else {}), NAME: name}
    return True


def _wrap_list(entries: object, request: AgentRequest) -> bool:
    """An administrator's list of commands that are allowed or not: each one behind the stand-in as well."""
    if not isinstance(entries, list):
        return False
    named = [one.get("serverCommand") for one in entries if isinstance(one, dict)]
    commands = [one for one in named if isinstance(one, list) and all(isinstance(word, str) for word in one)]
    entries += [{"serverCommand": list(wrapped(command, request.interpreter))} for command in commands]
    return bool(commands)
