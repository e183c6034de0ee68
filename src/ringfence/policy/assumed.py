"""What a question leaves open and a session would see: which server of tools a name stands for, and where a request to
a model is led.

A question that names a server means the one that the policy describes. In a session it is compared with that, and
another one is denied.
"""

from __future__ import annotations

import shlex

import msgspec

from ringfence.model.action import Action, ConnectAction, McpAction, ServerFacts
from ringfence.model.host import parse_host
from ringfence.policy.effective import McpServer, Policy
from ringfence.policy.judges.model import ModelTable
from ringfence.policy.mcp_identity import command_identity
from ringfence.policy.schema import escaped


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """The action that is judged, and what was added to the question."""

    action: Action
    note: str = ""
    """In words; empty where nothing was."""


def assumed(action: Action, policy: Policy) -> Assumed:
    """The action as a session would see it."""
    match action:
        case McpAction(facts=msgspec.UNSET):
            return _as_described(action, policy.mcp.servers)
        case ConnectAction() if action.method is not None or action.models is not msgspec.UNSET:
            return _as_led(action, ModelTable(policy.model))
        case _:
            return Assumed(action=action)


def _as_described(action: McpAction, servers: tuple[McpServer, ...]) -> Assumed:
    named = [one for one in servers if one.command and one.name.casefold() == action.server.casefold()]
    if not named:
        return Assumed(action=action)
    server = named[0]
    facts = ServerFacts(identity=command_identity(server.command), tools=server.tools[0] if server.tools else "")
    listed = ", with a list of tools that it names" if server.tools else ""
    note = f"as if `{escaped(server.name)}` were what the policy says: {shlex.join(server.command)}{listed}"
    return Assumed(action=msgspec.structs.replace(action, facts=facts), note=f"{note}; another one is denied")


def _as_led(action: ConnectAction, models: ModelTable) -> Assumed:
    try:
        led = models.led(parse_host(action.host), action.port, action.path)
    except ValueError:
        led = None
    if led is None:
        return Assumed(action=action)
    route, path = led
    elsewhere = msgspec.structs.replace(action, host=route.host, port=route.port, path=path)
    return Assumed(action=elsewhere, note=f"requests to models at `{action.host}` are led to {route.url}")
