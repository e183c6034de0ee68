"""A denial in the words of the interface that was spoken: an agent shows it as it shows errors of its provider."""

from __future__ import annotations

import json
from typing import assert_never

import msgspec

from ringfence.egress.inspection import Answered, Held
from ringfence.egress.refusal import built_in
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Reason
from ringfence.policy.model_endpoints import Interface

STATUS = 403
"""Not one of those after which clients try again."""

_STEPS = {
    "model.models": "ask for a model that the policy allows",
    "model.budget_tokens": "stop here and say what is left to do; another session has a budget of its own",
    "model.budget_cost": "stop here and say what is left to do; another session has a budget of its own",
    "model.price": "ask for a model that has a price in the policy, or have one added",
    "model.unread": "ask a model by one of its usual interfaces",
}


def denial(action: ConnectAction, because: Reason, interface: Interface | None) -> Held:
    """What a client hears, and what goes on record."""
    step = _STEPS.get(because.rule, "")
    decision = built_in(action, because.rule, because.text, *([step] if step else []))
    text = f"denied by ringfence (model, rule {because.rule}): {because.text}; a retry does not help; {step}"
    decision = msgspec.structs.replace(decision, reasons=(because,), message=f"the model is not asked: {because.text}")
    body = json.dumps(_error(interface, text), ensure_ascii=False).encode()
    return Held(decision=decision, answer=Answered(status=STATUS, media="application/json", body=body))


def _error(interface: Interface | None, text: str) -> dict[str, object]:
    match interface:
        case Interface.MESSAGES:
            return {"type": "error", "error": {"type": "permission_error", "message": text}}
        case Interface.GEMINI:
            return {"error": {"code": STATUS, "message": text, "status": "PERMISSION_DENIED"}}
        case Interface.RESPONSES | Interface.CHAT | None:
            said = {"message": text, "type": "invalid_request_error", "param": None, "code": "denied_by_ringfence"}
            return {"error": said}
        case _:
            assert_never(interface)
