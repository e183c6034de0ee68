"""Codex CLI: its place for settings, its key, its model, and its own sandbox told that it is already contained.

Of the folder with its settings only what is named here is visible: logins and transcripts are the person's own files,
settings are copies (what the agent changes in them is gone with the session, so nothing planted there runs on the host
later), programs and instructions are read-only. Sockets and databases of a Codex running outside are not there.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from ringfence.agents import codex_config, codex_hooks, codex_servers
from ringfence.agents.agent import AgentRequest, AgentSetup, Disk, HookAnswer, HookCall
from ringfence.agents.codex_config import Provider, Table
from ringfence.agents.codex_requirements import REQUIREMENTS, merged_requirements
from ringfence.agents.hook_answer import allowed, denial_text, denied
from ringfence.agents.hook_command import hook_program
from ringfence.agents.mcp_wrapping import stand_in
from ringfence.agents.own_endpoint import OwnEndpoint, own_endpoint
from ringfence.agents.plugin_servers import codex_plugins
from ringfence.model.decision import Decision, Verdict
from ringfence.model.host import HOST_LOOPBACK
from ringfence.model.shown import Bind, PlacedFile
from ringfence.model.situations import UsageInvalid

COPIED = ("config.toml", "AGENTS.md", "AGENTS.override.md", "hooks.json", "installation_id", "version.json")
READ_ONLY = ("prompts", "rules", "plugins", "themes")
TRANSCRIPTS = "sessions"
WRITABLE = ("archived_sessions", "history.jsonl")
"""SECURITY: nothing in these is run or obeyed by a later Codex outside."""
LOGIN = "auth.json"
MANAGED = ("/etc/codex/managed_config.toml", "/etc/codex/config.toml")
OPENAI_HOSTS = ("api.openai.com:443", "auth.openai.com:443", "chatgpt.com:443")
UNASKED = ("raw.githubusercontent.com",)
"""The tip of the day, fetched at each interactive start."""
LOCAL_PROVIDERS = {"ollama": 11434, "lmstudio": 1234}
KEYS = ("OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN", "OPENAI_ORGANIZATION", "OPENAI_PROJECT")


class Codex:
    """The profile of Codex CLI."""

    name = "codex"

    def __init__(self, *, home: str, position: int = 0) -> None:
        self._home = home
        self._position = position
        """Where in the command line the program stands: 1 behind `node`."""

    def prepare(self, request: AgentRequest, disk: Disk) -> AgentSetup:
        """What Codex needs for this session."""
        folder = request.environ.get("CODEX_HOME") or os.path.join(request.home, ".codex")
        before, argv = request.argv[: self._position], request.argv[self._position :]
        config, notices = _configuration(argv, disk, folder)
        provider = codex_config.provider(config, request.environ, argv)
        model = _model(provider)
        managed = merged_requirements(disk.read_file(REQUIREMENTS), disk.exists(REQUIREMENTS), request)
        plugins = _uses_plugins(config)
        ours = _arguments(argv, never_ask=managed.never_ask, plugins=plugins, nested=request.nested)
        project = codex_servers.project_servers(argv, config, request, disk)
        of_plugins = codex_plugins(folder, request, disk)
        if not managed.names_servers:
            ours = codex_servers.with_servers(ours, config, project.agreed, request)
        unseen = (*project.unseen, *of_plugins.unseen)
        if managed.names_servers:
            unseen = codex_servers.as_they_are(REQUIREMENTS, config, project, of_plugins.unseen, request)
        variables = [("CODEX_HOME", folder)] if "CODEX_HOME" in request.environ else []
        return AgentSetup(
            name=self.name,
            argv=(*before, *ours),
            keep=tuple(dict.fromkeys([*KEYS, "OPENAI_BASE_URL", "RUST_LOG", *provider.key_variables])),
            set=tuple(variables),
            binds=_binds(folder, disk),
            files=(
                hook_program(disk),
                stand_in(disk),
                PlacedFile(path=REQUIREMENTS, content=managed.content),
                *_copies(folder, disk, None if managed.names_servers else request),
            ),
            overlays=() if managed.names_servers else of_plugins.overlays,
            folders=(os.path.join(folder, TRANSCRIPTS),),
            destinations=model.destinations,
            unasked=UNASKED,
            host_ports=model.host_ports,
            models=model.models,
            hooks=True,
            unseen=unseen,
            notices=(
                *notices,
                *model.notices,
                *managed.notices,
                *_login(provider, folder, request, disk),
            ),
        )

    def parse_hook(self, event: str, payload: bytes) -> HookCall:
        """Read what Codex handed to its hook."""
        return codex_hooks.parse(event, payload, self._home)

    def render(self, call: HookCall, decision: Decision | None) -> HookAnswer:
        """The answer; Codex never asks by itself here, so an allowance is silence."""
        if decision is None or decision.verdict is Verdict.ALLOW:
            return allowed(call.event, say_so=False)
        return denied(call.event, denial_text(decision))

    def refuse(self, event: str, reason: str) -> HookAnswer:
        """A denial without a decision."""
        return denied(event, reason)


def _configuration(argv: tuple[str, ...], disk: Disk, folder: str) -> tuple[Table, tuple[str, ...]]:
    profile = codex_config.option_value(argv, "-p", "--profile")
    tables, notices = [], []
    for name in ("config.toml", *([f"{profile}.config.toml"] if profile and "/" not in profile else [])):
        path = os.path.join(folder, name)
        try:
            tables.append(codex_config.read_table(disk.read_file(path)))
        except ValueError as error:
            tables.append({})
            notices.append(f"`{path}` is not valid TOML, so the model's host was not taken from it: {error}")
    return codex_config.effective_table(tables[0], tables[1] if tables[1:] else {}, argv), tuple(notices)


def _model(provider: Provider) -> OwnEndpoint:
    if provider.base_url is not None:
        widened = own_endpoint(provider.base_url, f"{provider.told_by} (provider `{provider.id}`)")
        extra = OPENAI_HOSTS[1:] if provider.openai_login else ()
        return OwnEndpoint(
            destinations=(*widened.destinations, *extra),
            host_ports=widened.host_ports,
            notices=widened.notices,
            models=widened.models,
        )
    if provider.id in LOCAL_PROVIDERS:
        port = LOCAL_PROVIDERS[provider.id]
        notice = f"port {port} of this machine is reachable, because codex was told to use `{provider.id}`"
        return OwnEndpoint(host_ports=(port,), notices=(notice,), models=(f"{HOST_LOOPBACK}:{port}",))
    if provider.id != "openai":
        notice = f"the host of codex's model provider `{provider.id}` is not known; name it with `--allow-host`"
        return OwnEndpoint(notices=(notice,))
    return OwnEndpoint(destinations=OPENAI_HOSTS)


def _login(provider: Provider, folder: str, request: AgentRequest, disk: Disk) -> tuple[str, ...]:
    known = any(request.environ.get(name) for name in KEYS) or disk.exists(os.path.join(folder, LOGIN))
    if known or provider.id != "openai":
        return ()
    return ("codex has no login yet; log in once outside with `codex login`, because a login made inside is not kept",)


def _uses_plugins(config: Table) -> bool:
    features = config.get("features")
    return bool(config.get("plugins")) or (isinstance(features, Mapping) and "plugins" in features)


def _arguments(argv: tuple[str, ...], *, never_ask: bool, plugins: bool, nested: bool) -> tuple[str, ...]:
    """Codex's own sandbox is switched off, unless the policy lets it stand in ours; ours is around the whole agent."""
    kept, words = [argv[0]], iter(argv[1:])
    if nested:
        kept += words
    for word in words:
        if word == "--":
            kept += [word, *words]
            break
        option, joined, value = word.partition("=")
        if option in {"-s", "--sandbox"}:
            _refuse_read_only(value if joined else next(words, ""))
        elif word in {"-c", "--config"} and (assignment := next(words, "")).startswith("sandbox_mode="):
            _refuse_read_only(assignment.removeprefix("sandbox_mode=").strip("'\""))
        elif word in {"-c", "--config"}:
            kept += [word, assignment]
        else:
            kept.append(word)
    ours = [] if nested else ["-c", 'sandbox_mode="danger-full-access"']
    if never_ask and codex_config.option_value(argv, "-a", "--ask-for-approval") is None:
        ours += ["-c", 'approval_policy="never"']
    if not plugins:
        # Without a plugin there is nothing to load, and the catalogue would be fetched from three hosts at each start.
        ours += ["-c", "features.plugins=false"]
    return (kept[0], *ours, *kept[1:])


