"""Leads requests to models to another address. Pure: a head in, the head for the other server out.

SECURITY: what the client shows as its own credential was meant for its provider. It does not go to the other server;
only placeholders do, in whose place the gateway puts what is bound there.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Routed
from ringfence.model.host import Destination, Host
from ringfence.policy.judges.model import ModelTable

_SHOWING = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"proxy-authorization"))
"""Where clients of models show their credentials."""
_ACCOUNT = frozenset((b"openai-organization", b"openai-project", b"chatgpt-account-id", b"x-goog-user-project"))
"""Whose account it is, at the provider."""

IsPlaceholder = Callable[[str], bool]


class Router:
    """The routes of a session."""

    def __init__(self, table: ModelTable, shows_placeholder: IsPlaceholder) -> None:
        self._table = table
        self._shows_placeholder = shows_placeholder

    def __call__(self, head: RequestHead, destination: Destination) -> Routed | None:
        """Where a request goes instead; see `Route`."""
        found = self._table.led(destination.host, destination.port, head.path)
        if found is None:
            return None
        route, path = found
        assert path is not None
        to = Destination(host=Host(name=route.host), port=route.port)
        led = msgspec.structs.replace(
            head, destination=to, path=path, query=self._query(head.query), fields=self._fields(head)
        )
        return Routed(destination=to, secure=route.secure, head=led)

    def _fields(self, head: RequestHead) -> tuple[tuple[bytes, bytes], ...]:
        return tuple(
            (name, value)
            for name, value in head.fields
            if name not in _ACCOUNT and (name not in _SHOWING or self._shows_placeholder(value.decode("latin-1")))
        )

    def _query(self, query: str) -> str:
        """The query without a key of the provider's, which some clients put there."""
        parts = [part for part in query.removeprefix("?").split("&") if part]
        kept = [part for part in parts if not part.startswith("key=") or self._shows_placeholder(part)]
        return "?" + "&".join(kept) if kept else ""
