"""Whom an inspected request belongs to, and what they tell each other while it is on its way.

The owner has the client: a connection of HTTP/1.1, or one stream of HTTP/2. A link is a connection to a server that
carries many requests.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import msgspec

from ringfence.egress.inspection import Steps
from ringfence.egress.refusal import Refusal
from ringfence.egress.upstreams import Upstream

if TYPE_CHECKING:
    from ringfence.egress.course import Course


class State(Enum):
    """What the request waits for."""

    WHOLE = "whole"
    """The rest of its body, which somebody wants to see before it goes."""
    ANSWER = "answer"
    """Somebody's answer, or its server."""
    MOVES = "moves"
    SWITCHED = "switched"
    """It became a WebSocket."""
    OVER = "over"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """How a request is refused."""

    reason: Refusal
    error: str
    """For the record of the connection, should it end with it."""
    begun: bool = False
    """Whether the client has got something of the answer, so that it cannot be told."""
    sent: bool = False
    """Whether the server has got something of the request."""


class Owner(Protocol):
    """Who has the client."""

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what goes wrong in it ends the request."""
        ...

    def broke(self, fault: Exception) -> None:
        """A step went wrong, and that is being handled: it ends the request."""
        ...

    def again(self) -> None:
        """Call `Course.move` after the others had their turn."""
        ...

    def refused(self, told: Told) -> None:
        """The request is over, and refused."""
        ...

    def answered(self, *, keep: bool) -> None:
        """The request is over, and answered. `keep`: another one may follow."""
        ...

    def failed(self, error: str, *, reset: bool, code: int | None = None) -> None:
        """The request is over without an answer. `reset`: the client must not take it for complete; `code` is how the
        server gave it up, where both speak HTTP/2."""
        ...

    def switched(self, upstream: Upstream, steps: tuple[Steps, ...], rest: bytes) -> None:
        """From here on they speak WebSocket. `Course.end` is still to be called when that is over."""
        ...


class Link(Protocol):
    """A connection to the server that carries many requests at once."""

    def carry(self, course: Course) -> bool:
        """Whether it takes the request: `Course.carried` is called when it is there, `go_on`, or one of a `Waiter`'s
        three. Where it does not, the request needs a connection of its own."""
        ...

    def left(self, course: Course) -> None:
        """A request is over."""
        ...
