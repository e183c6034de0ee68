"""The seam of inspected requests: what a step sees of a request and its answer, and what it may do with them.

The engine asks policy first, then hands each request that policy allowed to the amendments in their order. They know
nothing of sockets: values in, values out. The first one that holds decides, and a fault in one of them is a denial.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from ringfence.egress.databases.bound import Databases
from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.model.action import ConnectAction, McpAction
from ringfence.model.decision import Decision
from ringfence.model.host import Destination, Host
from ringfence.policy.judges.connect import FactsWanted

logger = logging.getLogger(__name__)

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]
"""Header fields in order, the names in lower case."""

Confirm: TypeAlias = Callable[[Decision, Callable[[Decision], None]], Callable[[], None]]
"""Puts a decision with the verdict `ask` to whoever answers, and calls back once with the final one. What it returns
cancels: nobody waits any more. Whatever needs an answer and has nobody to give it is denied."""


Judge: TypeAlias = Callable[[McpAction, Callable[[Decision], None]], Callable[[], None]]
"""Decides about one call of a tool, asks whoever has to be asked, records, and calls back once. What it returns
cancels."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request that policy allowed, before it goes to its server."""

    destination: Destination
    """CONNECT target, TLS server name and Host header, which are one."""
    secure: bool
    """Whether it goes over TLS."""
    head: RequestHead
    """As it will be sent. Framing and hop-by-hop fields are the engine's own."""
    action: ConnectAction
    """What policy was asked."""
    decision: Decision
    """What policy answered."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How a client is told that its request is denied, where it speaks an interface that has a form for it."""

    status: int
    media: str
    body: bytes


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A step does not let something go on as it is."""

    decision: Decision
    """`deny` ends the exchange with these reasons, `ask` holds it until somebody answered (see `Confirm`)."""
    head: RequestHead | ResponseHead | None = None
    """Where a head was held: what goes on after a yes."""
    data: bytes = b""
    """Where bytes were held: what goes on after a yes."""
    answer: Answered | None = None
    """What the client hears of a denial; the usual text where it is missing."""
    fields: Fields = ()
    """Where trailers were held: what goes on after a yes."""
    by: Steps | None = None
    """Who holds it, and hears of a yes; see `Chain`."""


class Steps:
    """What one amendment does with one request and its answer. Override what is of interest; all else passes.

    The bodies come in pieces as they arrive, without chunk framing and as they are encoded (`content-encoding`). A step
    may keep bytes back and give them with a later piece, the end of the body at the latest.
    """

    whole: int = 0
    """How much of the request's body has to be there before `request` is called: up to that many bytes are held, and
    handed to `body`. A longer body is not waited for."""
    resizes: bool = False
    """Whether `sent` gives other bytes than it gets: then the body goes out in chunks, or whole with its own length."""
    resizes_answer: bool = False
    """The same for `received`."""
    gathers: bool = False
    """From `response` on: whether the answer is kept back until it is complete. Then its head waits as well, so that
    the client can still be told why it gets none."""

    @property
    def kept(self) -> int:
        """How many bytes of the answer it keeps at present. They count for the whole session; see `held.Room`."""
        return 0

    def body(self, data: bytes, *, complete: bool) -> None:
        """The beginning of the body, before `request`; called only where `whole` asks for it."""

    def request(self, head: RequestHead) -> RequestHead | Held:
        """The head, as the steps before left it: the one to go on with."""
        return head

    def sent(self, data: bytes) -> bytes | Held:
        """A piece of the request's body."""
        return data

    def all_sent(self) -> bytes | Held:
        """The request's body is complete: what was kept back."""
        return b""

    def response(self, head: ResponseHead) -> ResponseHead | Held:
        """The head of the answer. Interim answers (`100`, `103`) are not shown."""
        return head

    def received(self, data: bytes) -> bytes | Held:
        """A piece of the answer's body."""
        return data

    def all_received(self) -> bytes | Held:
        """The answer is complete: what was kept back."""
        return b""

    def trailers(self, fields: Fields) -> Fields | Held:
        """The fields behind the body of an answer, where the client's protocol has room for them."""
        return fields

    def message_sent(self, data: bytes, *, text: bool) -> bytes | Held:
        """A whole WebSocket message of the client, after an upgrade."""
        return data

    def message_received(self, data: bytes, *, text: bool) -> bytes | Held:
        """A whole WebSocket message of the server, after an upgrade."""
        return data

    def confirmed(self, held: Held) -> None:
        """Somebody who was asked said yes to what this step held. Called before it goes on, and only then: nothing else
        that happens to a request means that."""

    def ended(self, error: str) -> None:
        """The exchange is over; `error` is empty where it went well. Always called, once, and last."""


class Routed(msgspec.Struct, frozen=True, kw_only=True):
    """A request goes to another server than the one that the client named."""

    destination: Destination
    """SECURITY: this is the host that policy is asked about, and that credentials are bound to."""
    secure: bool
    head: RequestHead


