"""The gateway's question, put to the gate: each connection is a decision like any other, recorded before its answer."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.approvals.gate import Gate
from ringfence.egress.authorization import Authorization, Cancel
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.policy.evaluate import Evaluator, declared_networks


class GatewayJudge:
    """Answers the gateway for one session."""

    def __init__(self, gate: Gate, evaluator: Evaluator) -> None:
        self._gate = gate
        self._evaluator = evaluator
        self._declared = declared_networks(evaluator.policy)

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        """Decide, record, answer."""
        needs_request = action.method is None and self._evaluator.needs_request(action.host, action.port)

        def answer(decision: Decision) -> None:
            done(Authorization(decision=decision, declared=self._declared, needs_request=needs_request))

        self._gate.decide_soon(action, answer, asked_by=f"gateway:{origin}")
        return _nothing


def _nothing() -> None:
    """A question that is open stays open: the next try of the same connection joins it."""
