"""What a person is told about a decision: one sentence, and what can be done next.

Whoever does what is said here, all of it, finds the same action allowed, or has been told that it is for a person to
answer or to do. It knows what was decided and where it is written; it judges nothing itself.
"""

from __future__ import annotations

import glob
import json
import shlex
from collections.abc import Iterator

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
from ringfence.policy.context import Context
from ringfence.policy.effective import BUILT_IN
from ringfence.policy.globs import is_glob
from ringfence.policy.host_keys import published
from ringfence.policy.judges.finding import UNCERTAIN, Concerning
from ringfence.policy.judges.model import NEXT_STEPS
from ringfence.policy.layers import Layer
from ringfence.policy.paths import BINDING, anchored, normalise
from ringfence.policy.protocols import Protocol, usual
from ringfence.policy.schema import escaped

_VERBS = {
    Verdict.ALLOW: "may run inside the sandbox",
    Verdict.ASK: "stops for an answer",
    Verdict.DENY: "is denied",
}

MOST_STEPS = 8
"""So many things to do are said at once."""
_ANSWER = "answer the question, or write the command so that all of it can be seen before it runs"
_WITHOUT = "do it without this command, or do it yourself, outside the sandbox"
_LENT = "where only the use of a secret in it is needed: a `[[credentials]]` lends that, and the secret stays outside"
_LENT_KEY = "where only a key's use is needed: a `[[sandbox.ssh_agent]]` lends that, and the key stays outside"
_GENERAL = frozenset({"network.default", "network.limited", "mcp.default"})
_OPENED = frozenset({"network.default", "address.private", "dns.resolver"})
"""Denials and questions that a rule which names the host does away with."""


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


def next_steps(
    action: Action,
    verdict: Verdict,
    reasons: tuple[Reason, ...],
    concerning: tuple[Concerning, ...],
    context: Context,
) -> tuple[str, ...]:
    """What can be done where it did not simply pass: about everything that stops it, so that doing it all is enough."""
    if verdict is Verdict.ALLOW:
        return ()
    # What is denied and asked about as well would stop for an answer next.
    stopping = tuple(reason for reason in reasons if reason.verdict is not Verdict.ALLOW)
    bound = next((reason for reason in stopping if reason.verdict is verdict and _is_bound(reason)), None)
    if bound is not None:
        return (f"ask whoever manages this machine: `{bound.source}` says so, and no setting of yours changes it",)
    steps = tuple(
        dict.fromkeys(step for reason in stopping for step in _settled(action, reason, stopping, concerning, context))
    )
    if _WITHOUT in steps:  # the rest would be done in vain
        return (_WITHOUT,)
    more = (f"and {len(steps) - MOST_STEPS} more, which are said once these are done",)
    return steps if len(steps) <= MOST_STEPS else (*steps[:MOST_STEPS], *more)


def _is_bound(reason: Reason) -> bool:
    """Whether an administrator says so, and people's own rules do not count against it."""
    if reason.layer not in BINDING:
        return False
    # What a managed policy says about all that no rule names leaves room for rules that name something.
    general = reason.rule in _GENERAL or reason.rule.startswith("filesystem.read:")
    return not (general and reason.layer == Layer.MANAGED)


def _settled(
    action: Action,
    reason: Reason,
    stopping: tuple[Reason, ...],
    concerning: tuple[Concerning, ...],
    context: Context,
) -> Iterator[str]:
    """What makes one reason stand in the way no more."""
    match action:
        case ConnectAction():
            yield from _connection(action, reason, stopping, context)
        case FileAction():
            yield from _file(action, reason, context)
        case McpAction():
            yield from _tool(action, reason, context)
        case CommandAction():
            named = [one.action for one in concerning if one.reason == reason]
            for one in named:
                yield from _settled(one, reason, (reason,), (), context)
            if not named:
                yield from _command(reason, context)
        case OpaqueAction():
            yield _WITHOUT


def _command(reason: Reason, context: Context) -> Iterator[str]:
    if reason.layer == BUILT_IN.layer:
        yield _ANSWER if reason.verdict is Verdict.ASK else _WITHOUT
    elif reason.text.startswith(UNCERTAIN):
        yield _ANSWER
    else:
        yield _rule("commands", reason, "its `unless` lists exceptions", context)


def _rule(section: str, reason: Reason, exceptions: str, context: Context) -> str:
    """How a written rule stops nothing any more."""
    if reason.layer.startswith("preset:"):
        rule = f"`[[{section}.rule]]` with `id = {_quoted(reason.rule)}`"
        return f"for good: a {rule} in {_own(context)} takes its place; {exceptions}"
    if reason.layer == Layer.SESSION:
        return f"leave out what says so for this session: `{reason.source}`"
    return f"for good: change the rule at `{reason.source}`; {exceptions}"


