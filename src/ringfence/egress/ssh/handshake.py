"""The stage of a connection on which SSH may be spoken and its server's key has to be a certain one.

Both sides are read until one shows what is spoken. What is not SSH goes on as any other connection, on which a client
cannot begin with SSH any more; of SSH every byte is relayed in here until the encryption begins, so that a wrong key
never reaches the client.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from select import EPOLLIN

import msgspec

from ringfence.egress import refusal
from ringfence.egress.carried import Carried
from ringfence.egress.core import Core
from ringfence.egress.engine import HANGUP, READABLE, WRITABLE
from ringfence.egress.farewell import Farewell
from ringfence.egress.front import Wanted
from ringfence.egress.pump import CHUNK
from ringfence.egress.ssh.exchange import KeyExchange, WrongKey
from ringfence.egress.ssh.wire import VERSION, SshInvalid, disconnect
from ringfence.model.action import ConnectAction
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import Destination

_PREFIX = b"SSH-"


GoOn = Callable[[Carried], None]


class Handshake:
    """A client and its server that may be about to speak SSH."""

    __slots__ = (
        "_address",
        "_client",
        "_core",
        "_down",
        "_exchange",
        "_go_on",
        "_heard",
        "_only",
        "_received",
        "_said",
        "_seen_client",
        "_seen_server",
        "_sent",
        "_server",
        "_started",
        "_told",
        "_up",
        "_wanted",
        "destination",
    )

    def __init__(
        self,
        core: Core,
        client: socket.socket,
        server: socket.socket,
        wanted: Wanted,
        *,
        keys: tuple[str, ...],
        only: bool,
        address: str,
        started: float,
        go_on: GoOn,
        client_events: int,
        server_events: int,
    ) -> None:
        self.destination: Destination | None = wanted.destination
        self._core = core
        self._client = client
        self._server = server
        self._wanted = wanted
        self._only = only
        self._address = address
        self._started = started
        self._go_on = go_on
        self._exchange = KeyExchange(keys)
        self._said, self._heard = wanted.rest, b""  # by client and server, before anybody knows what is spoken
        self._up, self._down = b"", wanted.opened
        self._told = len(wanted.opened)  # of what the client gets, what is not the server's
        self._sent = self._received = 0
        self._seen_client, self._seen_server = client_events, server_events
        core.enter(self)
        core.expect(self, core.limits.head_seconds, self._too_late)
        core.engine.handle(client, self._client_ready)
        core.engine.handle(server, self._server_ready)
        core.guarded(self, self._begin)

    def close(self, error: str) -> None:
        """End it."""
        if self in self._core.open:
            self._core.leave(self)
            self._core.engine.discard(self._client, reset=True)
            self._core.engine.discard(self._server, reset=True)
            self._report(error)

    def _begin(self) -> None:
        self._attempt(self._learn_more)
        # Edges that came before this stage are not reported again.
        self._client_ready(EPOLLIN)
        self._server_ready(EPOLLIN)

    def _learn_more(self) -> None:
        self._write()
        if self._said:
            self._learn()

    def _client_ready(self, events: int) -> None:
        self._seen_client |= events & HANGUP
        self._attempt(lambda: self._serve(events, self._client, self._from_client))

    def _server_ready(self, events: int) -> None:
        self._seen_server |= events & HANGUP
        self._attempt(lambda: self._serve(events, self._server, self._from_server))

    def _attempt(self, step: Callable[[], None]) -> None:
        if self not in self._core.open:
            return None
        try:
            step()
        except BlockingIOError:
            return None
        except OSError as error:
            return self.close((error.strerror or str(error)).lower())
        except SshInvalid as invalid:
            return self._refuse("protocol.malformed", str(invalid), "use a client and server of SSH 2")
        except WrongKey as wrong:
            return self._wrong(str(wrong))
        return None

    def _serve(self, events: int, source: socket.socket, take: Callable[[bytes], None]) -> None:
        if events & WRITABLE:
            self._write()
        # INVARIANT: a side is read until it is empty, because its next edge comes only after that.
        while events & READABLE and self in self._core.open:
            data = source.recv(CHUNK)
            if data:
                take(data)
            else:
                self._ended()

    def _ended(self) -> None:
        if self._is_ssh or self._only:
            self.close("it ended before its key was known")
        else:
            self._finish(known=False)  # the end is seen there again

    def _from_client(self, data: bytes) -> None:
        if self._is_ssh:
            self._up += self._exchange.from_client(data)
            return self._write()
        self._said += data
        return self._learn()

    def _from_server(self, data: bytes) -> None:
        if self._is_ssh:
            self._down += self._exchange.from_server(data)
            self._write()
            return self._finish(known=True) if self._exchange.over else None
        self._heard += data
        return self._learn()

    @property
    def _is_ssh(self) -> bool:
        return self._said.startswith(_PREFIX) or self._heard.startswith(_PREFIX)

    def _learn(self) -> None:
        """Find out what is spoken, from whoever says something first."""
        first = self._said or self._heard
        if self._is_ssh or (self._only and not self._said):
            self._relay()
        elif self._only and not _PREFIX.startswith(first[:4]):
            words = "a rule opens this port for SSH alone, and the client says something else"
            self._refuse("network.protocol", words, "name what is spoken there in `protocol` of a `[[network.rule]]`")
        elif not _PREFIX.startswith(first[:4]):
            self._finish(known=False)

    def _relay(self) -> None:
        """It is SSH, or has to be: both sides' bytes go through the exchange from now on."""
        said, heard = self._said, self._heard
        self._said, self._heard = _PREFIX, b""
        self._up += self._exchange.from_client(said)
        self._down += self._exchange.from_server(heard)
        self._write()

    def _write(self) -> None:
        """Write what may go on; what does not fit waits for the edge that says so."""
        try:
            while self._up:
                count = self._server.send(self._up)
                self._sent += count
                self._up = self._up[count:]
        except BlockingIOError:
            pass
        try:
            while self._down:
                count = self._client.send(self._down)
                self._received += count
                self._down = self._down[count:]
        except BlockingIOError:
            pass

    def _finish(self, *, known: bool) -> None:
        rest, opened = self._up, self._down
        if not known:
            rest, opened = rest + self._said, opened + self._heard
        self._core.leave(self)
        carried = Carried(
            wanted=msgspec.structs.replace(self._wanted, rest=rest, opened=opened),
            sent=self._sent,
            received=max(0, self._received - self._told),
            told=max(0, self._told - self._received),
            known=known,
            # SECURITY: a server may say anything before its version. What the client says decides, whenever it does.
            bars_ssh=not known,
            client_events=EPOLLIN | self._seen_client,
            server_events=EPOLLIN | self._seen_server,
        )
        self._go_on(carried)

    def _too_late(self) -> None:
        if self._is_ssh:
            self.close(f"its key was not known within {self._core.limits.head_seconds:g} seconds")
        else:
            # Nobody says anything; that is not for us to judge.
            self._finish(known=False)

    def _wrong(self, shown: str) -> None:
        text = f"the server shows the host key `{shown}`, which is none of those that it may show"
        step = "somebody else may answer there; if the server's keys were changed, write the new one in `host_keys`"
        self._refuse("ssh.host-key", text, step)

    def _refuse(self, rule: str, text: str, step: str) -> None:
        destination = self._wanted.destination
        action = ConnectAction(host=destination.host.name, port=destination.port)
        reason = self._core.refuse(refusal.built_in(action, rule, text, step))
        fresh = self._received <= self._told and not self._down
        words = reason.in_answer_to(self._said)
        if self._is_ssh:
            # Clients show the text of a packet that ends the connection, as long as nothing is encrypted.
            words = disconnect(reason.text) if not self._down else b""
            words = VERSION + words if fresh else words
        self._core.leave(self)
        self._report(f"denied: {text}")
        self._core.engine.discard(self._server, reset=True)
        if words and (fresh or self._is_ssh):
            Farewell(self._core, self._client, words)
        else:
            self._core.engine.discard(self._client, reset=True)

    def _report(self, error: str) -> None:
        destination = self._wanted.destination
        self._core.closed(
            ConnectionClosed(
                host=destination.host.name,
                port=destination.port,
                address=self._address,
                sent_bytes=self._sent,
                received_bytes=max(0, self._received - self._told),
                duration_ms=int((self._core.clock.monotonic() - self._started) * 1000),
                error=error,
            )
        )
