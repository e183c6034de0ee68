"""Nobody is asked about a connection that an agent makes for its own sake and works without.

A question at every start that has nothing to do with the work teaches people to say yes. Such a host is denied where
the policy would ask; a rule that allows or denies it decides as for any other host. Never turns a denial into more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec

from ringfence.model.action import Action, ConnectAction
from ringfence.model.decision import Decision, Reason, Verdict


def without_asking(
    evaluate: Callable[[Action], Decision], hosts: Collection[str], agent: str
) -> Callable[[Action], Decision]:
    """The same judgement, but for connections to these hosts that would be asked about."""

    def judged(action: Action) -> Decision:
        decision = evaluate(action)
        asks = decision.verdict is Verdict.ASK
        if asks and isinstance(action, ConnectAction) and action.host in hosts:
            return _denied(decision, action, agent)
        return decision

    return judged


def _denied(decision: Decision, action: ConnectAction, agent: str) -> Decision:
    text = f"{agent} contacts `{action.host}` for its own sake and works without it, so nobody is asked"
    reason = Reason(
        rule="agent.housekeeping",
        layer="built-in",
        source=f"the profile of the agent {agent}",
        verdict=Verdict.DENY,
        text=text,
    )
    return msgspec.structs.replace(
        decision,
        verdict=Verdict.DENY,
        reasons=(reason, *decision.reasons),
        message=text,
        next_steps=(f"allow it for a session with `--allow-host {action.host}`",),
    )
