"""Codex's `requirements.toml` and `config.toml` as parts of a policy.

Both have one list of keys here, because an administrator's requirements and a person's settings use the same words.
What is about Codex itself (its model, login, telemetry) has no place in a policy and is listed.
"""

from __future__ import annotations

import tomllib

from ringfence.agents.exchange.codex_network import import_network, import_workspace_network
from ringfence.agents.exchange.codex_profiles import import_profiles
from ringfence.agents.exchange.codex_rules import PrefixRule, carry_prefix
from ringfence.agents.exchange.codex_servers import import_servers
from ringfence.agents.exchange.draft import Draft
from ringfence.agents.exchange.source import Source
from ringfence.agents.exchange.variables import exclude_variables, keep_variable, set_variable
from ringfence.model.decision import Verdict
from ringfence.policy.effective import Access
from ringfence.policy.schema import escaped
from ringfence.policy.spans import spans

PRESETS = {"read-only": "read-only", "workspace-write": "workspace", "danger-full-access": "full-access"}
"""Codex's sandbox modes as presets."""
_ORDER = ("read-only", "workspace", "full-access")

OF_CODEX = "about Codex itself, not about what it may do; Ringfence leaves it to Codex"
UNKNOWN = "not known to this version of Ringfence"
_OTHERS: dict[str, tuple[str, bool]] = {
    "hooks": ("hooks are programs; keep them in Codex, which still runs them inside the sandbox", True),
    "plugins": ("which plugins Codex loads stays with Codex; they run inside the sandbox", True),
    "apps": ("connectors run at the vendor, out of reach of anything on this machine", True),
    "marketplaces": ("where plugins come from stays with Codex", True),
    "allowed_web_search_modes": ("web search runs at the vendor; keep this in Codex", True),
    "web_search": ("web search runs at the vendor; keep this in Codex", True),
    "remote_sandbox_config": ("a policy for some hosts is a file on these hosts", True),
    "auto_review": ("Ringfence asks a person", False),
    "guardian_policy_config": ("Ringfence asks a person", False),
    "allowed_approvals_reviewers": ("Ringfence asks a person", True),
    "approvals_reviewer": ("Ringfence asks a person", False),
}
_CODEX_WORDS = """
    model model_provider model_providers model_reasoning_effort model_reasoning_summary model_verbosity otel
    analytics feedback history notify tui personality profile profiles projects cli_auth_credentials_store
    mcp_oauth_credentials_store forced_login_method forced_chatgpt_workspace_id enforce_residency models skills
    check_for_update_on_startup sqlite_home log_dir chatgpt_base_url file_opener developer_instructions tools
    allow_login_shell allow_managed_hooks_only allow_remote_control allow_appshots computer_use
"""
_CODEX_KEYS = frozenset(_CODEX_WORDS.split())


def import_settings(draft: Draft, text: str, *, file: str) -> None:
    """Everything that a settings file of Codex says. The text has to be TOML."""
    top = Source(tomllib.loads(text), file=file, place=spans(text).at, draft=draft)
    _modes(top)
    _approvals(top)
    _workspace_write(top)
    import_profiles(top)
    import_network(top)
    _rules(top)
    import_servers(top)
    _environment(top)
    for key in top.rest():
        reason, restricts = _OTHERS.get(key, (OF_CODEX if key in _CODEX_KEYS else UNKNOWN, key not in _CODEX_KEYS))
        draft.lose(top.origin(key), top.name(key), reason, restricts=restricts)


def _modes(top: Source) -> None:
    mode = top.take_text("sandbox_mode")
    if mode is not None:
        _choose(top, "sandbox_mode", mode)
    allowed = top.take_texts("allowed_sandbox_modes")
    presets = [PRESETS[name] for name, _ in allowed if name in PRESETS]
    if not presets:
        return
    origin = top.origin("allowed_sandbox_modes")
    listed = ", ".join(f'"{name}"' for name in presets)
    widest = max((name for name in presets if name != "full-access"), key=_ORDER.index, default=presets[0])
    top.draft.choose_preset(widest, origin)
    reason = f"which presets people may choose stands in requirements: `allowed_presets = [{listed}]`"
    top.draft.lose(origin, "allowed_sandbox_modes", reason, restricts=True)


