"""Answers in the form that Codex and Claude Code share, and the words that an agent is told.

The agent learns the kind of action, the rule and whether a retry can help; the whole rationale goes to people and the
record, because what an agent is told about the limits can be used against them.
"""

from __future__ import annotations

import json

from ringfence.agents.agent import HookAnswer
from ringfence.model.action import CommandAction, ConnectAction, FileAction, McpAction, OpaqueAction
from ringfence.model.decision import Decision, Verdict

BEFORE_TOOL = "PreToolUse"
PERMISSION = "PermissionRequest"


def allowed(event: str, *, say_so: bool) -> HookAnswer:
    """Let it happen; `say_so` answers the agent's own permission question as well."""
    if not say_so:
        return HookAnswer()
    output = {"hookEventName": event, "permissionDecision": "allow", "permissionDecisionReason": "allowed by ringfence"}
    return HookAnswer(stdout=_line({"hookSpecificOutput": output}))


def denied(event: str, text: str) -> HookAnswer:
    """Stop it: in JSON, on standard error and by the exit code, since each agent honours another of the three."""
    reason = text.strip() or "denied by ringfence"
    # INVARIANT: neither text is ever empty. A denial without a reason is a call that runs, in one agent.
    return HookAnswer(stdout=_line(_denial(event, reason)), stderr=reason.encode() + b"\n", exit_code=2)


def asked(event: str, text: str) -> HookAnswer:
    """Leave it to the agent's own prompt, which shows this text."""
    output = {"hookEventName": event, "permissionDecision": "ask", "permissionDecisionReason": text}
    return HookAnswer(stdout=_line({"hookSpecificOutput": output}))


def denial_text(decision: Decision) -> str:
    """What the agent is told about a decision that did not allow."""
    rule = decision.because.rule if decision.because else "none"
    words = [f"denied by ringfence ({_kind(decision)}, rule {rule})"]
    if decision.message:
        words.append(f": {decision.message.removeprefix('denied: ')}")
    return "".join(words) + f"; {_retry(decision)}"


def _denial(event: str, reason: str) -> dict[str, object]:
    if event == BEFORE_TOOL:
        output = {"hookEventName": event, "permissionDecision": "deny", "permissionDecisionReason": reason}
        return {"hookSpecificOutput": output}
    if event == PERMISSION:
        return {"hookSpecificOutput": {"hookEventName": event, "decision": {"behavior": "deny", "message": reason}}}
    return {"decision": "block", "reason": reason}


def _kind(decision: Decision) -> str:
    match decision.action:
        case CommandAction():
            return "command"
        case FileAction(operation=operation):
            return f"file {operation.value}"
        case ConnectAction():
            return "network"
        case McpAction():
            return "mcp tool"
        case OpaqueAction():
            return "tool"


def _retry(decision: Decision) -> str:
    if decision.verdict is Verdict.ASK or decision.resolved_by in {"timeout", "nobody"}:
        return "nobody answered, so a retry helps only when a person is there to approve it"
    if decision.resolved_by == "queued":
        return "it waits for an answer: go on with other work, and try exactly this again later"
    if decision.resolved_by == "person":
        return "a person said no, so do not retry"
    if decision.resolved_by == "breaker":
        return "too many of your questions were denied: stop here, and wait for the user's next message"
    return "a retry does not help, so find another way or tell the user"


def _line(value: object) -> bytes:
    return json.dumps(value).encode() + b"\n"
