"""The same over HTTP/2: read, denied in the words of the interface, and led elsewhere."""

from __future__ import annotations

import asyncio
import json

from tests.egress.http2.speaking import Peer, http2_client, http2_server, request
from tests.egress.inspecting import inspecting, server
from tests.egress.model_wire.streams import STREAMS
from tests.egress.model_wire.test_routing import hearing, to
from tests.egress.model_wire.test_steps import HOSTS, ONLY, Session

from ringfence.egress.model_wire.routing import Router
from ringfence.model.event import ConnectionClosed
from ringfence.policy.effective import ModelPolicy
from ringfence.policy.judges.model import ModelTable
from ringfence.policy.model_endpoints import Interface


async def model(peer: Peer, stream: int) -> None:
    """Answers every request with one stream of events."""
    await peer.whole(stream)
    peer.answer(stream, [(b":status", b"200"), (b"content-type", b"text/event-stream")])
    await peer.send(stream, STREAMS[Interface.MESSAGES], end=True)


async def posted(client: Peer, port: int, name: str) -> int:
    """A request for a model."""
    body = json.dumps({"model": name}).encode()
    fields = ((b"x-api-key", b"sk-own"), (b"content-length", b"%d" % len(body)))
    stream = client.ask(request(port, b"/v1/messages", b"POST", *fields), end=False)
    await client.send(stream, body, end=True)
    return stream


async def test_requests_are_on_record_and_limited_over_http2() -> None:
    session = Session(ONLY)
    async with (
        http2_server(model) as (port, _),
        inspecting(amendments=(session.watch,), on_refused=session.refused.append, http2=True) as gateway,
        asyncio.timeout(10),
        http2_client(gateway.port, port) as client,
    ):
        allowed = await client.whole(await posted(client, port, "m-1"))
        denied = await client.whole(await posted(client, port, "x-1"))

    assert bytes(allowed.body) == STREAMS[Interface.MESSAGES]
    assert [(one.model, one.input_tokens, one.output_tokens) for one in session.answered] == [("m-1", 100, 40)]
    assert (denied.status, denied.value(b"content-type")) == (b"400", b"application/json")
    assert json.loads(denied.body)["error"]["type"] == "invalid_request_error"
    assert session.rules == ["model.models"]


async def test_a_client_of_http2_is_led_elsewhere_too() -> None:
    heard: list[bytes] = []
    closed: list[ConnectionClosed] = []
    async with (
        http2_server(model) as (port, peers),
        server(hearing(heard), name="b.test") as elsewhere,
        asyncio.timeout(10),
    ):
        policy = ModelPolicy(hosts=HOSTS, routes=(to("a.test", port=elsewhere),))
        session, route = Session(policy), Router(ModelTable(policy), lambda _: False)
        async with (
            inspecting(amendments=(session.watch,), route=route, http2=True, on_closed=closed.append) as gateway,
            http2_client(gateway.port, port) as client,
        ):
            answers = [await client.whole(await posted(client, port, "m-1")) for _ in range(2)]

    assert [one.status for one in answers] == [b"200"] * 2
    assert [(one.host, one.port, one.reached) for one in closed] == [("a.test", port, (f"b.test:{elsewhere}",))]
    assert [one.partition(b"\r\n")[0] for one in heard] == [b"POST /corp/v1/messages HTTP/1.1"] * 2
    assert not any(b"sk-own" in one for one in heard)
    assert [peer.messages for peer in peers] in ([], [{}])
    assert [(one.host, one.model) for one in session.answered] == [("b.test", "m-1")] * 2