def _connection(action: ConnectAction, reason: Reason, stopping: tuple[Reason, ...], context: Context) -> Iterator[str]:
    if reason.rule in NEXT_STEPS:
        yield NEXT_STEPS[reason.rule]
    elif reason.rule == "network.limited":
        methods = f"`hosts = [{_quoted(action.host)}]`, `methods = [{_quoted((action.method or 'POST').upper())}]`"
        yield f'for good: a `[[network.rule]]` with {methods} and `verdict = "allow"` in {_own(context)}'
    elif reason.rule in _OPENED or any(one.rule in _OPENED for one in stopping):
        yield from _open_host(action, context)
    elif reason.layer == BUILT_IN.layer:
        yield _WITHOUT
    else:
        yield _rule("network", reason, "an allowance does not overrule it", context)


def _open_host(action: ConnectAction, context: Context) -> Iterator[str]:
    if action.host.startswith("127.") or action.host in {"::1", "localhost"}:
        yield f"a port of the host is `--allow-host host.ringfence.internal:{action.port}`, or `host_ports` in a policy"
        return
    # Without its port a host is opened for HTTP and TLS alone.
    protocol = usual(action.port) if action.method is None else ""
    host = action.host
    if protocol:
        host = f"[{host}]:{action.port}" if ":" in host else f"{host}:{action.port}"
    spoken = f", `protocol = {_quoted(protocol)}`" if protocol else ""
    if protocol == Protocol.SSH and not published(action.host):
        shows = f"ssh-keyscan {shlex.quote(escaped(action.host))} | ssh-keygen -lf -"
        spoken += f", `host_keys` of those that `{shows}` shows"
    yield f"for this session: `--allow-host {shlex.quote(escaped(host))}`"
    keys = f'`hosts = [{_quoted(host)}]`{spoken} and `verdict = "allow"`'
    yield f"for good: a `[[network.rule]]` with {keys} in {_own(context)}"


def _file(action: FileAction, reason: Reason, context: Context) -> Iterator[str]:
    kind, _, pattern = reason.rule.partition(":")
    if kind == "control-file":
        yield "change it yourself, outside a session"
    elif reason.layer == BUILT_IN.layer and reason.rule != "filesystem.default":
        yield _ANSWER if reason.verdict is Verdict.ASK else _WITHOUT
    elif kind == "filesystem.deny" and _is_itself(action.path, pattern, context):
        # On one path a deny wins, whoever wrote what else.
        written = "" if reason.layer.startswith("preset:") else f"take it out of `deny` at `{reason.source}`, or "
        yield f"{written}do it yourself, outside the sandbox: no other rule opens the very path that one denies"
    elif is_glob(action.path):
        yield "open the folder that it is in: a name with `*`, `?` or `[` would be read as a pattern"
    else:
        key = action.operation.value
        if kind == "filesystem.deny" and key == "read" and reason.layer.startswith("preset:"):
            yield _LENT_KEY if pattern == "~/.ssh" else _LENT
        yield f"for this session: `--{key} {shlex.quote(escaped(action.path))}`"
        yield f"for good: `{key} = [{_quoted(action.path)}]` in `[filesystem]` of {_own(context)}"


def _is_itself(path: str, pattern: str, context: Context) -> bool:
    places = anchored(pattern, home=context.home, workspace=context.workspace)
    return not is_glob(pattern) and normalise(path) in places


def _tool(action: McpAction, reason: Reason, context: Context) -> Iterator[str]:
    if reason.rule == "mcp.changed":
        yield "look at what it says about its tools, then run it where somebody can be asked, and answer"
        yield f"for good: its new digest in `tools` of a `[[mcp.server]]` in {_own(context)}"
    elif reason.rule == "mcp.default":
        server, tool = (_quoted(glob.escape(text)) for text in (action.server, action.tool))
        keys = f'`servers = [{server}]`, `tools = [{tool}]` and `verdict = "allow"`'
        yield f"for good: a `[[mcp.rule]]` with {keys} in {_own(context)}"
    elif reason.rule.startswith("mcp.server:"):
        yield f"start the server that `{reason.source}` describes, or change its `[[mcp.server]]` there"
    else:
        yield _rule("mcp", reason, "an allowance does not overrule it", context)


def _own(context: Context) -> str:
    return f"`{escaped(context.user_policy)}`"


def _quoted(text: str) -> str:
    """A text as TOML has it, in which nothing hides."""
    return json.dumps(escaped(text), ensure_ascii=False)
