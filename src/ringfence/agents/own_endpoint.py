"""What a person's own model address opens: a destination, or a port of the host's loopback, each with its notice."""

from __future__ import annotations

import msgspec

from ringfence.agents.endpoint import read_endpoint
from ringfence.model.host import HOST_LOOPBACK


class OwnEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is opened, and how the person is told."""

    destinations: tuple[str, ...] = ()
    host_ports: tuple[int, ...] = ()
    notices: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """The host and port where models are asked."""


def own_endpoint(address: str, told_by: str) -> OwnEndpoint:
    """Read one address; what cannot be read opens nothing and is said."""
    try:
        endpoint = read_endpoint(address)
    except ValueError as error:
        return OwnEndpoint(notices=(f"the model's address in {told_by} opens nothing: {error}",))
    if endpoint.loopback:
        notice = f"port {endpoint.port} of this machine is reachable, because {told_by} places the model there"
        models = (f"{HOST_LOOPBACK}:{endpoint.port}",)
        return OwnEndpoint(host_ports=(endpoint.port,), notices=(notice,), models=models)
    notice = f"`{endpoint.destination}` is reachable, because {told_by} places the model there"
    models = (endpoint.destination,)
    return OwnEndpoint(destinations=models, notices=(notice,), models=models)
