"""Whether what a client says inside a tunnel names the host that the tunnel was authorised for.

SECURITY: without this check an allowed host on a shared front end (a content network) opens every other host behind it:
the tunnel goes to the allowed one, the TLS server name or the Host header asks for another.
"""

from __future__ import annotations

from ringfence.egress import refusal
from ringfence.egress.first_bytes import Http, Spoken, Tls
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision
from ringfence.model.host import Destination, parse_host, shown

_OWN_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))


def same(named: Destination | None, destination: Destination, origin: str) -> bool:
    """Whether a request's own words name the destination that was authorised. A port of the host's that stands at the
    sandbox's own loopback is called as that one is."""
    if named == destination:
        return True
    here = origin.startswith("host_port:") and named is not None and named.host.name in _OWN_LOOPBACK
    return here and named is not None and named.port == destination.port


def foreign(spoken: Spoken, destination: Destination, *, needs_request: bool, origin: str = "") -> Decision | None:
    """The denial of a client that means another host, or that speaks so that a rule cannot be checked; else None."""
    if isinstance(spoken, Tls):  # the usual one, and mostly it is the one that was authorised
        name = spoken.server_name
        if name is not None and not needs_request:
            # Mostly it is written as we write it, and need not be read.
            if name.decode("latin-1") == destination.host.name or _is_named(name, destination):
                return None
        return _tls(name, destination, _action(destination), needs_request=needs_request)
    action = _action(destination)
    match spoken:
        case Http(head=head):
            if head.destination is not None and head.destination.host == destination.host:
                return None
            if same(head.destination, destination, origin):
                return None
            meant = head.destination.host.name if head.destination else "none"
            text = f"the request inside names the host `{meant}`, not the one that was authorised"
            return refusal.built_in(action, "http.host", text)
        case _ if needs_request:
            text = "a rule for this host looks at HTTP methods or paths, and the connection does not speak HTTP"
            step = "what is not HTTP needs a rule with `protocol` for this port: `ssh`, `postgresql` and others"
            return refusal.built_in(action, "inspection.needed", text, step)
        case _:
            return None


def _action(destination: Destination) -> ConnectAction:
    return ConnectAction(host=destination.host.name, port=destination.port)


def _is_named(name: bytes, destination: Destination) -> bool:
    try:
        return parse_host(name) == destination.host
    except ValueError:
        return False


def _tls(
    name: bytes | None, destination: Destination, action: ConnectAction, *, needs_request: bool
) -> Decision | None:
    if needs_request:
        text = "a rule for this host looks at HTTP methods or paths, which TLS hides here"
        return refusal.built_in(action, "inspection.needed", text, "ask for a rule without `methods` and `paths`")
    if name is None:
        # A server that gets no name answers with its default site, which need not be the authorised one. Clients leave
        # the name out for addresses only.
        if destination.host.address is not None:
            return None
        return refusal.built_in(action, "tls.name", "the TLS client does not say which host it means")
    if _is_named(name, destination):
        return None
    meant = shown(name.decode("latin-1"))
    text = f"the TLS client asks for the host {meant}, not for the one that was authorised"
    return refusal.built_in(action, "tls.name", text, "connect to the host by its own name")
