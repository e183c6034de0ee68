"""The gateway's question, put to the gate: each connection is a decision like any other, recorded before its answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from importlib.util import find_spec

import msgspec

from ringfence.approvals import matchers
from ringfence.approvals.gate import Gate
from ringfence.egress import Gateway, Inspection
from ringfence.egress.authorization import Authorization, Cancel
from ringfence.egress.inspection import Amendment, Confirm, Route
from ringfence.egress.tool_lists import ToolLists
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import DecisionMade
from ringfence.model.host import parse_host
from ringfence.model.host_pattern import Network
from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.evaluate import Evaluator, Sight, address_rules, declared_networks, denied_networks
from ringfence.session.credentials.holding import Holding
from ringfence.session.mcp.reached import Reached, wanting
from ringfence.session.mcp.servers import Servers
from ringfence.session.screening import Leaving
from ringfence.session.tally import Tally
from ringfence.session.trusting import Trusting


class GatewayJudge:
    """Answers the gateway for one session."""

    def __init__(
        self,
        gate: Gate,
        evaluator: Evaluator,
        refused: Callable[[ConnectAction], Decision | None] = lambda _: None,
        allowed: Callable[[Decision], None] = lambda _: None,
    ) -> None:
        """`refused`: why there is no connection whatever the rules say; a denial is on record already. `allowed`: what
        it asked for was answered with yes."""
        self._gate = gate
        self._evaluator = evaluator
        self._refused = refused
        self._allowed = allowed
        self._confirm = confirming(gate, evaluator.policy.digest)
        # A session meets few ports, and the ranges of each are the same at every connection.
        addressed = address_rules(evaluator.policy)
        self._declared = lru_cache(maxsize=256)(partial(declared_networks, addressed))
        self._denied = lru_cache(maxsize=256)(partial(denied_networks, addressed))
        # It meets few hosts as well; a policy does not change.
        self._place = lru_cache(maxsize=1024)(self._look_up)

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        """Decide, record, answer."""
        found = self._refused(action)
        if found is None:
            return self._judge(action, origin, done)
        if found.verdict is not Verdict.ASK:
            done(Authorization(decision=found))
            return _nothing
        waiting: list[Cancel] = []

        def answered(decision: Decision) -> None:
            if decision.verdict is not Verdict.ALLOW:
                return done(Authorization(decision=decision))
            self._allowed(found)
            return waiting.append(self._judge(action, origin, done))

        waiting.append(self._confirm(found, answered))

        def cancel() -> None:
            for one in waiting:
                one()

        return cancel

    def _judge(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        place = self._place(action.host, action.port)
        if action.method is None and place.sight is Sight.INSPECTED:
            # Nothing is opened by this answer: the gateway reads the request and asks again, with method and path.
            decision = self._evaluator.evaluate(action)
            done(Authorization(decision=decision, declared=place.declared, refused=place.refused, needs_request=True))
            return _nothing

        def answer(decision: Decision) -> None:
            done(
                Authorization(
                    decision=decision,
                    declared=place.declared,
                    private=self._evaluator.may_be_private(action),
                    chosen=place.chosen,
                    refused=place.refused,
                    sight=place.sight.value,
                    protocols=None if action.method is not None else place.protocols,
                    host_keys=place.host_keys,
                )
            )

        return self._gate.decide_soon(action, answer, asked_by=f"gateway:{origin}")

    def _look_up(self, host: str, port: int) -> _Place:
        named = parse_host(host).address is None
        anything = ConnectAction(host=host, port=port)
        return _Place(
            sight=self._evaluator.sight(host, port),
            declared=self._declared(port=port, named=named),
            refused=self._denied(port=port),
            chosen=self._evaluator.is_chosen(anything),
            protocols=self._evaluator.spoken(anything),
            host_keys=self._evaluator.host_keys(anything),
        )


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says about a destination, whatever is asked of it."""

    sight: Sight
    """How much of it is seen."""
    declared: tuple[Network, ...]
    """The ranges that rules open on its port."""
    refused: tuple[Network, ...]
    """The ranges that rules deny there."""
    chosen: bool
    protocols: tuple[str, ...] | None
    host_keys: tuple[str, ...]


class Looking(msgspec.Struct, frozen=True, kw_only=True):
    """What a session's gateways look into requests with."""

    trust: Trusting | None
    credentials: Holding
    leaving: Leaving
    """What is looked for in what leaves, for all sandboxes of the session together."""
    servers: Servers
    models: tuple[Amendment, ...] = ()
    """Reads the traffic with models. One for all sandboxes of a session: they share a budget."""
    route: Route | None = None
    """Leads requests to models elsewhere."""


def gateway_of(gate: Gate, evaluator: Evaluator, recorder: Tally, looking: Looking) -> Gateway:
    """The gateway of one sandbox, whose connections are decided by one gate and put on record."""

    def refused(action: ConnectAction) -> Decision | None:
        found = looking.leaving.refused(action, recorder.record_soon)
        if found is not None and found.verdict is Verdict.DENY:
            recorder.record_soon(DecisionMade(decision=found, asked_by="gateway"))
        return found

    if evaluator.policy.network.http2 and find_spec("h2") is None:
        hosts = evaluator.policy.network.http2[0].hosts
        raise SandboxUnavailable(
            f"the policy has `network.http2` for `{hosts}`, and what reads HTTP/2 is not installed",
            remedy="install it with `pip install 'ringfence[inspect]'`, or take the host out of `network.http2`",
        )
    inspection = Inspection(
        authority=None if looking.trust is None else looking.trust.authority,
        # What leaves is looked into and models are read before credentials are put in: no real one is seen there.
        amendments=(
            *looking.leaving.amendments(recorder.record_soon),
            *looking.models,
            *looking.credentials.amendments(recorder),
            ToolLists(Reached(looking.servers, evaluator)),
        ),
        budget=looking.leaving.budgets,
        databases=looking.credentials.databases(recorder),
        confirm=confirming(gate, evaluator.policy.digest),
        judge=lambda call, done: gate.decide_soon(looking.servers.reached(call), done, asked_by="gateway"),
        route=looking.route,
        wants=wanting(lru_cache(evaluator.wants), looking.servers),
        http2=evaluator.speaks_http2,
    )
    return Gateway(
        GatewayJudge(gate, evaluator, refused, looking.leaving.allowed),
        on_closed=recorder.record_soon,
        on_refused=lambda decision: recorder.record_soon(DecisionMade(decision=decision, asked_by="gateway")),
        on_limit=recorder.record_soon,
        inspection=inspection,
    )


def confirming(gate: Gate, policy: str) -> Confirm:
    """Puts to the gate what was found in a request: asked, remembered, recorded and withdrawn like any question."""

    def confirm(found: Decision, done: Callable[[Decision], None]) -> Cancel:
        found = msgspec.structs.replace(found, policy=policy)
        # SECURITY: a question that no rule asks would be answered by a yes to anything else about this destination.
        if not matchers.asking(found):
            found = msgspec.structs.replace(found, verdict=Verdict.DENY)
        return gate.decide_soon(found.action, done, within=lambda _: found)

    return confirm


def _nothing() -> None:
    """There is nothing left to cancel."""