def _choose(top: Source, key: str, mode: str) -> None:
    origin, item = top.origin(key), f'{key} = "{escaped(mode)}"'
    if mode not in PRESETS:
        top.draft.lose(origin, item, f"the modes are {', '.join(f'`{name}`' for name in PRESETS)}", restricts=True)
        return
    top.draft.choose_preset(PRESETS[mode], origin)
    if mode == "danger-full-access":
        top.draft.tighten(origin, item, "stays inside a sandbox; see what the preset `full-access` shows of the system")


def _approvals(top: Source) -> None:
    for key in ("approval_policy", "allowed_approval_policies"):
        value = top.take(key)
        if value is None:
            continue
        names = value if isinstance(value, list) else [value]
        if names == ["never"]:
            reason = "who answers is an option of `ringfence run`: with `--ask deny`, each question is a deny"
            top.draft.lose(top.origin(key), key, reason, restricts=True)
        elif all(isinstance(name, str) for name in names):
            text = "questions come from rules and reach a person; each is a deny where nobody answers"
            top.draft.cover(top.origin(key), key, text)
        else:
            reason = "questions come from rules here, not from categories"
            top.draft.lose(top.origin(key), key, reason, restricts=True)


def _workspace_write(top: Source) -> None:
    mode = top.values.get("sandbox_mode")
    table = top.take_table("sandbox_workspace_write")
    if table is not None:
        for path, origin in table.take_texts("writable_roots"):
            if path.startswith(("/", "~/")):
                top.draft.add_path(path, Access.WRITE, origin, f"writable root `{escaped(path)}`")
            else:
                reason = "a relative folder depends on where Codex starts; write an absolute path"
                top.draft.lose(origin, f"writable root `{escaped(path)}`", reason, restricts=False)
        for key in ("exclude_slash_tmp", "exclude_tmpdir_env_var"):
            if table.take_flag(key):
                text = "every sandbox has a temporary folder of its own, which nobody else sees"
                top.draft.cover(table.origin(key), table.name(key), text)
    import_workspace_network(top, table, limited=mode in {"read-only", "workspace-write"})
    if table is not None:
        table.lose_rest(UNKNOWN, restricts=True)


def _rules(top: Source) -> None:
    table = top.take_table("rules")
    if table is None:
        return
    for rule in table.take_tables("prefix_rules"):
        _rule(rule)
    table.lose_rest(UNKNOWN, restricts=True)


def _rule(rule: Source) -> None:
    words = {"prompt": Verdict.ASK, "forbidden": Verdict.DENY}
    decision, justification = rule.take_text("decision"), rule.take_text("justification")
    pattern = tuple(_position(element) for element in rule.take_tables("pattern"))
    if not pattern or not all(pattern):
        rule.wrong("pattern", "a list of `{ token = WORD }` or `{ any_of = [WORD, ...] }`, and not empty")
    elif decision not in words:
        rule.wrong("decision", "`prompt` or `forbidden`")
    else:
        carried = PrefixRule(pattern=pattern, verdict=words[decision], justification=justification or "")
        carry_prefix(rule.draft, carried, rule.origin("pattern"))
    rule.lose_rest(UNKNOWN, restricts=True)


def _position(element: Source) -> tuple[str, ...]:
    token = element.take_text("token")
    return (token,) if token is not None else tuple(word for word, _ in element.take_texts("any_of"))


def _environment(top: Source) -> None:
    table = top.take_table("shell_environment_policy")
    if table is None:
        return
    draft = top.draft
    inherit = table.take_text("inherit")
    if inherit in {"all", "core"}:
        text = "no variable is inherited except what the preset and `environment.keep` name"
        draft.tighten(table.origin("inherit"), f'{table.name("inherit")} = "{inherit}"', text)
    excluded = table.take_texts("exclude")
    for name, origin in table.take_texts("include_only"):
        keep_variable(draft, name, origin, except_for=[pattern for pattern, _ in excluded])
    for pattern, origin in excluded:
        exclude_variables(draft, pattern, origin)
    for name, value, origin in table.take_pairs("set"):
        set_variable(draft, name, value, origin)
    if table.take_flag("ignore_default_excludes") is not None:
        text = "no variable is inherited unless it is named"
        draft.cover(table.origin("ignore_default_excludes"), table.name("ignore_default_excludes"), text)
    table.lose_rest(UNKNOWN, restricts=True)
