"""Agents that are known by their name only: settings, key and model host, as data. Not verified with the real agents.

They have no hooks yet, so their tool calls are not reported; sandbox and gateway hold as for any program. Their own
settings are read-only, because they name programs that would run on the host later.
"""

from __future__ import annotations

import os

import msgspec

from ringfence.agents.agent import AgentRequest, AgentSetup, Disk
from ringfence.agents.generic import Generic
from ringfence.agents.hook_command import hook_program
from ringfence.agents.mcp_wrapping import stand_in
from ringfence.agents.plugin_servers import Plugins, gemini_servers
from ringfence.model.shown import Bind


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One agent."""

    name: str
    folders: tuple[str, ...]
    """Below HOME, read-only."""
    keys: tuple[str, ...]
    destinations: tuple[str, ...]
    project_files: tuple[str, ...] = ()
    """Below the workspace: settings that may name servers of tools."""
    own_files: tuple[str, ...] = ()
    """The same below HOME, of those that cannot be put behind our stand-in."""


_NAMING = (b'"mcpServers"', b'"mcp"')

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
        project_files=(".gemini/settings.json",),
    ),
    Row(
        name="opencode",
        folders=(".config/opencode", ".local/share/opencode/auth.json"),
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"),
        destinations=("api.anthropic.com:443", "api.openai.com:443", "opencode.ai:443", "openrouter.ai:443"),
        project_files=("opencode.json", "opencode.jsonc", ".opencode/opencode.json", ".opencode/opencode.jsonc"),
        own_files=(".config/opencode/opencode.json", ".config/opencode/opencode.jsonc", ".config/opencode/config.json"),
    ),
    Row(
        name="copilot",
        folders=(".copilot", ".config/github-copilot"),
        keys=("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
        destinations=("api.github.com:443", "api.githubcopilot.com:443", "api.individual.githubcopilot.com:443"),
        own_files=(".copilot/mcp-config.json",),
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
        paths = [os.path.join(request.home, folder) for folder in self._row.folders]
        servers = gemini_servers(paths[0], request, disk) if self.name == "gemini" else Plugins()
        notice = f"`{self.name}` is known by name only: its tool calls are not reported, and its settings are read-only"
        return AgentSetup(
            name=self.name,
            argv=request.argv,
            keep=self._row.keys,
            binds=tuple(Bind(source=path, target=path) for path in paths if disk.exists(path)),
            files=(hook_program(disk), stand_in(disk)),
            overlays=servers.overlays,
            destinations=self._row.destinations,
            notices=(notice, *servers.notices, *self._starting_unseen(request, disk)),
        )

    def _starting_unseen(self, request: AgentRequest, disk: Disk) -> tuple[str, ...]:
        """The files of which the servers of tools start as they are."""
        paths = [os.path.join(request.workspace, name) for name in self._row.project_files]
        paths += [os.path.join(request.home, name) for name in self._row.own_files]
        named = [path for path in paths if any(key in (disk.read_file(path) or b"") for key in _NAMING)]
        return tuple(
            f"servers of tools that `{path}` starts are not seen by Ringfence; its sandbox holds them" for path in named
        )
