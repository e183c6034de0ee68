"""A connection that stands, as one stage hands it to the next."""

from __future__ import annotations

import msgspec

from ringfence.egress.front import Wanted


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of it, and what has moved."""

    wanted: Wanted
    """Its `opened` and `rest` are what has still to be written to the client and to the server."""
    sent: int = 0
    """What the server has got already."""
    received: int = 0
    """What the client has got already of what the server said."""
    told: int | None = None
    """How much of `opened` is not the server's; all of it, where nothing is said."""
    known: bool = False
    """Whether what is spoken has been checked."""
    bars_ssh: bool = False
    """Whether SSH would need a certain key of the server, and it is too late to read that."""
    client_events: int
    """Of the client, not acted upon yet."""
    server_events: int
