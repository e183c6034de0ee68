"""What steps see of requests and their answers, and that what they hold is held."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import cast

import msgspec
import pytest
from tests.egress.inspecting import inspecting, leave, server, tunnel
from tests.egress.test_inspected import ASKS, OK, Reader, Writer, answer, websocket

from ringfence.egress.http_head import RequestHead
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.egress.refusal import built_in
from ringfence.egress.websocket_frames import FrameReader, Opcode, frame
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict

FOUND = built_in(ConnectAction(host="a.test", port=443), "content.secret", "it holds a secret")
UNSURE = msgspec.structs.replace(FOUND, verdict=Verdict.ASK)


class Log(Steps):
    """Writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def body(self, data: bytes, *, complete: bool) -> None:
        self.seen.append(("body", data, complete))

    def request(self, head: RequestHead) -> RequestHead | Held:
        self.seen.append(("request", head.method, head.path))
        return head

    def sent(self, data: bytes) -> bytes | Held:
        self.seen.append(("sent", data))
        return data

    def all_sent(self) -> bytes | Held:
        self.seen.append("all sent")
        return b""

    def response(self, head: ResponseHead) -> ResponseHead | Held:
        self.seen.append(("response", head.status))
        return head

    def received(self, data: bytes) -> bytes | Held:
        self.seen.append(("received", data))
        return data

    def all_received(self) -> bytes | Held:
        self.seen.append("all received")
        return b""

    def ended(self, error: str) -> None:
        self.seen.append(("ended", error))


class Served:
    """What reached a server that answers every request the same."""

    def __init__(self, reply: bytes = OK) -> None:
        self.heard = bytearray()
        self._reply = reply

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        while data := await reader.read(65536):
            self.heard += data
            if b"\r\n\r\n" in self.heard:
                writer.write(self._reply)


async def conversation(
    steps: Steps, sent: bytes, served: Served, confirm: Callable[..., Callable[[], None]] | None = None
) -> tuple[bytes, list[Decision]]:
    """What a client hears that sends one request."""
    refused: list[Decision] = []
    options = {"amendments": (lambda _: steps,), "confirm": confirm, "on_refused": refused.append}
    async with server(served) as port, inspecting(**options) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(sent.replace(b"PORT", b"%d" % port))
        heard = await answer(reader)
        await leave(writer)
    return heard, refused


GET = b"GET /g HTTP/1.1\r\nHost: a.test:PORT\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a.test:PORT\r\nContent-Length: 5\r\n\r\n12345"


async def test_steps_see_the_request_and_its_answer_in_order() -> None:
    log = Log()

    heard, _ = await conversation(log, POST, Served())

    assert heard == OK
    assert log.seen == [
        ("request", "POST", "/p"),
        ("sent", b"12345"),
        "all sent",
        ("response", 200),
        ("received", b"ok"),
        "all received",
        ("ended", ""),
    ]


async def test_a_step_that_wants_the_whole_body_has_it_before_the_head() -> None:
    class Whole(Log):
        whole = 1000

    log = Whole()
    head = b"POST /p HTTP/1.1\r\nHost: a.test:PORT\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = head + b"2\r\n12\r\n3\r\n345\r\n0\r\n\r\n"
    served = Served()

    await conversation(log, chunked, served)

    assert log.seen[:3] == [("body", b"12345", True), ("request", "POST", "/p"), ("sent", b"12345")]
    assert bytes(served.heard).endswith(b"Content-Length: 5\r\n\r\n12345")


async def test_a_step_that_wants_less_than_the_body_gets_its_beginning() -> None:
    class Some(Log):
        whole = 3

    log, served = Some(), Served()
    size = 200_000

    await conversation(log, POST.replace(b"5\r\n\r\n12345", b"%d\r\n\r\n" % size + b"x" * size), served)

    name, beginning, complete = cast("tuple[str, bytes, bool]", log.seen[0])
    assert (name, len(beginning) >= 3, complete) == ("body", True, False)
    assert bytes(served.heard).endswith(b"Content-Length: %d\r\n\r\n" % size + b"x" * size)


async def test_steps_may_change_heads_and_bodies() -> None:
    class Changes(Steps):
        resizes = True
        resizes_answer = True

        def request(self, head: RequestHead) -> RequestHead | Held:
            return msgspec.structs.replace(head, fields=(*head.fields, (b"authorization", b"Bearer x")))

        def sent(self, data: bytes) -> bytes | Held:
            return data + data

        def response(self, head: ResponseHead) -> ResponseHead | Held:
            return msgspec.structs.replace(head, fields=(*head.fields, (b"x-seen", b"1")))

        def received(self, data: bytes) -> bytes | Held:
            return b""

        def all_received(self) -> bytes | Held:
            return b"end"

    served = Served()
    async with server(served) as port, inspecting(amendments=(lambda _: Changes(),)) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(POST.replace(b"PORT", b"%d" % port))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readuntil(b"0\r\n\r\n")
        await leave(writer)
    assert b"authorization: Bearer x\r\nTransfer-Encoding: chunked\r\n\r\na\r\n1234512345\r\n0\r\n\r\n" in served.heard
    assert b"x-seen: 1\r\n" in head
    assert body == b"3\r\nend\r\n0\r\n\r\n"


