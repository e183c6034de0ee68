"""The decision about an action: every rule that speaks about it, the strictest verdict, and all the reasons.

Pure and total. It never raises: an error in here is a deny that says so. `policy explain` and enforcement both come
through `Evaluator.evaluate`; there is no second way to judge.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from ringfence.model.action import (
    Action,
    CommandAction,
    ConnectAction,
    Effect,
    EffectKind,
    FileAction,
    McpAction,
    OpaqueAction,
)
from ringfence.model.decision import Decision, Reason, Risk, Verdict
from ringfence.model.host import parse_host
from ringfence.model.host_pattern import HostPattern, Network
from ringfence.policy.advice import message, next_steps, subject
from ringfence.policy.context import Context
from ringfence.policy.effective import HostRule, Policy
from ringfence.policy.judges.command import CommandJudge
from ringfence.policy.judges.connect import ConnectJudge, FactsWanted, Sight
from ringfence.policy.judges.file import FileJudge
from ringfence.policy.judges.finding import Finding
from ringfence.policy.judges.mcp import McpJudge

_OVERRIDE = ("whoever may override it says yes, with a reason that goes on record; it holds once",)

_CONNECTIONS = 1024
"""Decisions about connections that are remembered: a policy never changes, so neither does what it says."""
_SHORT = 512

logger = logging.getLogger(__name__)


class Evaluator:
    """One policy, compiled for one home and workspace."""

    def __init__(self, policy: Policy, context: Context) -> None:
        self.policy = policy
        self.context = context
        self._files = FileJudge(policy, home=context.home, workspace=context.workspace)
        self._connections = ConnectJudge(policy)
        self._commands = CommandJudge(policy, self._files, self._connections, home=context.home)
        self._mcp = McpJudge(policy)
        self._soft = frozenset((origin.layer, origin.source) for origin in policy.soft)
        self._observed = None if policy.observed is None else Evaluator(policy.observed, context)
        self._connection = lru_cache(maxsize=_CONNECTIONS)(self._evaluate)

    def evaluate(self, action: Action) -> Decision:
        """The decision about an action, whatever it holds."""
        try:
            return self._connection(action) if comes_again(action) else self._evaluate(action)
        except (Exception, RecursionError) as error:  # an error is a deny, in this one place
            logger.exception("evaluation failed")
            return self._failed(action, error)

    def _evaluate(self, action: Action) -> Decision:
        return self._with_observed(self._decide(action, self._judge(action)))

    def needs_request(self, host: str, port: int) -> bool:
        """Whether the gateway has to see every request to a destination, and judge each."""
        return self.sight(host, port) is Sight.INSPECTED

    def sight(self, host: str, port: int) -> Sight:
        """How much of what is said to a destination the gateway sees."""
        try:
            return self._connections.sight(host, port)
        except ValueError:
            return Sight.UNSEEN

    def wants(self, host: str, port: int) -> FactsWanted:
        """What has to be read of a request to a destination so that it can be judged."""
        wanted = self._connections.wants(host, port)
        mcp = self.policy.mcp
        calls = bool(mcp.rules or mcp.servers) or mcp.default is not Verdict.ALLOW
        return msgspec.structs.replace(wanted, calls=calls)

    def speaks_http2(self, host: str, port: int) -> bool:
        """Whether clients of an inspected destination may speak HTTP/2."""
        try:
            return self._connections.speaks_http2(host, port)
        except ValueError:
            return False

    @property
    def inspects(self) -> bool:
        """Whether there is any destination whose requests have to be seen."""
        return self._connections.inspects

    def asks_models(self, host: str, port: int) -> bool:
        """Whether models are asked at a destination, as far as is known."""
        try:
            return self._connections.models.provider(parse_host(host), port) is not None
        except ValueError:
            return False

    def may_be_private(self, action: ConnectAction) -> bool:
        """Whether the name may lead to an address of one's own network although no rule names its range; whether an
        address itself is what a rule about this request names."""
        try:
            return self._connections.may_be_private(action)
        except ValueError:
            return False

    def spoken(self, action: ConnectAction) -> tuple[str, ...] | None:
        """The protocols that may be spoken on a connection; None for any."""
        try:
            return self._connections.spoken(action)
        except ValueError:
            return ()

    def host_keys(self, action: ConnectAction) -> tuple[str, ...]:
        """Fingerprints of which an SSH server has to show one; none where any will do."""
        try:
            return self._connections.host_keys(action)
        except ValueError:
            return ()

    def is_chosen(self, action: ConnectAction) -> bool:
        """Whether a client chose a name, or part of it, that no rule names in full."""
        try:
            return self._connections.is_chosen(action)
        except ValueError:
            return True

    def _judge(self, action: Action) -> Finding:
        match action:
            case CommandAction():
                return self._commands.judge(action)
            case FileAction():
                return self._files.judge(action)
            case ConnectAction():
                return self._connections.judge(action)
            case McpAction():
                return self._mcp.judge(action)
            case OpaqueAction():
                text = f"{subject(action)} is not known; it runs inside the sandbox, which holds it"
                return Finding(reasons=(_built_in("tools.default", Verdict.ALLOW, text),), opaque=True)

    def _decide(self, action: Action, finding: Finding) -> Decision:
        reasons = strictest_first(finding.reasons)
        verdict = reasons[0].verdict if reasons else Verdict.DENY
        override = verdict is Verdict.DENY and self._is_soft(action, reasons)
        if override:
            verdict = Verdict.ASK
        return Decision(
            verdict=verdict,
            action=action,
            reasons=reasons,
            policy=self.policy.digest,
            risk=_risk(verdict, finding),
            effects=tuple(dict.fromkeys(finding.effects)),
            opaque=finding.opaque,
            override=override,
            undoable=finding.undoable and verdict is Verdict.ASK and not override,
            message=message(action, verdict, reasons),
            next_steps=_OVERRIDE
            if override
            else next_steps(action, verdict, reasons, finding.concerning, self.context),
        )

    def _is_soft(self, action: Action, reasons: tuple[Reason, ...]) -> bool:
        """Whether everything that denies may be overridden. What the sandbox does not show, nobody can show later."""
        denying = [reason for reason in reasons if reason.verdict is Verdict.DENY]
        return (
            bool(denying)
            and not isinstance(action, FileAction)
            and all((reason.layer, reason.source) in self._soft for reason in denying)
        )

    def _with_observed(self, decision: Decision) -> Decision:
        """The decision with what rules that only observe would have changed."""
        if self._observed is None:
            return decision
        would = self._observed.evaluate(decision.action)
        if would.verdict is decision.verdict:
            return decision
        known = set(decision.reasons)
        reasons = (reason for reason in would.reasons if reason.verdict is would.verdict and reason not in known)
        return msgspec.structs.replace(decision, observed=tuple(reasons))

    def _failed(self, action: Action, error: BaseException) -> Decision:
        text = f"it could not be judged because of an error in Ringfence: {type(error).__name__}"
        reason = _built_in("evaluate.error", Verdict.DENY, text)
        return Decision(
            verdict=Verdict.DENY,
            action=action,
            reasons=(reason,),
            policy=self.policy.digest,
            risk=Risk.HIGH,
            opaque=True,
            message=f"denied: {text}",
            next_steps=("report this with the command and `ringfence --version`",),
        )


def comes_again(action: Action) -> bool:
    """Whether it is worth while to remember what a policy says: programs connect to the same few hosts again and again.
    What is long, or was made for one request, is not kept."""
    return (
        isinstance(action, ConnectAction)
        and action.facts is msgspec.UNSET
        and len(action.host) + len(action.path or "") <= _SHORT
    )


def evaluate(policy: Policy, action: Action, *, context: Context) -> Decision:
    """The decision of a policy about one action. Whoever has many keeps an `Evaluator`."""
    return Evaluator(policy, context).evaluate(action)


def declared_networks(policy: Policy, *, port: int, named: bool) -> tuple[Network, ...]:
    """The addresses and ranges that rules open on a port, whatever is asked there: a private address is what was meant.

    `named`: the destination is a name. SECURITY: only what is allowed without a question speaks for where a name leads,
    because whoever was asked about the name was not asked about the address. Rules that only tighten open nothing, and
    what a rule opens for some requests is not open for others: `may_be_private` answers for each.
    """
    opening = (Verdict.ALLOW,) if named else (Verdict.ALLOW, Verdict.ASK)
    rules = policy.network.rules
    return _ranges((one for one in rules if one.verdict in opening and one.opens and not one.looks_at_requests), port)


def denied_networks(policy: Policy, *, port: int) -> tuple[Network, ...]:
    """The addresses and ranges that rules deny on a port, whatever name leads there."""
    return _ranges((rule for rule in policy.network.rules if rule.verdict is Verdict.DENY), port)


def address_rules(policy: Policy) -> Policy:
    """The part of a policy that the two above look at. Whoever asks them again and again takes it once: most of a
    hundred thousand rules name no address."""
    rules = tuple(rule for rule in policy.network.rules if not all(_is_name(text) for text in rule.hosts))
    return msgspec.structs.replace(policy, network=msgspec.structs.replace(policy.network, rules=rules))


def _is_name(pattern: str) -> bool:
    """Whether a pattern cannot be an address or a range, as its last label shows. Of the others it does not say."""
    return pattern.rpartition(".")[2].isalpha()


def _ranges(rules: Iterable[HostRule], port: int) -> tuple[Network, ...]:
    patterns = (HostPattern.parse(text) for rule in rules for text in rule.hosts if not _is_name(text))
    found = (one.network for one in patterns if one.network is not None and one.port in (None, port))
    return tuple(dict.fromkeys(found))


def strictest_first(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Every reason once, deny before ask before allow; among equals by rule, so that the order of rules never shows."""
    unique = dict.fromkeys(reasons)
    if len(unique) == 1:
        return tuple(unique)
    return tuple(
        sorted(unique, key=lambda reason: (-reason.verdict.strictness, reason.rule, reason.source, reason.text))
    )


def _built_in(rule: str, verdict: Verdict, text: str) -> Reason:
    return Reason(rule=rule, layer="built-in", source="ringfence", verdict=verdict, text=text)


_GRAVE = frozenset({EffectKind.PUBLISH, EffectKind.DESTROY, EffectKind.PRIVILEGE})


def _risk(verdict: Verdict, finding: Finding) -> Risk:
    """How much is at stake: what is denied, cannot be seen, leaves the machine or cannot be brought back is much."""
    match verdict:
        case Verdict.DENY:
            return Risk.HIGH
        case Verdict.ASK:
            grave = finding.opaque or any(effect.kind in _GRAVE for effect in finding.effects)
            return Risk.HIGH if grave else Risk.MEDIUM
        case Verdict.ALLOW:
            return Risk.LOW


__all__ = [
    "Context",
    "Effect",
    "Evaluator",
    "Sight",
    "declared_networks",
    "denied_networks",
    "evaluate",
    "strictest_first",
]
