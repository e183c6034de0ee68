"""The stage for hosts whose rules look at the request: it is read before anything is dialled, and asked about again.

What cannot be read is refused: a tunnel that nobody looks into cannot keep a rule about methods and paths.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

import msgspec

from ringfence.egress import refusal
from ringfence.egress.core import Core
from ringfence.egress.engine import HANGUP, READABLE
from ringfence.egress.farewell import Farewell, Unspoken
from ringfence.egress.first_bytes import Http, Spoken, Tls, look
from ringfence.egress.front import Wanted
from ringfence.egress.http_head import HeadInvalid
from ringfence.egress.identity import foreign
from ringfence.egress.pump import CHUNK
from ringfence.egress.refusal import Refusal
from ringfence.egress.tls_hello import HelloInvalid
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.host import Destination

Reopen = Callable[[Core, socket.socket, Wanted], object]


class Reading:
    """A client that is told to go on, so that its request can be seen. `reopen` takes it from there."""

    __slots__ = ("_client", "_core", "_decision", "_first", "_peeked", "_reopen", "_wanted", "destination")

    def __init__(self, core: Core, client: socket.socket, wanted: Wanted, decision: Decision, reopen: Reopen) -> None:
        self.destination: Destination | None = wanted.destination
        self._core = core
        self._client = client
        self._wanted = wanted
        self._decision = decision
        self._reopen = reopen
        self._first = wanted.rest
        self._peeked = b""
        core.enter(self)
        core.expect(self, core.limits.head_seconds, self._too_late)
        core.engine.handle(client, self._ready)
        try:
            client.send(wanted.opened)
        except OSError:
            return self.close("")
        self._consider(ended=False)
        self._ready(select.EPOLLIN)
        return None

    def close(self, error: str) -> None:
        """End it; nothing was opened, so nothing is recorded."""
        if self in self._core.open:
            self._core.leave(self)
            self._core.engine.discard(self._client)

    def _ready(self, events: int) -> None:
        if self in self._core.open and events & (READABLE | HANGUP):
            try:
                # What may be the beginning of TLS stays where the other end of that TLS will read it.
                data = self._client.recv(self._core.limits.head + CHUNK, socket.MSG_PEEK)
            except BlockingIOError:
                return None
            except OSError:
                return self.close("")
            self._peeked = data
            return self._consider(ended=not data or bool(events & HANGUP))
        return None

    def _consider(self, *, ended: bool) -> None:
        first = self._first + self._peeked
        try:
            spoken = look(first, ended=ended)
        except (HeadInvalid, HelloInvalid) as invalid:
            return self._refuse(refusal.malformed(str(invalid)))
        if spoken is not None:
            self._understood(spoken)
        elif ended:
            self.close("")
        elif len(first) > self._core.limits.head:
            self._refuse(refusal.too_large(self._core.limits.head))
        return None

    def _understood(self, spoken: Spoken) -> None:
        inspector = self._core.inspector
        ends_tls = isinstance(spoken, Tls) and inspector is not None and inspector.reads_tls
        wanted = self._wanted
        decision = foreign(spoken, wanted.destination, needs_request=not ends_tls, origin=wanted.origin)
        if decision is not None:
            return self._deny(decision)
        self._core.leave(self)
        if isinstance(spoken, Tls):
            assert inspector is not None
            return inspector.take_tls(self._client, self._wanted, self._first, select.EPOLLIN)
        assert isinstance(spoken, Http)
        self._client.recv(len(self._peeked))
        if inspector is not None:
            wanted = msgspec.structs.replace(self._wanted, opened=b"", rest=self._first + self._peeked, direct=True)
            return inspector.take_plain(self._client, wanted, select.EPOLLIN)
        wanted = msgspec.structs.replace(self._wanted, opened=b"", rest=spoken.rest, head=spoken.head, direct=True)
        self._reopen(self._core, self._client, wanted)
        return None

    def _too_late(self) -> None:
        action = ConnectAction(host=self._wanted.destination.host.name, port=self._wanted.destination.port)
        text = "a rule for this host looks at HTTP methods or paths, and no request came"
        self._deny(refusal.built_in(action, "inspection.needed", text))

    def _deny(self, decision: Decision) -> None:
        """Refuse with all reasons: also with those why nothing was allowed without the request."""
        before = self._decision.reasons if self._decision.verdict is not Verdict.ALLOW else ()
        decision = msgspec.structs.replace(decision, reasons=decision.reasons + before)
        self._refuse(self._core.refuse(decision))

    def _refuse(self, reason: Refusal) -> None:
        self._core.leave(self)
        first = self._first + self._peeked
        words = reason.in_answer_to(first)
        if words:
            Farewell(self._core, self._client, words)
        else:
            Unspoken(self._core, self._client, reason, first)
