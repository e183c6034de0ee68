"""The gateway's step for requests to models: reads them, denies what the policy does not let be asked, gathers answers.

Where no limit is set it only looks on: nothing waits for it and nothing changes. Where one is, a request is held until
it is whole, and what cannot be read is denied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec

from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.egress.model_wire.asked import Asked, read_request
from ringfence.egress.model_wire.denials import denial
from ringfence.egress.model_wire.unpacking import Unreadable, readable, unpacking
from ringfence.egress.model_wire.watching import Exchange, Place
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.effective import BUILT_IN, Origin
from ringfence.policy.judges.model import ModelTable, origins
from ringfence.policy.model_endpoints import Interface, Meant, Provider, meaning
from ringfence.policy.schema import escaped

logger = logging.getLogger(__name__)

_OTHER_METHOD = frozenset((b"x-http-method-override", b"x-http-method", b"x-method-override"))
MOST_REQUEST = 32 * 1024 * 1024
"""Bytes of one request that are read: as much as providers take."""


class ModelWatch:
    """What a session's gateways know of models. An amendment; see `Amendment`."""

    def __init__(self, table: ModelTable, place: Place, now: Callable[[], float]) -> None:
        self.table = table
        self.place = place
        self.now = now

    def __call__(self, request: Request) -> Steps | None:
        """The steps for a request; None where no model is asked."""
        to, head = request.destination, request.head
        provider = self.table.provider(to.host, to.port)
        if provider is None:
            return None
        meant = meaning(provider, head.method, head.path)
        spoken = meaning(provider, "POST", head.path) if _is_websocket(head) else None
        if spoken is not None and spoken.interface is Interface.RESPONSES and head.path.endswith("/responses"):
            return Talking(self, request, provider, msgspec.structs.replace(spoken, streams=True))
        why = _unknown(head, meant)
        if why or meant is None:
            limits = self.table.policy.limits
            return Refused(self, request, why, provider.interface) if limits else None
        return None if meant.interface is None else self._asking(request, provider, meant)

    def _asking(self, request: Request, provider: Provider, meant: Meant) -> Steps:
        head = request.head
        size = MOST_REQUEST if head.chunked else min(head.length, MOST_REQUEST)
        if self.place.keep(size):
            return Asking(self, request, provider, meant, size)
        if self.table.policy.limits:
            return Refused(self, request, "too many requests are on their way at once", meant.interface)
        return Asking(self, request, provider, meant, 0)

    def begin(self, request: Request, provider: Provider, said: Asked, began: float | None = None) -> Exchange:
        """An exchange begins, or has begun."""
        to = request.destination
        return Exchange(
            self.place, said, provider=provider.name, host=to.host.name, port=to.port, now=self.now, began=began
        )

    def refusal(self, request: Request, said: Asked) -> Held | None:
        """Why a request may not go; nothing where it may."""
        policy = self.table.policy
        if not policy.limits:
            return None
        because = self.table.refusal(said.models, self.place.spending.spent())
        if because is None and said.later and (policy.budget_tokens is not None or policy.budget_cost is not None):
            because = self.unread("its answer is to be fetched later, when nobody counts it")
        return None if because is None else denial(request.action, because, said.interface, said.models)

    def unread(self, text: str) -> Reason:
        """The reason of a denial of what could not be read."""
        origin: Origin = next(iter(origins(self.table.policy)), BUILT_IN)
        text = f"the policy limits what is asked of models, and {text}"
        return Reason(rule="model.unread", layer=origin.layer, source=origin.source, verdict=Verdict.DENY, text=text)


class Refused(Steps):
    """A request that nobody here can read, where it would have to be."""

    def __init__(self, watch: ModelWatch, request: Request, why: str, interface: Interface | None = None) -> None:
        self._watch, self._request, self._why, self._interface = watch, request, why, interface

    def request(self, head: RequestHead) -> RequestHead | Held:
        """It does not go."""
        return denial(self._request.action, self._watch.unread(self._why), self._interface)


