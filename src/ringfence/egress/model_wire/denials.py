"""A denial in the words of the interface that was spoken: an agent shows it as it shows errors of its provider."""

from __future__ import annotations

import json
from typing import assert_never

import msgspec

from ringfence.egress.inspection import Answered, Held
from ringfence.egress.refusal import built_in
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Reason
from ringfence.policy.judges.model import NEXT_STEPS
from ringfence.policy.model_endpoints import Interface

_FORBIDDEN = 403
_INVALID = 400
"""SECURITY: none of these is a status after which clients try again, or throw a login away: clients of Anthropic and of
Gemini take 403 for a login that is not good any more."""


def denial(action: ConnectAction, because: Reason, interface: Interface | None, models: tuple[str, ...] = ()) -> Held:
    """What a client hears, and what goes on record: with the models, so that another policy can be asked about it."""
    if models:
        action = msgspec.structs.replace(action, models=models)
    step = NEXT_STEPS.get(because.rule, "")
    decision = built_in(action, because.rule, because.text, *([step] if step else []))
    text = f"denied by ringfence (model, rule {because.rule}): {because.text}; a retry does not help; {step}"
    decision = msgspec.structs.replace(decision, reasons=(because,), message=f"the model is not asked: {because.text}")
    status = _INVALID if interface in (Interface.MESSAGES, Interface.GEMINI) else _FORBIDDEN
    body = json.dumps(_error(interface, text), ensure_ascii=False).encode()
    return Held(decision=decision, answer=Answered(status=status, media="application/json", body=body))


def _error(interface: Interface | None, text: str) -> dict[str, object]:
    match interface:
        case Interface.MESSAGES:
            return {"type": "error", "error": {"type": "invalid_request_error", "message": text}}
        case Interface.GEMINI:
            return {"error": {"code": _INVALID, "message": text, "status": "FAILED_PRECONDITION"}}
        case Interface.RESPONSES | Interface.CHAT | None:
            said = {"message": text, "type": "invalid_request_error", "param": None, "code": "denied_by_ringfence"}
            return {"error": said}
        case _:
            assert_never(interface)