Route: TypeAlias = Callable[[RequestHead, Destination], Routed | None]
"""Where a request goes instead, before anybody judges it; None for where it was meant to go."""


class Amendment(Protocol):
    """One concern that looks into requests: credentials, content, the model's own traffic."""

    def __call__(self, request: Request) -> Steps | None:
        """The steps for this request; None where it is of no concern."""
        ...


HTTP1 = ("http/1.1",)
HTTP2 = ("h2", "http/1.1")


class Certifies(Protocol):
    """Answers for the hosts whose TLS ends in the gateway."""

    def context(self, host: Host, protocols: tuple[str, ...] = HTTP1) -> ssl.SSLContext:
        """What a client that asks for `host` is answered with; `protocols` are offered, the best one first."""
        ...


def _nowhere(host: str, port: int) -> bool:
    return False


_NOTHING_MORE = FactsWanted()


def _nothing_more(host: str, port: int) -> FactsWanted:
    return _NOTHING_MORE


class Budget(Protocol):
    """How much may be sent."""

    def counts(self, to: Destination) -> bool:
        """Whether what is sent to a destination is counted."""
        ...

    def spend(self, to: Destination, size: int) -> Decision | None:
        """Count what is about to be sent; why it may not be, where that is too much."""
        ...


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a session looks into requests with."""

    authority: Certifies | None = None
    """Signs for the hosts whose TLS ends here; None where only plain requests are looked into."""
    amendments: tuple[Amendment, ...] = ()
    """In the order in which they see a request, behind the policy."""
    confirm: Confirm | None = None
    """Where nobody can be asked, `ask` is a deny."""
    judge: Judge | None = None
    """Decides about calls of tools over HTTP; where it is missing, they are not looked for."""
    budget: Budget | None = None
    """Counts what is sent in connections that are not looked into; one of the amendments counts the rest."""
    route: Route | None = None
    """Leads requests to other servers."""
    databases: Databases | None = None
    """The databases to which the gateway logs in itself."""
    wants: Callable[[str, int], FactsWanted] = _nothing_more
    """What the rules about a host and port ask about a request, beside its method and path."""
    http2: Callable[[str, int], bool] = _nowhere
    """Whether clients of a host and port may speak HTTP/2 as well."""


Value = TypeVar("Value", RequestHead, ResponseHead, bytes, Fields)
Apply: TypeAlias = Callable[[Steps, Value], Value | Held]


class Chain:
    """The steps of one request in one direction. After a yes to what one of them held, the ones behind it go on; a
    fault in one of them is `fault`, a denial."""

    __slots__ = ("_at", "_fault", "steps")

    def __init__(self, steps: Sequence[Steps], fault: Callable[[], Decision]) -> None:
        self.steps = tuple(steps)
        self._fault = fault
        self._at: tuple[int, bool, bytes] = (0, False, b"")
        """The step that held, whether it held its last bytes, and what is before those."""

    def run(self, value: Value, apply: Apply[Value], *, resume: bool = False) -> Value | Held:
        """The value after all steps, or what one of them held. `resume` goes on behind that one."""
        for number in range(self._at[0] + 1 if resume else 0, len(self.steps)):
            result = self._apply(apply, self.steps[number], value)
            if isinstance(result, Held):
                self._at = (number, False, b"")
                return result
            value = result
        return value

    def finish(
        self, apply: Apply[bytes], last: Callable[[Steps], bytes | Held], *, resumed: bytes | None = None
    ) -> bytes | Held:
        """What the steps kept back at the end of a body; what an earlier one gives passes through the later ones.
        `resumed` is what may go on of the piece that was held."""
        number, in_last, carried = (0, False, b"") if resumed is None else self._at
        if resumed is not None:
            carried += resumed
            number, in_last = (number + 1, False) if in_last else (number, True)
        while number < len(self.steps):
            step = self.steps[number]
            if carried and not in_last:
                passed = self._apply(apply, step, carried)
                if isinstance(passed, Held):
                    self._at = (number, False, b"")
                    return passed
                carried = passed
            tail = self._apply(lambda one, _: last(one), step, b"")
            if isinstance(tail, Held):
                self._at = (number, True, carried)
                return tail
            carried, number, in_last = carried + tail, number + 1, False
        return carried

    def _apply(self, apply: Apply[Value], step: Steps, value: Value) -> Value | Held:
        # Whatever goes wrong where somebody looks into a request: what was not looked into does not go on.
        try:
            result = apply(step, value)
        except Exception:
            logger.exception("a step failed")
            return Held(decision=self._fault())
        return msgspec.structs.replace(result, by=step) if isinstance(result, Held) else result


def _no_fault() -> Decision:
    raise AssertionError("no step, no fault of one")


NO_STEPS = Chain((), _no_fault)
"""Lets everything pass; as it has no step that could hold, it can be shared."""
