"""What all connections of a gateway share: the engine, the questions they ask, the limits, and who is open."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Protocol

from ringfence.egress.authorization import Authorize
from ringfence.egress.engine import Engine
from ringfence.egress.front import Wanted
from ringfence.egress.held import Room
from ringfence.egress.inspection import Inspection
from ringfence.egress.limits import Limits
from ringfence.egress.name_budget import NameBudget
from ringfence.egress.overload import HELD_BYTES, Overload
from ringfence.egress.refusal import Refusal, denied, unasked
from ringfence.egress.resolver import Resolver
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.event import ConnectionClosed, LimitReached
from ringfence.model.host import Destination
from ringfence.model.ports import Clock

logger = logging.getLogger(__name__)

_SWEEP_SECONDS = 0.25
_DNS = 53


class Stage(Protocol):
    """What one connection is going through at the moment. One stage hands its sockets on to the next."""

    destination: Destination | None

    def close(self, error: str) -> None:
        """End the connection, whatever it is doing; `error` says why, for the record."""
        ...


class Inspects(Protocol):
    """Looks into requests. Takes clients over whose requests have to be seen."""

    reads_tls: bool
    """Whether it can end the TLS of a client."""

    def take_tls(self, client: socket.socket, wanted: Wanted, first: bytes, events: int) -> None:
        """A client that begins to speak TLS; `first` was read of it already, `events` were not acted upon."""
        ...

    def take_plain(self, client: socket.socket, wanted: Wanted, events: int) -> None:
        """A client that speaks plain HTTP; its first head is read, and what came behind it is `wanted.rest`."""
        ...

    def close(self) -> None:
        """Close what waits for further requests."""
        ...


class Core:
    """Shared by all connections; knows which are open and which have to be done with something by a certain time."""

    def __init__(
        self,
        *,
        authorize: Authorize,
        resolver: Resolver,
        clock: Clock,
        limits: Limits,
        on_closed: Callable[[ConnectionClosed], None],
        on_refused: Callable[[Decision], None],
        on_limit: Callable[[LimitReached], None],
    ) -> None:
        self.engine = Engine()
        self.authorize = authorize
        self.resolver = resolver
        self.clock = clock
        self.limits = limits
        self.overload = Overload(clock, on_limit)
        self.held = Room(limits.held_bytes, lambda: self.overload.refused(HELD_BYTES, limits.held_bytes))
        self.looked_up = NameBudget(limits.looked_up)
        self.inspector: Inspects | None = None
        self.inspection: Inspection | None = None
        self._on_closed = on_closed
        self._on_refused = on_refused
        self.open: set[Stage] = set()
        self._deadlines: dict[Stage, tuple[float, Callable[[], None]]] = {}
        self._sweeping = False
        self._closed = False
        self._now = clock.monotonic

    def expect(self, stage: Stage, seconds: float, otherwise: Callable[[], None]) -> None:
        """Call `otherwise` when that time has passed, unless another deadline or `relax` comes first."""
        self._deadlines[stage] = (self._now() + seconds, otherwise)
        if not self._sweeping and not self._closed:
            self._sweeping = True
            self.engine.loop.call_later(_SWEEP_SECONDS, self._sweep)

    def enter(self, stage: Stage) -> None:
        """A stage begins."""
        self.open.add(stage)

    def leave(self, stage: Stage) -> None:
        """A stage is over: its sockets are handed on or closed."""
        self.open.discard(stage)
        self._deadlines.pop(stage, None)

    def refuse(self, decision: Decision) -> Refusal:
        """Put a denial of our own on record; what the client is to be told."""
        try:
            self._on_refused(decision)
        except Exception:
            logger.exception("a denial could not be reported; the connection is refused all the same")
        return denied(decision)

    def refuse_name(self, name: str, problem: str) -> None:
        """Put on record that a name is not answered."""
        self.refuse(unasked(ConnectAction(host=name, port=_DNS), problem))

    def closed(self, event: ConnectionClosed) -> None:
        """Put the end of a connection on record."""
        try:
            self._on_closed(event)
        except Exception:
            logger.exception("the end of a connection could not be reported")

    def guarded(self, stage: Stage, step: Callable[[], None]) -> None:
        """Do one step of a connection; a fault of ours closes that connection and nothing else."""
        try:
            step()
        except Exception:  # noqa: BLE001  whatever it is, it is logged there
            self.broke(stage)

    def broke(self, stage: Stage) -> None:
        """A fault of ours, which is being handled: that connection is closed, and nothing else."""
        logger.exception("a connection is closed because of an error in the gateway")
        stage.close("an error in the gateway")

    @property
    def is_closed(self) -> bool:
        """Whether the session is over."""
        return self._closed

    def relax(self, stage: Stage) -> None:
        """There is no deadline for this stage any more."""
        self._deadlines.pop(stage, None)

    def close(self) -> None:
        """End every connection and stop."""
        self._closed = True
        for stage in tuple(self.open):
            stage.close("the session ended")
        self._deadlines.clear()
        if self.inspector is not None:
            self.inspector.close()
        self.engine.close()
        self.overload.close()
        self.resolver.close()

    def _sweep(self) -> None:
        self._sweeping = False
        if self._closed:
            return
        now = self.clock.monotonic()
        for stage, (when, otherwise) in tuple(self._deadlines.items()):
            if when <= now and self._deadlines.pop(stage, None) is not None:
                self.guarded(stage, otherwise)
        if self._deadlines and not self._sweeping:
            self._sweeping = True
            self.engine.loop.call_later(_SWEEP_SECONDS, self._sweep)
