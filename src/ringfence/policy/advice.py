"""What a person is told about a decision: one sentence, and what can be done next."""

from __future__ import annotations

import shlex

from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    FileAction,
    FileOperation,
    McpAction,
    OpaqueAction,
)
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.judges.model import NEXT_STEPS
from ringfence.policy.paths import BINDING
from ringfence.policy.protocols import usual
from ringfence.policy.schema import escaped

_VERBS = {
    Verdict.ALLOW: "may run inside the sandbox",
    Verdict.ASK: "stops for an answer",
    Verdict.DENY: "is denied",
}


def subject(action: Action) -> str:
    """An action in a few words, safe to print."""
    match action:
        case CommandAction():
            text = action.shell if action.shell is not None else shlex.join(action.argv)
            return f"command `{escaped(text)}`"
        case FileAction():
            return f"{'reading' if action.operation is FileOperation.READ else 'writing'} `{escaped(action.path)}`"
        case ConnectAction():
            request = f" {escaped(action.method or '')} {escaped(action.path or '')}".rstrip()
            return f"connection to `{escaped(action.host)}:{action.port}`{request}"
        case McpAction():
            return f"MCP tool `{escaped(action.server)}/{escaped(action.tool)}`"
        case OpaqueAction():
            return f"tool `{escaped(action.tool)}`"


def message(action: Action, verdict: Verdict, reasons: tuple[Reason, ...]) -> str:
    """The decision in one sentence."""
    why = reasons[0].text if reasons else "no rule speaks about it"
    if isinstance(action, FileAction) and why.startswith("`"):
        return why
    return f"{subject(action)} {_VERBS[verdict]}: {why}"


def next_steps(action: Action, verdict: Verdict, reasons: tuple[Reason, ...]) -> tuple[str, ...]:
    """What can be done where it did not simply pass."""
    if verdict is Verdict.ALLOW:
        return ()
    binding = [reason for reason in reasons if reason.layer in BINDING and reason.verdict is verdict]
    if binding:
        return (f"ask whoever manages this machine: `{binding[0].source}` says so, and no setting of yours changes it",)
    if isinstance(action, ConnectAction):
        step = NEXT_STEPS.get(reasons[0].rule, "") if reasons else ""
        return (step,) if step else _open_host(action)
    if isinstance(action, FileAction):
        if reasons and reasons[0].rule.startswith("control-file:"):
            return ("change it yourself, outside a session",)
        return _open_path(action)
    if isinstance(action, McpAction) and reasons and reasons[0].rule == "mcp.changed":
        return (
            "look at what it says about its tools, then run it where somebody can be asked, and answer",
            "for good: its new digest in `tools` of a `[[mcp.server]]` in `~/.config/ringfence/policy.toml`",
        )
    if isinstance(action, McpAction):
        return ("for good: a `[[mcp.rule]]` with this server and tool in `~/.config/ringfence/policy.toml`",)
    if verdict is Verdict.ASK:
        return _settle(next(reason for reason in reasons if reason.verdict is Verdict.ASK))
    return ("do it without this command, or do it yourself, outside the sandbox",)


def _settle(asking: Reason) -> tuple[str, ...]:
    """How a rule asks no more; what Ringfence itself asks about is no rule that could be changed."""
    if asking.layer == "built-in":
        return ("answer the question, or write the command so that all of it can be seen before it runs",)
    if asking.layer.startswith("preset:"):
        rule = f'`[[commands.rule]]` with `id = "{asking.rule}"`'
        return (f"for good: a {rule} in your own policy takes its place; its `unless` lists exceptions",)
    return (f"for good: change the rule at `{asking.source}`; its `unless` lists exceptions",)


def _open_host(action: ConnectAction) -> tuple[str, ...]:
    host = shlex.quote(escaped(action.host))
    if action.host.startswith("127.") or action.host in {"::1", "localhost"}:
        return (
            f"a port of the host is `--allow-host host.ringfence.internal:{action.port}`, or `host_ports` in a policy",
        )
    if action.method is None and usual(action.port):
        # Without its port a host is opened for HTTP and TLS alone.
        host = shlex.quote(escaped(f"[{action.host}]" if ":" in action.host else action.host) + f":{action.port}")
        protocol = f'`protocol = "{usual(action.port)}"`'
        return (
            f"for this session: `--allow-host {host}`",
            f"for good: a `[[network.rule]]` with this host and {protocol} in `~/.config/ringfence/policy.toml`",
        )
    return (
        f"for this session: `--allow-host {host}`",
        "for good: a `[[network.rule]]` with this host in `~/.config/ringfence/policy.toml`",
    )


def _open_path(action: FileAction) -> tuple[str, ...]:
    key = action.operation.value
    path = shlex.quote(escaped(action.path))
    return (
        f"for this session: `--{key} {path}`",
        f"for good: `[filesystem] {key}` in `~/.config/ringfence/policy.toml`",
    )
