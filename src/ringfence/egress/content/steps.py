"""What is done with what requests carry: found, put on record, and stopped where the policy says so.

A body up to a limit is held until all of it was looked at, so that nothing of it leaves before. A longer one passes
while it is looked at, always without its last bytes: where something is found, the server never gets the whole of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from ringfence.egress.content.findings import Finding
from ringfence.egress.content.matching import Kind, Match
from ringfence.egress.content.scanning import BodyScan, Scan, Scanner, codings
from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Fields, Held, Request, Steps
from ringfence.model.decision import Decision, Reason, Risk, Verdict
from ringfence.model.event import ContentFound, ContentUnread
from ringfence.model.host import Destination
from ringfence.model.host_pattern import HostPattern, PatternKind
from ringfence.policy.effective import OnSecret, Origin

CREDENTIAL_FIELDS = frozenset(
    (
        *(b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"api-key", b"x-goog-api-key"),
        *(b"private-token", b"job-token", b"x-auth-token", b"x-access-token", b"npm-auth-token", b"x-vault-token"),
        *(b"x-amz-security-token", b"x-registry-auth", b"dd-api-key", b"x-figma-token"),
    )
)
"""Fields in which a secret is at home, if it is the host's own."""
_FRAMING = frozenset((b"host", b"connection", b"content-length", b"transfer-encoding"))
"""Fields that the gateway writes itself."""
_KEPT = 4096
"""Bytes of a body that passes which stay until what follows them was looked at."""
_MOST_REMEMBERED = 10_000
WITHHELD = "/(withheld)"
"""Stands for a path that carries a secret, wherever the request is shown or kept."""


