"""Every plain HTTP request of one connection, not only the first: found by the framing of the one before it, and
compared with the host that was authorised before a byte of it goes on. Bytes in and out; it dials nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from ringfence.egress.first_bytes import Http, Spoken, look
from ringfence.egress.http_body import Body
from ringfence.egress.http_head import HeadInvalid
from ringfence.model.decision import Decision

_HTTP_2 = re.compile(rb"(?:^|[,\s])(?:h2c?|http/)")


class ForeignRequest(HeadInvalid):
    """A later request on a connection means another host than the one that was authorised."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(f"denied: {decision.reasons[0].text}")
        self.decision = decision


class Requests:
    """What a client says on a connection whose first bytes are an HTTP request."""

    __slots__ = ("_body", "_check", "_held", "_limit", "_may_switch", "_opaque")

    def __init__(self, check: Callable[[Spoken], Decision | None], limit: int) -> None:
        self._check = check
        self._limit = limit
        self._held = b""
        self._body: Body | None = None
        self._may_switch = False
        """Whether the last request asked to speak something else than HTTP from there on."""
        self._opaque = False

    def take(self, data: bytes) -> bytes:
        """The part that may go on now; `ForeignRequest` or `HeadInvalid` where something must not."""
        passed = bytearray()
        while data and not self._opaque:
            if self._body is not None and not self._body.finished:
                part = self._body.take(data)
                passed += part
                data = data[len(part) :]
            else:
                part, data = self._next(self._held + data)
                passed += part
        return bytes(passed) + (data if self._opaque else b"")

    def _next(self, data: bytes) -> tuple[bytes, bytes]:
        """The head of the next request as it came, and what follows it."""
        self._held = b""
        spoken = look(data)
        if spoken is None:
            if len(data) > self._limit:
                raise HeadInvalid(f"a request cannot be understood within {self._limit} bytes")
            self._held = data
            return b"", b""
        decision = self._check(spoken)
        if decision is not None:
            raise ForeignRequest(decision)
        if isinstance(spoken, Http):
            self._body = Body(spoken.head)
            wanted = [value.lower() for name, value in spoken.head.fields if name == b"upgrade"]
            # SECURITY: there every request can name another host, and none of them is seen.
            if any(_HTTP_2.search(value) for value in wanted):
                raise HeadInvalid("a switch to HTTP/2 without TLS hides which host is asked; go on with HTTP/1.1")
            self._may_switch = bool(wanted)
            end = len(data) - len(spoken.rest)
            return data[:end], spoken.rest
        # SECURITY: a server that did not switch reads what follows as a request; what begins as none, it cannot obey.
        if not self._may_switch:
            raise HeadInvalid("what follows a request is not another one")
        self._opaque = True
        return b"", data
