"""What looks into requests sees streams of HTTP/2 as it sees requests of HTTP/1.1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from h2.errors import ErrorCodes
from tests.egress.credentials.carrying import SHOWN, VALUE, carrying
from tests.egress.http2.speaking import Message, Peer, http2_client, http2_server, request
from tests.egress.inspecting import Asked, inspecting
from tests.egress.test_inspected_steps import FOUND, UNSURE, Log

from ringfence.egress import Authorization, Cancel
from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Fields, Held, Steps
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict

TRAILER = (b"grpc-message", b"the end")


async def served(peer: Peer, stream: int) -> None:
    """Answers with the head that it got, and trailers."""
    message = await peer.whole(stream)
    shown = b"\n".join(name + b": " + value for name, value in message.headers)
    peer.answer(stream, [(b":status", b"200"), (b"x-saw", message.value(b"authorization") or b"-")])
    await peer.send(stream, shown)
    peer.answer(stream, [TRAILER, (b"x-saw", message.value(b"authorization") or b"-")], end=True)


async def conversation(
    steps: Steps, confirm: Callable[..., Callable[[], None]] | None = None
) -> tuple[Message, list[Message]]:
    """What a client hears, and what reached the server."""
    async with (
        http2_server(served) as (port, peers),
        inspecting(http2=True, amendments=(lambda _: steps,), confirm=confirm) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port, b"/p", b"POST"), end=False)
        await client.send(stream, b"12345", end=True)
        message = await client.whole(stream)
    return message, [one for peer in peers for one in peer.messages.values()]


async def test_steps_see_the_request_its_answer_and_the_trailers() -> None:
    class Whole(Log):
        whole = 1000

        def trailers(self, fields: Fields) -> Fields | Held:
            self.seen.append(("trailers", fields))
            return (*fields, (b"x-more", b"said"))

    log = Whole()

    message, _ = await conversation(log)

    assert [one for one in log.seen if not isinstance(one, tuple) or one[0] != "received"] == [
        ("body", b"12345", True),
        ("request", "POST", "/p"),
        ("sent", b"12345"),
        "all sent",
        ("response", 200),
        "all received",
        ("trailers", (TRAILER, (b"x-saw", b"-"))),
        ("ended", ""),
    ]
    assert message.trailers == [TRAILER, (b"x-saw", b"-"), (b"x-more", b"said")]


class Holds(Steps):
    """Holds one thing."""

    def __init__(self, what: str, decision: Decision) -> None:
        self._what = what
        self._decision = decision

    def request(self, head: RequestHead) -> RequestHead | Held:
        return Held(decision=self._decision, head=head) if self._what == "request" else head

    def received(self, data: bytes) -> bytes | Held:
        return Held(decision=self._decision, data=data) if self._what == "received" else data

    def trailers(self, fields: Fields) -> Fields | Held:
        return Held(decision=self._decision, fields=fields) if self._what == "trailers" else fields


async def test_a_request_that_is_held_never_reaches_the_server() -> None:
    message, reached = await conversation(Holds("request", FOUND))

    assert (message.status, reached) == (b"403", [])
    assert b"it holds a secret" in message.body


@pytest.mark.parametrize("what", ["received", "trailers"])
async def test_an_answer_that_is_held_is_not_taken_for_complete(what: str) -> None:
    message, _ = await conversation(Holds(what, FOUND))

    assert message.code == ErrorCodes.INTERNAL_ERROR
    assert message.trailers == []


@pytest.mark.parametrize("what", ["request", "received", "trailers"])
async def test_what_somebody_says_yes_to_goes_on(what: str) -> None:
    def yes(decision: Decision, done: Callable[[Decision], None]) -> Callable[[], None]:
        later = asyncio.get_running_loop().call_later(
            0.02, lambda: done(msgspec.structs.replace(decision, verdict=Verdict.ALLOW))
        )
        return later.cancel

    message, _ = await conversation(Holds(what, UNSURE), yes)

    assert (message.status, message.trailers) == (b"200", [TRAILER, (b"x-saw", b"-")])


async def test_a_credential_goes_out_and_comes_back_in_no_part_of_an_answer() -> None:
    async with http2_server(served) as (port, peers):
        policy = f"""
[[credentials]]
id = "key"
source = {{ environment = "K" }}
form = "bearer"
hosts = ["a.test:{port}"]
paths = ["/ours/**"]
"""
        carried = carrying(policy)
        async with (
            inspecting(http2=True, amendments=(carried.wallet,)) as gateway,
            asyncio.timeout(5),
            http2_client(gateway.port, port) as client,
        ):
            shown = (b"authorization", b"Bearer " + SHOWN.encode())
            ours = await client.whole(client.ask(request(port, b"/ours/x", b"GET", shown)))
            foreign = (b"authorization", b"Bearer sk-ant-api03-attackerattackerattackerattacker")
            theirs = await client.whole(client.ask(request(port, b"/ours/x", b"GET", foreign)))

    reached = [message.value(b"authorization") for message in peers[0].messages.values()]
    everything = repr((ours.headers, bytes(ours.body), ours.trailers)).encode()
    assert reached == [b"Bearer " + VALUE.encode()]
    assert (ours.status, VALUE.encode() in everything) == (b"200", False)
    assert SHOWN.encode() in everything
    assert theirs.status == b"403"


async def test_what_is_asked_waits_and_the_others_go_on() -> None:
    waiting: list[tuple[ConnectAction, Callable[[Authorization], None]]] = []
    asked = Asked()

    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        if action.path == "/ask":
            waiting.append((action, done))
            return lambda: withdrawn.append(action.path or "")
        return asked(action, origin, done)

    withdrawn: list[str] = []
    async with (
        http2_server(served) as (port, _),
        inspecting(authorize, http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        held, given_up = client.ask(request(port, b"/ask")), client.ask(request(port, b"/ask"))
        other = await client.whole(client.ask(request(port, b"/free")))
        client.reset(given_up)
        while not withdrawn:
            await asyncio.sleep(0.005)
        action, done = waiting[0]
        asked(action, "connect", done)
        answer = await client.whole(held)

    assert (other.status, answer.status, withdrawn) == (b"200", b"200", ["/ask"])


async def test_a_revoked_grant_ends_the_streams_that_are_open() -> None:
    async def never(peer: Peer, stream: int) -> None:
        peer.answer(stream, [(b":status", b"200")])
        await peer.send(stream, b"begun")
        await peer.over.wait()

    async with (
        http2_server(never) as (port, peers),
        inspecting(http2=True) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        stream = client.ask(request(port))
        await client.messages[stream].came.wait()
        ended = gateway.gateway.close_matching(lambda host, number: (host, number) == ("a.test", port))
        await client.over.wait()
        await peers[0].over.wait()

    assert ended == 1