class Asking(Steps):
    """One request and its answer."""

    def __init__(self, watch: ModelWatch, request: Request, provider: Provider, meant: Meant, kept: int) -> None:
        """`kept`: how many bytes of the body may be kept; they are let go at the end."""
        self._watch = watch
        self._request = request
        self._provider = provider
        self._meant = meant
        self._kept = kept
        self._limits = watch.table.policy.limits
        self.whole = MOST_REQUEST if self._limits else 0
        self._complete = False
        self._body = bytearray()
        self._too_long = not kept and (request.head.chunked or request.head.length > 0)
        self._began = watch.now()
        self._exchange: Exchange | None = None

    def body(self, data: bytes, *, complete: bool) -> None:
        """The body, where the request is held for it."""
        self._body += data
        self._complete = complete

    def request(self, head: RequestHead) -> RequestHead | Held:
        """The head, asking for nothing that could not be read; or why this model is not asked."""
        if self._limits:
            try:
                if not (self._complete or (not head.chunked and not head.length)):
                    raise Unreadable(f"the request is longer than {MOST_REQUEST:,} bytes")
                said = self._said(head)
            except Unreadable as error:
                return denial(self._request.action, self._watch.unread(str(error)), self._meant.interface)
            held = self._watch.refusal(self._request, said)
            if held is not None:
                return held
            self._body = bytearray()
            self._watch.place.let_go(self._kept)
            self._kept = 0
            self._exchange = self._watch.begin(self._request, self._provider, said, self._began)
        return _readable(head)

    def sent(self, data: bytes) -> bytes | Held:
        """A piece of the body, of which a copy is kept where nobody waited for it."""
        if not self._limits and not self._too_long:
            self._body += data
            if len(self._body) > self._kept:
                self._too_long, self._body = True, bytearray()
        return data

    def response(self, head: ResponseHead) -> ResponseHead | Held:
        """The head of the answer."""
        self._look(lambda exchange: exchange.responded(head))
        return head

    def received(self, data: bytes) -> bytes | Held:
        """A piece of the answer."""
        self._look(lambda exchange: exchange.received(data))
        return data

    def ended(self, error: str) -> None:
        """It is over."""
        self._watch.place.let_go(self._kept)
        if self._limits and self._exchange is None:
            return
        self._look(lambda exchange: exchange.over(error))

    def _look(self, what: Callable[[Exchange], None]) -> None:
        """An answer is for the agent, whatever goes wrong in looking at it."""
        if self._exchange is None:
            self._exchange = self._watch.begin(self._request, self._provider, self._seen(), self._began)
        try:
            what(self._exchange)
        except Exception:
            logger.exception("an answer of a model could not be read")

    def _seen(self) -> Asked:
        assert self._meant.interface is not None
        size = len(self._body)
        try:
            if self._too_long:
                raise Unreadable("it is longer than what is kept")
            return self._said(self._request.head)
        except Unreadable as error:
            named = (self._meant.model,) if self._meant.model else ()
            size = max(size, self._request.head.length)
            return Asked(interface=self._meant.interface, models=named, size=size, unread=str(error))
        finally:
            self._body = bytearray()

    def _said(self, head: RequestHead) -> Asked:
        coding = next((value for name, value in head.fields if name == b"content-encoding"), b"")
        plain = unpacking(coding.decode("latin-1"))(bytes(self._body), MOST_REQUEST)
        return read_request(self._meant, plain, strict=self._limits)


class Talking(Steps):
    """Requests and answers over one WebSocket, one after the other, as Responses has them."""

    def __init__(self, watch: ModelWatch, request: Request, provider: Provider, meant: Meant) -> None:
        self._watch = watch
        self._request = request
        self._provider = provider
        self._meant = meant
        self._exchange: Exchange | None = None

    def message_sent(self, data: bytes, *, text: bool) -> bytes | Held:
        """A request, or something about one."""
        limits = self._watch.table.policy.limits
        meant = self._meant
        try:
            said = read_request(meant, data, strict=limits)
        except Unreadable as error:
            if limits:
                return denial(self._request.action, self._watch.unread(str(error)), meant.interface)
            return data
        if said.kind != "response.create":
            if limits and said.kind != "response.cancel":
                why = f"a message `{escaped(said.kind)}` over a WebSocket is not known"
                return denial(self._request.action, self._watch.unread(why), meant.interface)
            return data
        held = self._watch.refusal(self._request, said)
        if held is not None:
            return held
        self._over("another request came before the answer was complete")
        self._exchange = self._watch.begin(self._request, self._provider, said)
        self._exchange.responded(_OVER_WEBSOCKET)
        return data

    def message_received(self, data: bytes, *, text: bool) -> bytes | Held:
        """An event of the answer."""
        if self._exchange is not None:
            try:
                self._exchange.event(data)
                if self._exchange.answer.final:
                    self._over("")
            except Exception:
                logger.exception("an answer of a model could not be read")
        return data

    def ended(self, error: str) -> None:
        """The WebSocket is closed."""
        self._over(error or "the connection ended before the answer was complete")

    def _over(self, error: str) -> None:
        if self._exchange is not None:
            self._exchange.over(error)
            self._exchange = None


_OVER_WEBSOCKET = ResponseHead(status=200, fields=((b"content-type", b"text/event-stream"),))


def _unknown(head: RequestHead, meant: Meant | None) -> str:
    """Why nobody knows what a request asks; nothing where it is known."""
    if _is_websocket(head):
        return "what is said over a WebSocket there is not known"
    overriding = {name for name, _ in head.fields} & _OTHER_METHOD
    if overriding:
        return f"`{min(overriding).decode()}` makes another request of this one"
    return "" if meant is not None else f"what `{head.path[:100]}` asks of a model is not known"


def _is_websocket(head: RequestHead) -> bool:
    return any(name == b"upgrade" and b"websocket" in value.lower() for name, value in head.fields)


def _readable(head: RequestHead) -> RequestHead:
    """The head without codings of an answer that could not be looked into."""
    fields = tuple(
        (name, readable(value.decode("latin-1")).encode("latin-1") if name == b"accept-encoding" else value)
        for name, value in head.fields
    )
    return msgspec.structs.replace(head, fields=fields)
