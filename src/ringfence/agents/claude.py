"""Claude Code: its place for settings, its key, its model, and its own sandbox told that it is already contained.

Of the folder with its settings only what is named here is visible: the login and the transcripts are the person's own
files, settings are copies (what the agent changes in them is gone with the session, so nothing planted there runs on
the host later), commands, skills and plugins are read-only. `~/.claude.json` is such a copy: it names programs to run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from ringfence.agents import claude_hooks, claude_servers
from ringfence.agents.agent import AgentRequest, AgentSetup, Disk, HookAnswer, HookCall
from ringfence.agents.claude_settings import Settings, managed_settings, read_settings
from ringfence.agents.hook_answer import allowed, asked, denial_text, denied
from ringfence.agents.hook_command import hook_program
from ringfence.agents.mcp_wrapping import stand_in
from ringfence.agents.own_endpoint import OwnEndpoint, own_endpoint
from ringfence.agents.plugin_servers import claude_plugins
from ringfence.model.decision import Decision, Verdict
from ringfence.model.shown import Bind, PlacedFile
from ringfence.model.situations import RingfenceError

COPIED = ("settings.json", "settings.local.json", "CLAUDE.md", "keybindings.json")
READ_ONLY = ("agents", "commands", "hooks", "output-styles", "rules", "skills", "workflows", "themes")
PLUGINS = "plugins"
TRANSCRIPTS = "projects"
WRITABLE = (".credentials.json", "todos", "tasks", "plans", "file-history", "history.jsonl")
"""SECURITY: nothing in these is run by a later Claude Code outside. What an agent notes for itself in `projects` is
read again there, as any note in a repository is."""
HOSTS = ("api.anthropic.com:443", "platform.claude.com:443")
"""The model, and the place where a login is renewed."""
KEYS = (
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_BETAS",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL",
    "ANTHROPIC_DEFAULT_OPUS_MODEL",
    "ANTHROPIC_DEFAULT_SONNET_MODEL",
    "ANTHROPIC_MODEL",
    "ANTHROPIC_SMALL_FAST_MODEL",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_SUBAGENT_MODEL",
    "MAX_THINKING_TOKENS",
)
LOGINS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_BASE_URL")
OUR_VARIABLES = (
    ("IS_SANDBOX", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL", "1"),
)
"""The program is read-only inside, and reports to its vendor would only be denials in the record."""
HELPER = "apiKeyHelper"
"""The setting that names a program which prints the key."""
OTHER_CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")


class Claude:
    """The profile of Claude Code."""

    name = "claude"

    def __init__(self, *, home: str) -> None:
        self._home = home

    def prepare(self, request: AgentRequest, disk: Disk) -> AgentSetup:
        """What Claude Code needs for this session."""
        own_folder = request.environ.get("CLAUDE_CONFIG_DIR")
        folder = own_folder or os.path.join(request.home, ".claude")
        state = os.path.join(folder if own_folder else request.home, ".claude.json")
        settings, notices = _settings(disk, folder)
        environ = _environment(request, settings)
        model = _model(environ)
        managed = managed_settings(request, disk)
        originals = _copies(folder, state, disk)
        copies = claude_servers.wrapped_files(originals, state, request, disk)
        plugins = claude_plugins(folder, request, disk)
        argv, configurations = claude_servers.with_servers(request, disk)
        variables = [*OUR_VARIABLES, *([("CLAUDE_CONFIG_DIR", own_folder)] if own_folder else [])]
        return AgentSetup(
            name=self.name,
            argv=argv,
            keep=KEYS,
            set=tuple(variables),
            binds=_binds(folder, disk),
            files=(hook_program(disk), stand_in(disk), *managed.files, *copies, *configurations),
            overlays=plugins.overlays,
            folders=(os.path.join(folder, TRANSCRIPTS),),
            destinations=model.destinations,
            host_ports=model.host_ports,
            models=model.models,
            hooks=True,
            own_prompt=claude_hooks.silent_start(request.argv),
            unseen=(*claude_servers.unseen_servers(originals, state, request, disk), *plugins.unseen),
            notices=(
                *notices,
                *model.notices,
                *managed.notices,
                *_login(environ, settings, folder, disk),
            ),
        )

    def parse_hook(self, event: str, payload: bytes) -> HookCall:
        """Read what Claude Code handed to its hook."""
        return claude_hooks.parse(event, payload, self._home)

    def render(self, call: HookCall, decision: Decision | None) -> HookAnswer:
        """The answer; an allowance answers Claude Code's own question as well, so that nobody is asked twice."""
        if decision is not None and decision.verdict is Verdict.ASK and decision.resolved_by == "delegated":
            return asked(call.event, f"ringfence: {decision.message}")
        if decision is not None and decision.verdict is not Verdict.ALLOW:
            return denied(call.event, denial_text(decision))
        before_tool = decision is not None and call.event == "PreToolUse"
        return allowed(call.event, say_so=before_tool and call.tool not in claude_hooks.FOR_THE_PERSON)

    def refuse(self, event: str, reason: str) -> HookAnswer:
        """A denial without a decision."""
        return denied(event, reason)