def _refuse_read_only(mode: str) -> None:
    if mode == "read-only":
        raise UsageInvalid(
            "codex's own `--sandbox read-only` cannot be set up inside another sandbox",
            remedy="leave it out, and let the sandbox around codex be read-only: `ringfence run --policy read-only`",
        )


def _binds(folder: str, disk: Disk) -> tuple[Bind, ...]:
    # One by one, because Codex puts skills of its own beside the person's.
    skills = [f"skills/{name}" for name in disk.list_folder(os.path.join(folder, "skills")) if name != ".system"]
    rows = [(name, False) for name in (*READ_ONLY, *skills)] + [(name, True) for name in WRITABLE]
    rows.append((LOGIN, _is_renewed(disk.read_file(os.path.join(folder, LOGIN)))))
    places = [(os.path.join(folder, name), writable) for name, writable in rows]
    found = [(path, writable) for path, writable in places if disk.exists(path)]
    found.append((os.path.join(folder, TRANSCRIPTS), True))
    return tuple(Bind(source=path, target=path, writable=writable) for path, writable in found)


def _is_renewed(login: bytes | None) -> bool:
    """Whether Codex has to write its login: the tokens of an account are renewed, a key is not.

    SECURITY: who can write a login can put another account into it, and read what Codex sends there later.
    """
    try:
        value = json.loads(login or b"{}")
    except ValueError:
        return False
    return isinstance(value, dict) and bool(value.get("tokens"))


def _copies(folder: str, disk: Disk, wrap: AgentRequest | None) -> tuple[PlacedFile, ...]:
    """Private copies; with `wrap`, the servers that they start stand behind our stand-in."""
    names = [*COPIED, *(name for name in disk.list_folder(folder) if name.endswith(".config.toml"))]
    own = [(os.path.join(folder, name), 0o600) for name in names]
    read = [(path, mode, disk.read_file(path)) for path, mode in [*own, *((path, 0o444) for path in MANAGED)]]
    found = [(path, mode, content) for path, mode, content in read if content]
    if wrap is not None:
        found = [
            (path, mode, codex_servers.wrap_file(content, wrap) if path.endswith(".toml") else content)
            for path, mode, content in found
        ]
    return tuple(PlacedFile(path=path, content=content, mode=mode) for path, mode, content in found)
