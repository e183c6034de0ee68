"""`ringfence mcp`: one server of tools behind the sandbox and the rules, for an agent that runs outside of it.

An agent's settings name it in the place of the server: its standard streams are the server's. Inside a session, where
the sandbox is there already, only the stand-in is put before the server.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from ringfence.agents.agent import HOOK_FOLDER
from ringfence.agents.mcp_client import NAME
from ringfence.agents.mcp_wrapping import PROGRAM
from ringfence.agents.tool_server import FOLDER
from ringfence.cli.ahead import conduct_ahead
from ringfence.cli.options import command_of, options_of, parser
from ringfence.model.situations import UsageInvalid


def main(arguments: Sequence[str]) -> int:
    """Run the server and return its exit code."""
    about = (
        "Run a server of tools (MCP on standard streams) in a sandbox of its own: each call is judged before it "
        "arrives, and its list of tools before it is shown."
    )
    words = parser("mcp", about, "SERVER")
    words.add_argument("--name", metavar="NAME", help="what rules call the server (default: the name of the program)")
    # Its terminal, where there is one, belongs to the agent in front of it.
    words.set_defaults(ask="queue")
    parsed = words.parse_args(arguments)
    command = command_of(parsed, "ringfence mcp --name notes -- npx -y @acme/notes")
    name = parsed.name or os.path.basename(command[0])
    if not name.isprintable():
        raise UsageInvalid("the server's name has a character that cannot be seen")
    program = os.path.join(os.environ.get(FOLDER, HOOK_FOLDER), os.path.basename(PROGRAM))
    if os.environ.get("RINGFENCE_SESSION") and os.path.exists(program):
        argv = (sys.executable, "-I", "-S", program, "--", *command)
        os.execve(argv[0], argv, {**os.environ, NAME: name})  # noqa: S606 - no shell is wanted
    options = msgspec.structs.replace(options_of(parsed), server=name)
    return conduct_ahead(command, options, parsed, whole_agent=True)