def _settings(disk: Disk, folder: str) -> tuple[Settings, tuple[str, ...]]:
    path = os.path.join(folder, "settings.json")
    try:
        settings = read_settings(disk.read_file(path), path)
    except RingfenceError as error:
        return {}, (f"the model's host was not taken from the settings: {error.message}",)
    if HELPER in settings:
        return settings, (f"`{HELPER}` in `{path}` runs inside the sandbox and may need `--read` or `--allow-host`",)
    return settings, ()


def _environment(request: AgentRequest, settings: Settings) -> dict[str, str]:
    """The person's variables with those from their settings, which Claude Code lays over them."""
    variables = settings.get("env")
    pairs = variables.items() if isinstance(variables, dict) else ()
    return {**request.environ, **{key: value for key, value in pairs if isinstance(value, str)}}


def _login(environ: dict[str, str], settings: Settings, folder: str, disk: Disk) -> tuple[str, ...]:
    known = HELPER in settings or any(environ.get(name) for name in (*LOGINS, *OTHER_CLOUDS))
    if known or disk.exists(os.path.join(folder, ".credentials.json")):
        return ()
    return ("claude has no login yet; log in once outside with `claude`, because a login made inside is not kept",)


def _model(environ: dict[str, str]) -> OwnEndpoint:
    for variable in OTHER_CLOUDS:
        if environ.get(variable) in {"1", "true"}:
            notice = f"`{variable}` is set: name the host with `--allow-host` and the credentials with `--env`"
            return OwnEndpoint(notices=(notice,))
    address = environ.get("ANTHROPIC_BASE_URL")
    if address:
        return own_endpoint(address, "ANTHROPIC_BASE_URL")
    return OwnEndpoint(destinations=HOSTS)


def _binds(folder: str, disk: Disk) -> tuple[Bind, ...]:
    rows = [(name, False) for name in READ_ONLY] + [(name, True) for name in WRITABLE]
    places = [(os.path.join(folder, name), writable) for name, writable in rows]
    found = [(path, writable) for path, writable in places if disk.exists(path)]
    found += [(path, False) for path in _plugins(os.path.join(folder, PLUGINS), disk)]
    found.append((os.path.join(folder, TRANSCRIPTS), True))
    return tuple(Bind(source=path, target=path, writable=writable) for path, writable in found)


def _plugins(folder: str, disk: Disk) -> Iterator[str]:
    """What is shown of plugins: all of it, each for itself, because the servers of a plugin start only where a folder
    for its data is there or can be made."""
    data = os.path.join(folder, "data")
    for name in disk.list_folder(folder):
        path = os.path.join(folder, name)
        if path != data or disk.is_link(path):
            yield path
        else:
            yield from (os.path.join(data, each) for each in disk.list_folder(data))


def _copies(folder: str, state: str, disk: Disk) -> tuple[PlacedFile, ...]:
    paths = [state, *(os.path.join(folder, name) for name in COPIED)]
    found = [(path, disk.read_file(path)) for path in paths]
    return tuple(PlacedFile(path=path, content=content, mode=0o600) for path, content in found if content)