class Screening(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does with findings."""

    scanner: Scanner
    on_secret: OnSecret
    unreadable: Verdict
    secret_origin: Origin
    unreadable_origin: Origin
    record_only: tuple[HostPattern, ...]
    homes: dict[str, tuple[HostPattern, ...]]
    """By pattern the hosts that take it in fields which carry credentials."""
    harmless: Callable[[], Iterable[bytes]]
    """Placeholders of credentials: they look like secrets and are none."""
    record: Callable[[ContentFound | ContentUnread], None]
    answered: set[tuple[str, int, str]] = msgspec.field(default_factory=set)
    """Host, port and rule of what somebody has said yes to in this session."""
    recorded: set[tuple[str, int, str, str]] = msgspec.field(default_factory=set)

    def __call__(self, request: Request) -> Steps:
        """The steps for a request; see `Amendment`."""
        return Screened(self, request)

    def verdict(self, one: Finding, to: Destination) -> Verdict:
        """What happens where something was found."""
        if any(pattern.matches(to.host, to.port) for pattern in self.record_only):
            return Verdict.ALLOW
        if (to.host.name, to.port, one.rule) in self.answered:
            return Verdict.ALLOW
        if one.kind in (Kind.CREDENTIAL, Kind.CANARY):
            return Verdict.DENY
        return {OnSecret.DENY: Verdict.DENY, OnSecret.ASK: Verdict.ASK}.get(self.on_secret, Verdict.ALLOW)

    def missed(self, to: Destination) -> Verdict:
        """What happens where something was not looked at."""
        free = any(pattern.matches(to.host, to.port) for pattern in self.record_only)
        return Verdict.ALLOW if free else self.unreadable

    def tell(self, request: Request, one: Finding, verdict: Verdict, path: str) -> None:
        """Put a finding on record, once for each host and outcome. `path`: without what was found in it."""
        to = request.destination
        if not self._is_new(to, one.rule, verdict.value):
            return
        self.record(
            ContentFound(
                kind=one.kind.value,
                name=one.name,
                severity="medium" if one.kind is Kind.SECRET else "high",
                host=to.host.name,
                port=to.port,
                place=one.place,
                length=one.length,
                digest=one.digest,
                outcome=_OUTCOMES[verdict],
                method=request.head.method,
                path=path,
                shown=one.shown,
            )
        )

    def tell_unread(self, request: Request, why: str, verdict: Verdict, path: str) -> None:
        """Put on record that something was not looked at."""
        to = request.destination
        if self._is_new(to, f"unread {request.head.method} {path}", why):
            self.record(
                ContentUnread(
                    host=to.host.name,
                    port=to.port,
                    reason=why,
                    outcome=_OUTCOMES[verdict],
                    method=request.head.method,
                    path=path,
                )
            )

    def _is_new(self, to: Destination, what: str, outcome: str) -> bool:
        key = (to.host.name, to.port, what, outcome)
        if key in self.recorded:
            return False
        if len(self.recorded) < _MOST_REMEMBERED:
            self.recorded.add(key)
        return True


_OUTCOMES = {Verdict.ALLOW: "recorded", Verdict.ASK: "asked", Verdict.DENY: "denied"}


class Screened(Steps):
    """One request."""

    def __init__(self, screening: Screening, request: Request) -> None:
        self._screening = screening
        self._request = request
        self._scan = Scan(screening.scanner, harmless=screening.harmless())
        head = request.head
        self._codings = codings(_field(head.fields, b"content-encoding"))
        has_body = head.chunked or head.length > 0
        # A stream of calls is answered before it ends: its pieces cannot wait for one another.
        self._streams = _field(head.fields, b"content-type").lower().startswith(b"application/grpc")
        if has_body and not self._streams:
            self.whole = screening.scanner.limits.held
        self._body = BodyScan(self._scan, self._codings)
        self._first = b""
        self._complete = False
        self._looked_at = 0
        self._kept = b""
        self._tail = b""
        self._action = request.action
        self._missed: set[str] = set()

    def body(self, data: bytes, *, complete: bool) -> None:
        """The beginning of the body, or all of it."""
        self._first, self._complete = data, complete

    def request(self, head: RequestHead) -> RequestHead | Held:
        """The head, once it and what was held of the body were looked at."""
        found = self._in_head(head)
        if self._first:
            if self._complete and not self._codings:
                found += self._scan.text("the body", self._first)
            else:
                found += self._body.feed(self._first, last=self._complete)
            self._looked_at, self._first = len(self._first), b""
        decision = self._judged(found)
        return head if decision is None else Held(decision=decision, head=head)

    def sent(self, data: bytes) -> bytes | Held:
        """A piece of the body, without its last bytes."""
        if self._complete:
            return data
        fresh = data[self._looked_at :]
        self._looked_at = max(self._looked_at - len(data), 0)
        found = self._body.feed(fresh, last=False, now=self._streams) if fresh else []
        waiting = self._kept + data
        # SECURITY: what was not looked at does not go on, and neither does what may be the beginning of a secret.
        cut = len(waiting) if self._streams else max(len(waiting) - self._body.waiting - _KEPT, 0)
        passed, self._kept = waiting[:cut], waiting[cut:]
        decision = self._judged(found)
        return passed if decision is None else Held(decision=decision, data=passed)

    def all_sent(self) -> bytes | Held:
        """The last bytes, once everything was looked at."""
        if self._complete:
            return b""
        found = self._body.feed(b"", last=True)
        kept, self._kept = self._kept, b""
        decision = self._judged(found)
        return kept if decision is None else Held(decision=decision, data=kept)

    def message_sent(self, data: bytes, *, text: bool) -> bytes | Held:
        """A WebSocket message, once it was looked at."""
        self._scan = Scan(self._screening.scanner, harmless=self._screening.harmless())
        # A secret may come in two messages; what came of it before is gone, and not the whole of it.
        seen, self._tail = self._tail + data, (self._tail + data)[-_KEPT:]
        decision = self._judged(self._scan.text("a WebSocket message", seen))
        return data if decision is None else Held(decision=decision, data=data)

    def confirmed(self, held: Held) -> None:
        """What was asked about is allowed for the rest of the session."""
        to = self._request.destination
        self._screening.answered.update((to.host.name, to.port, one.rule) for one in held.decision.reasons)

    def _in_head(self, head: RequestHead) -> list[Finding]:
        found = self._scan.text("the path", head.path.encode())
        if found:
            self._action = msgspec.structs.replace(self._action, path=WITHHELD, facts=msgspec.UNSET)
        if head.query:
            found += self._scan.text("the query", head.query.encode(), also=self._counts_in_query)
        # Some kinds are known by the name that stands before them.
        lines = [(name, name + b": " + value) for name, value in head.fields if name not in _FRAMING]
        together = self._scan.text("the headers", b"\r\n".join(line for _, line in lines)) if lines else []
        if together:
            alone: list[Finding] = []
            for name, line in lines:
                place = f"header {name.decode('latin-1')}"
                alone += self._scan.text(place, line, also=partial(self._counts, name))
            # What is known may stand in several fields, a piece in each.
            seen = {(one.kind, one.name) for one in alone}
            in_pieces = [one for one in together if one.kind is not Kind.SECRET and (one.kind, one.name) not in seen]
            found += alone + in_pieces
        return found

    def _counts(self, field: bytes, match: Match) -> bool:
        """Whether something is a finding in a header: the host's own kind of secret is at home where it is shown."""
        if match.kind is not Kind.SECRET or field not in CREDENTIAL_FIELDS:
            return True
        to = self._request.destination
        homes = self._screening.homes.get(match.name)
        return homes is None or not any(pattern.matches(to.host, to.port) for pattern in homes)

    def _counts_in_query(self, match: Match) -> bool:
        """Whether something is a finding in the query: what a host issued itself is how its addresses are signed. What
        has no host of its own counts everywhere, for a query is where things are taken out."""
        if match.kind is not Kind.SECRET:
            return True
        to = self._request.destination
        homes = self._screening.homes.get(match.name, ())
        return not any(one.kind is not PatternKind.ANY and one.matches(to.host, to.port) for one in homes)

    def _judged(self, found: list[Finding]) -> Decision | None:
        """What stops the request, all of it on record; None where nothing does."""
        to = self._request.destination
        reasons: list[Reason] = []
        for one in found:
            verdict = self._screening.verdict(one, to)
            self._screening.tell(self._request, one, verdict, self._action.path or "")
            if verdict is not Verdict.ALLOW:
                origin = self._screening.secret_origin
                reasons.append(_reason(one.rule, origin, verdict, str(one)))
        for why in [why for why in self._scan.unread if why not in self._missed]:
            self._missed.add(why)
            verdict = self._screening.missed(to)
            rule = "content.unreadable"
            if verdict is Verdict.ASK and (to.host.name, to.port, rule) in self._screening.answered:
                verdict = Verdict.ALLOW
            self._screening.tell_unread(self._request, why, verdict, self._action.path or "")
            if verdict is not Verdict.ALLOW:
                text = f"the request cannot be looked into as a whole: {why}"
                reasons.append(_reason(rule, self._screening.unreadable_origin, verdict, text))
        return self._decision(reasons) if reasons else None

    def _decision(self, reasons: list[Reason]) -> Decision:
        reasons.sort(key=lambda one: -one.verdict.strictness)
        verdict = reasons[0].verdict
        to = self._request.destination
        return Decision(
            verdict=verdict,
            action=self._action,
            reasons=tuple(reasons),
            policy=self._request.decision.policy,
            risk=Risk.HIGH,
            message=f"a request to `{to}` is {'held' if verdict is Verdict.ASK else 'denied'} for what it carries",
            next_steps=(
                "leave it out; a credential that the host needs is bound to it in the policy, and never inside",
            ),
            resolved_by="gateway",
        )


def _reason(rule: str, origin: Origin, verdict: Verdict, text: str) -> Reason:
    return Reason(rule=rule, layer=origin.layer, source=origin.source, verdict=verdict, text=text)


def _field(fields: Fields, name: bytes) -> bytes:
    return next((value for written, value in fields if written == name), b"")
