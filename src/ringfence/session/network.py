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
        if action.method is None and self._evaluator.needs_request(action.host, action.port):
            # Nothing is opened by this answer: the gateway reads the request and asks again, with method and path.
            decision = self._evaluator.evaluate(action)
            done(Authorization(decision=decision, declared=self._declared, needs_request=True))
            return _nothing

        def answer(decision: Decision) -> None:
            done(Authorization(decision=decision, declared=self._declared))

        return self._gate.decide_soon(action, answer, asked_by=f"gateway:{origin}")


def _nothing() -> None:
    """There is nothing left to cancel."""
