"""What the gateway asks before it opens a connection, and what it is told. It decides nothing about policy itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from ringfence.model.action import ConnectAction
from ringfence.model.addresses import Network
from ringfence.model.decision import Decision

Cancel = Callable[[], None]
"""Says that nobody waits for the answer any more. Harmless when the answer was already given."""


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one connection: the final decision, and what the gateway has to know to carry it out."""

    decision: Decision
    """Only the verdict `allow` opens a connection; `ask` here means that nobody answered, which is a deny."""
    declared: tuple[Network, ...] = ()
    """Ranges that rules name, for every request: addresses in them may be dialled although they are not public."""
    private: bool = False
    """Whether the name may lead to an address of one's own network, whatever its range; where no name but an address
    is asked for, whether it may be dialled for this request although it is not public."""
    chosen: bool = False
    """Whether the client chose the name or a part of it, so that looking it up carries something out: only a pattern
    opens it."""
    refused: tuple[Network, ...] = ()
    """Ranges that rules deny: addresses in them are not dialled, whatever name led there."""
    sight: str = ""
    """How much of the connection is seen, for the record: `inspected`, `passed through` or `not inspected`."""
    protocols: tuple[str, ...] | None = None
    """What the client may speak (`http`, `tls`, `ssh`, `tcp` ...), where no request is known; None for anything."""
    host_keys: tuple[str, ...] = ()
    """Where SSH is spoken: fingerprints of which the server has to show one."""
    needs_request: bool = False
    """The rules for this host look at methods or paths, so this decision, whatever it is, is not the last word: the
    gateway reads the request and asks again with it. Where it cannot read it, because it is encrypted, it refuses.
    Nobody needs to be asked, and nothing recorded, for an answer with this mark."""


class Authorize(Protocol):
    """Decides about a connection, asks whoever has to be asked, records, and only then answers."""

    def __call__(self, action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        """Call `done` exactly once, now or later, in the thread of the event loop.

        `origin` says which way the connection came: `http`, `connect`, `socks5`, `capture4`, `capture6` or
        `host_port:N`. The returned function cancels: the client went away.
        """
        ...
