"""A session that looks into what leaves. Loaded only where a policy wants it."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import msgspec

from ringfence.egress import refusal
from ringfence.egress.content.budgets import Budgets
from ringfence.egress.content.canaries import Canaries, canaries, places
from ringfence.egress.content.known_texts import KnownTexts
from ringfence.egress.content.matching import Forms, Kind, Known
from ringfence.egress.content.names import KnownInNames
from ringfence.egress.content.patterns import patterns
from ringfence.egress.content.scanning import Scanner
from ringfence.egress.content.steps import WITHHELD, Screening
from ringfence.egress.content.views import Limits
from ringfence.egress.credentials.secret import Token
from ringfence.egress.inspection import Amendment
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import Body, ContentFound
from ringfence.model.host import parse_host
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.effective import OnSecret, Policy
from ringfence.sandbox.plan import covers
from ringfence.session.credentials.holding import Holding
from ringfence.session.protected import protected
from ringfence.session.screening import allow_more, over_budget


class Screened:
    """Of one session; all its sandboxes share it."""

    def __init__(
        self,
        policy: Policy,
        holding: Holding,
        *,
        home: str,
        workspace: str,
        is_hidden: Callable[[str], bool],
        token: Token,
        clock: Callable[[], float],
        digest: Callable[[bytes], str],
    ) -> None:
        content = policy.content
        planted = (
            canaries(home, token, is_free=all(is_hidden(path) and not covers(workspace, path) for path in places(home)))
            if content.canaries
            else Canaries()
        )
        self.variables = planted.variables
        self.files = planted.files
        self.budgets = Budgets(content.budgets) if content.budgets else None
        self._policy = policy
        self._holding = holding
        self._digest = digest
        forms = Forms(patterns()) if content.on_secret is not OnSecret.OFF else None
        never = (*planted.known, *(Known(Kind.CREDENTIAL, name, value) for name, value in holding.values()))
        hidden = protected(forms, home, workspace, is_hidden) if forms is not None else ()
        self._names = KnownInNames(never)
        self._known = KnownTexts(never)
        self._record_only = tuple(map(HostPattern.parse, content.record_only))
        off = content.on_secret is OnSecret.OFF
        self._known_origin = policy.origin_of("content.canaries" if off else "content.on_secret")
        self._scanner = Scanner(
            forms=forms,
            # What is known by itself says more than where it stands.
            known=KnownTexts((*never, *hidden)) if hidden else self._known,
            limits=Limits(),
            clock=clock,
            digest=digest,
        )
        self._screening: Screening | None = None

    def amendments(self, record: Callable[[Body], None]) -> tuple[Amendment, ...]:
        """What looks into requests, then what counts their bytes. All sandboxes share what was answered."""
        if self._screening is None:
            self._screening = self._made(record)
        return (self._screening, self.budgets) if self.budgets is not None else (self._screening,)

    def _made(self, record: Callable[[Body], None]) -> Screening:
        content = self._policy.content
        return Screening(
            scanner=self._scanner,
            on_secret=content.on_secret,
            unreadable=content.unreadable,
            secret_origin=self._known_origin,
            unreadable_origin=self._policy.origin_of("content.unreadable"),
            record_only=self._record_only,
            homes={one.id: tuple(map(HostPattern.parse, one.home)) for one in patterns() if one.home},
            harmless=self._holding.standing_in,
            record=record,
        )

    def refused(self, action: ConnectAction, record: Callable[[Body], None]) -> Decision | None:
        """A host name or a path that carries what is known, or a budget that is spent: before any rule is asked, so
        that it stands in no decision."""
        found, place = self._names.find(action.host), "the host name"
        masked = msgspec.structs.replace(action, host="withheld.invalid", facts=msgspec.UNSET)
        if found is None and action.path is not None and not self._only_recorded(action):
            match = next(iter(self._known.find(unquote_to_bytes(action.path))), None)
            found, place = (None if match is None else match.known), "the path"
            masked = msgspec.structs.replace(action, path=WITHHELD, facts=msgspec.UNSET)
        if found is None:
            return over_budget(self.budgets, action)
        event = ContentFound(
            kind=found.kind.value,
            name=found.name,
            severity="high",
            host=masked.host,
            port=action.port,
            place=place,
            length=len(found.value),
            digest=self._digest(found.value.encode()),
            outcome="denied",
            method=action.method or "",
        )
        record(event)
        reason = Reason(
            rule=f"content.{event.kind}:{found.name}#{event.digest}",
            layer=self._known_origin.layer,
            source=self._known_origin.source,
            verdict=Verdict.DENY,
            text=f"{place} carries {found.about}",
        )
        made = refusal.built_in(masked, reason.rule, reason.text)
        return msgspec.structs.replace(made, reasons=(reason,), policy=self._policy.digest)

    def allowed(self, found: Decision) -> None:
        """As much again may be sent: nothing else is asked about a connection."""
        allow_more(self.budgets, found)

    def _only_recorded(self, action: ConnectAction) -> bool:
        host = parse_host(action.host)
        return any(pattern.matches(host, action.port) for pattern in self._record_only)
