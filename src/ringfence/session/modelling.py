"""What a session's gateways read of the traffic with models, and what its policy lets be asked there."""

from __future__ import annotations

from ringfence.egress.inspection import Amendment, Route
from ringfence.egress.model_wire.routing import Router
from ringfence.egress.model_wire.spending import Spending
from ringfence.egress.model_wire.steps import ModelWatch
from ringfence.egress.model_wire.watching import Place
from ringfence.model.clock import SystemClock
from ringfence.policy.effective import ModelContent, Policy
from ringfence.policy.judges.model import ModelTable
from ringfence.session.tally import Tally


def watching(policy: Policy, tally: Tally) -> Amendment:
    """The step of the gateways. It counts for the whole session."""
    table = ModelTable(policy.model)
    content = policy.telemetry.model_content is ModelContent.FULL
    return ModelWatch(table, Place(Spending(table), tally.record_soon, content=content), SystemClock().monotonic)


def routing(policy: Policy, placeholders: tuple[str, ...]) -> Route | None:
    """What leads requests to models elsewhere, where the policy does."""
    if not policy.model.routes:
        return None
    return Router(ModelTable(policy.model), lambda value: any(one in value for one in placeholders))