def holding(where: str, verdict: Decision) -> Steps:
    """A step that holds at one place."""

    class Holds(Steps):
        def request(self, head: RequestHead) -> RequestHead | Held:
            return Held(decision=verdict, head=head) if where == "request" else head

        def sent(self, data: bytes) -> bytes | Held:
            return Held(decision=verdict, data=data) if where == "sent" else data

        def all_sent(self) -> bytes | Held:
            return Held(decision=verdict) if where == "all_sent" else b""

        def response(self, head: ResponseHead) -> ResponseHead | Held:
            return Held(decision=verdict, head=head) if where == "response" else head

        def received(self, data: bytes) -> bytes | Held:
            return Held(decision=verdict, data=data) if where == "received" else data

        def all_received(self) -> bytes | Held:
            return Held(decision=verdict) if where == "all_received" else b""

    return Holds()


@pytest.mark.parametrize("where", ["request", "sent", "all_sent", "response"])
async def test_what_a_step_denies_is_answered_with_its_reason(where: str) -> None:
    served = Served()

    heard, refused = await conversation(holding(where, FOUND), POST, served)

    assert heard.startswith(b"HTTP/1.1 403 Forbidden\r\n") and b"content.secret" in heard
    assert refused == [FOUND]
    assert (b"12345" in served.heard) == (where == "response")


async def test_what_a_step_denies_in_an_answer_that_has_begun_is_cut_off() -> None:
    refused: list[Decision] = []
    options = {"amendments": (lambda _: holding("received", FOUND),), "on_refused": refused.append}
    async with server(Served()) as port, inspecting(**options) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(GET.replace(b"PORT", b"%d" % port))
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await answer(reader)
        await leave(writer)
    assert refused == [FOUND]


PLACES = ["request", "sent", "all_sent", "response", "received", "all_received"]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("where", PLACES)
async def test_what_a_step_asks_about_goes_on_after_a_yes(where: str, later: bool) -> None:
    def confirm(decision: Decision, done: Callable[[Decision], None]) -> Callable[[], None]:
        yes = msgspec.structs.replace(decision, verdict=Verdict.ALLOW)
        if later:
            asyncio.get_running_loop().call_later(0.02, done, yes)
        else:
            done(yes)
        return lambda: None

    served = Served()

    heard, refused = await conversation(holding(where, UNSURE), POST, served, confirm)

    assert (heard, refused) == (OK, [])
    assert bytes(served.heard).endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize("where", PLACES[:4])
async def test_what_a_step_asks_about_is_denied_without_anybody_to_ask(where: str) -> None:
    heard, refused = await conversation(holding(where, UNSURE), POST, Served())

    assert heard.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert refused == [UNSURE]


@pytest.mark.parametrize("where", ["made", "body", "request", "sent", "response"])
async def test_a_fault_in_a_step_is_a_denial(where: str) -> None:
    class Breaks(Steps):
        whole = 10

        def body(self, data: bytes, *, complete: bool) -> None:
            assert where != "body"

        def request(self, head: RequestHead) -> RequestHead | Held:
            assert where != "request"
            return head

        def sent(self, data: bytes) -> bytes | Held:
            assert where != "sent"
            return data

        def response(self, head: ResponseHead) -> ResponseHead | Held:
            assert where != "response"
            return head

    def made(request: Request) -> Steps:
        assert where != "made"
        return Breaks()

    refused: list[Decision] = []
    options = {"amendments": (made,), "on_refused": refused.append}
    async with server(Served()) as port, inspecting(**options) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(POST.replace(b"PORT", b"%d" % port))
        heard = await answer(reader)
        await leave(writer)
    assert heard.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert [one.reasons[0].rule for one in refused] == ["gateway.error"]


async def test_a_websocket_message_that_a_step_denies_ends_it_with_a_reason() -> None:
    class NoSecrets(Steps):
        def message_sent(self, data: bytes, *, text: bool) -> bytes | Held:
            return Held(decision=FOUND, data=data) if b"secret" in data else data

    refused: list[Decision] = []
    options = {"amendments": (lambda _: NoSecrets(),), "on_refused": refused.append}
    async with server(websocket) as port, inspecting(**options) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(ASKS % port)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(Opcode.TEXT, b"fine", os.urandom(4)))
        assert await reader.readexactly(6) == frame(Opcode.TEXT, b"fine", None)
        writer.write(frame(Opcode.TEXT, b"a secret", os.urandom(4)))
        frames, heard = FrameReader(masked=False), []
        while data := await reader.read(65536):
            frames.feed(data)
            while (item := frames.next()) is not None:
                heard.append(item.data)
        await leave(writer)
    assert heard[0].startswith(b"\x03\xf0ringfence: ")
    assert refused == [FOUND]
