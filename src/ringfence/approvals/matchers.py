"""What an answer covers: the key under which a grant is found again, and the same thing in words.

A matcher never reaches further than a person can read in one line. Widening it to patterns is a change of policy, and
goes through the policy's own checks.
"""

from __future__ import annotations

from typing import assert_never

from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    FileAction,
    McpAction,
    OpaqueAction,
    action_digest,
)
from ringfence.model.decision import Decision, Verdict
from ringfence.model.display import visible


def once(action: Action) -> str:
    """The matcher of an approval for one time: exactly this action."""
    return f"exact:{action_digest(action)}"


def remembered(action: Action) -> str:
    """The matcher of an approval that is remembered."""
    match action:
        case CommandAction():
            # Arguments, folder, changed variables and the resolved program: another folder is another question.
            return f"command:{action_digest(action)}"
        case ConnectAction():
            return connection(action.host, action.port)
        case FileAction():
            return f"file:{action.operation.value}:{action.path}"
        case McpAction() | OpaqueAction():
            return f"call:{action_digest(action)}"
        case _:
            assert_never(action)


def connection(host: str, port: int) -> str:
    """The matcher of an approval of connections to a destination."""
    return f"connect:{host}:{port}"


def in_words(action: Action) -> str:
    """What `remembered` covers, for the person who decides."""
    match action:
        case CommandAction():
            return "exactly this command in this folder"
        case ConnectAction():
            return f"connections to {visible(action.host)}:{action.port}, as far as the same rules ask"
        case FileAction():
            return f"{'writing' if action.operation == 'write' else 'reading'} exactly this file"
        case McpAction() | OpaqueAction():
            return "this tool with exactly these arguments"
        case _:
            assert_never(action)


def asking(decision: Decision) -> tuple[str, ...]:
    """The rules that asked, by layer and id."""
    return tuple(
        sorted({f"{reason.layer}/{reason.rule}" for reason in decision.reasons if reason.verdict is Verdict.ASK})
    )
