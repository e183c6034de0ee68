"""Agents that are known by their name only: settings, key and model host, as data. Not verified with the real agents.

They have no hooks yet, so of their tool calls only those of servers of tools are judged and reported; sandbox and
gateway hold as for any program. Their own settings are read-only, because they name programs that would run on the host
later.
"""

from __future__ import annotations

import os

import msgspec

from ringfence.agents.agent import AgentRequest, AgentSetup, Disk, UnseenServers
from ringfence.agents.copilot_servers import HOME, copilot_folder, copilot_servers
from ringfence.agents.gemini_servers import gemini_servers
from ringfence.agents.generic import Generic
from ringfence.agents.hook_command import hook_program
from ringfence.agents.mcp_wrapping import stand_in
from ringfence.agents.opencode_servers import FILE, FOLDER, NO_PROJECT, opencode_servers
from ringfence.agents.server_copies import beside
from ringfence.model.shown import Bind, PlacedFile


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    name: str
    folders: tuple[str, ...]
    """Below HOME, read-only."""
    keys: tuple[str, ...]
    destinations: tuple[str, ...]


class Servers(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does about the servers of one agent."""

    argv: tuple[str, ...]
    keep: tuple[str, ...] = ()
    set: tuple[tuple[str, str], ...] = ()
    shown: tuple[str, ...] = ()
    """Files and folders beside the agent's own that are to be visible."""
    copies: tuple[PlacedFile, ...] = ()
    """In the place of the person's files."""
    private: tuple[str, ...] = ()
    """What the agent keeps of itself, of which a session has one of its own."""
    unseen: tuple[UnseenServers, ...] = ()


ROWS = (
    Row(
        name="gemini",
        folders=(".gemini",),
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GEMINI_MODEL"),
        destinations=(
            "generativelanguage.googleapis.com:443",
            "cloudcode-pa.googleapis.com:443",
            "oauth2.googleapis.com:443",
        ),
    ),
    Row(
        name="opencode",
        folders=(
            ".config/opencode",
            ".opencode/opencode.json",
            ".opencode/opencode.jsonc",
            ".local/share/opencode/auth.json",
        ),
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"),
        destinations=("api.anthropic.com:443", "api.openai.com:443", "opencode.ai:443", "openrouter.ai:443"),
    ),
    Row(
        name="copilot",
        folders=(".copilot", ".config/github-copilot"),
        keys=("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
        destinations=("api.github.com:443", "api.githubcopilot.com:443", "api.individual.githubcopilot.com:443"),
    ),
)


class KnownByName(Generic):
    """The profile of one row."""

    def __init__(self, row: Row, home: str) -> None:
        super().__init__(home)
        self._row = row
        self.name = row.name

    def prepare(self, request: AgentRequest, disk: Disk) -> AgentSetup:
        """What the row says, as far as it is there."""
        servers = _servers(self.name, request, disk)
        folders = [*(os.path.join(request.home, folder) for folder in self._row.folders), *servers.shown]
        placed = frozenset([*(copy.path for copy in servers.copies), *servers.private])
        shown = [path for folder in folders for path in beside(folder, placed, disk)]
        paths = [path for path in shown if disk.exists(path) and not path.startswith(f"{request.workspace}/")]
        return AgentSetup(
            name=self.name,
            argv=servers.argv,
            keep=(*self._row.keys, *servers.keep),
            set=servers.set,
            binds=tuple(Bind(source=path, target=path) for path in dict.fromkeys(paths)),
            files=(hook_program(disk), stand_in(disk), *servers.copies),
            destinations=self._row.destinations,
            unseen=servers.unseen,
            notices=(
                f"`{self.name}` is known by name only: of its tool calls only those of servers of tools (MCP) are "
                "judged and reported, and its settings are read-only",
            ),
        )


def _servers(name: str, request: AgentRequest, disk: Disk) -> Servers:
    match name:
        case "opencode":
            found = opencode_servers(request, disk)
            return Servers(
                argv=request.argv,
                keep=(FILE, FOLDER, NO_PROJECT),
                set=found.variables,
                shown=found.shown,
                copies=found.copies,
                unseen=found.unseen,
            )
        case "gemini":
            settings = gemini_servers(request, disk)
            return Servers(argv=request.argv, copies=settings.copies, unseen=settings.unseen)
        case "copilot":
            whole = copilot_servers(request, disk)
            folder = copilot_folder(request)
            shown = () if folder == os.path.join(request.home, ".copilot") else (folder,)
            return Servers(
                argv=whole.argv,
                keep=(HOME,),
                shown=shown,
                copies=whole.copies,
                private=whole.private,
                unseen=whole.unseen,
            )
        case _:
            return Servers(argv=request.argv)
