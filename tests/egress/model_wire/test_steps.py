"""Requests to models through a real gateway: what passes unchanged, what is denied and how that is said."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from tests.egress.inspecting import inspecting, leave, server, tunnel
from tests.egress.model_wire.streams import STREAMS, WHOLE
from tests.egress.test_inspected import Reader, Writer, answer

from ringfence.egress.http_head import parse_head
from ringfence.egress.inspection import Held, Request
from ringfence.egress.model_wire import watching
from ringfence.egress.model_wire.spending import Spending
from ringfence.egress.model_wire.steps import ModelWatch
from ringfence.egress.model_wire.watching import Place
from ringfence.egress.websocket_frames import Control, FrameReader, Message, Opcode, frame
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ModelAnswered, ModelToolCall
from ringfence.policy.effective import ModelHost, ModelList, ModelPolicy, ModelPrice, Origin
from ringfence.policy.judges.model import ModelTable
from ringfence.policy.model_endpoints import Interface

HERE = Origin(layer="user", source="policy.toml:3")
HOSTS = (ModelHost(hosts="a.test", origin=HERE),)
PATHS = {
    Interface.RESPONSES: "/v1/responses",
    Interface.CHAT: "/v1/chat/completions",
    Interface.MESSAGES: "/v1/messages",
    Interface.GEMINI: "/v1beta/models/m-1:streamGenerateContent",
}
ONLY = ModelPolicy(hosts=HOSTS, allowed=(ModelList(models=("m-*",), origin=HERE),))


def budget(tokens: int) -> ModelPolicy:
    """A policy with a budget."""
    return ModelPolicy(hosts=HOSTS, budget_tokens=tokens, origins=(("budget_tokens", HERE),))


class Session:
    """What a session records of models."""

    def __init__(self, policy: ModelPolicy, *, most: int = watching.MOST_TOGETHER) -> None:
        self.recorded: list[ModelAnswered | ModelToolCall] = []
        self.refused: list[Decision] = []
        table = ModelTable(policy)
        times = iter(range(1_000_000))
        self.spending = Spending(table)
        place = Place(self.spending, self.recorded.append, content=False, most=most)
        self.watch = ModelWatch(table, place, lambda: next(times) / 1000)

    @property
    def answered(self) -> list[ModelAnswered]:
        """The answers."""
        return [one for one in self.recorded if isinstance(one, ModelAnswered)]

    @property
    def rules(self) -> list[str]:
        """Why something was denied."""
        return [one.reasons[0].rule for one in self.refused]


class Model:
    """A server that answers every request with the same bytes."""

    def __init__(self, body: bytes, media: str = "text/event-stream", coding: str = "") -> None:
        self.heard: list[bytes] = []
        self._body = body
        packed = f"content-encoding: {coding}\r\n" if coding else ""
        self._head = f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\n{packed}transfer-encoding: chunked\r\n\r\n".encode()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.heard.append(head + await reader.readexactly(length))
            writer.write(self._head)
            for at in range(0, len(self._body), 100):
                piece = self._body[at : at + 100]
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")


def posted(path: str, body: object, port: int, fields: Mapping[str, str] | None = None) -> bytes:
    """A request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name}: {value}\r\n" for name, value in (fields or {}).items())
    return f"POST {path} HTTP/1.1\r\nhost: a.test:{port}\r\n{more}content-length: {len(data)}\r\n\r\n".encode() + data


async def chunked(reader: Reader) -> bytes:
    """The body of one chunked answer."""
    await reader.readuntil(b"\r\n\r\n")
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


@contextmanager
def all_settled(session: Session) -> Iterator[None]:
    """Nothing is left open at the end."""
    yield
    assert session.spending.spent().open_requests == 0


@pytest.mark.parametrize("interface", Interface)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("policy", [ModelPolicy(hosts=HOSTS), budget(1_000)], ids=["looking on", "with a budget"])
async def test_requests_and_answers_pass_to_the_byte_and_are_on_record(
    interface: Interface, packed: bool, policy: ModelPolicy
) -> None:
    data = STREAMS[interface]
    data = gzip.compress(data) if packed else data
    session, model = Session(policy), Model(data, coding="gzip" if packed else "")
    body = json.dumps({"model": "m-1", "stream": True}).encode()

    with all_settled(session):
        async with server(model) as port, inspecting(amendments=(session.watch,)) as gateway, asyncio.timeout(10):
            reader, writer = await tunnel(gateway.port, port)
            writer.write(posted(PATHS[interface], body, port, {"x-own": "1"}))
            heard = await chunked(reader)
            writer.write(posted(PATHS[interface], body, port))
            assert await chunked(reader) == data
            await leave(writer)

    assert heard == data
    assert model.heard[0].endswith(b"\r\n\r\n" + body) and b"x-own: 1" in model.heard[0]
    first, second = session.answered
    assert (first.model, first.input_tokens, first.output_tokens, first.status) == ("m-1", 100, 40, 200)
    assert first.calls == second.calls == sum(isinstance(one, ModelToolCall) for one in session.recorded) // 2
    assert session.refused == []


async def test_a_first_piece_is_not_kept_back_until_there_is_more() -> None:
    session = Session(ModelPolicy(hosts=HOSTS))
    go_on = asyncio.Event()

    async def slowly(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        writer.write(b"5\r\ndata:\r\n")
        await go_on.wait()
        writer.write(b"0\r\n\r\n")

    async with server(slowly) as port, inspecting(amendments=(session.watch,)) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(posted("/v1/messages", {"model": "m-1"}, port))
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(10) == b"5\r\ndata:\r\n"
        go_on.set()
        await leave(writer)


async def denied(
    policy: ModelPolicy, path: str, body: object, *, most: int = watching.MOST_TOGETHER, **fields: str
) -> tuple[bytes, Session]:
    """What a client hears of a request that does not reach its server."""
    session, model = Session(policy, most=most), Model(b"")
    with all_settled(session):
        async with (
            server(model) as port,
            inspecting(amendments=(session.watch,), on_refused=session.refused.append) as gateway,
            asyncio.timeout(10),
        ):
            reader, writer = await tunnel(gateway.port, port)
            writer.write(posted(path, body, port, fields))
            heard = await answer(reader)
            await leave(writer)
    assert model.heard == []
    assert session.recorded == []
    return heard, session


TEXT = (
    "denied by ringfence (model, rule model.models): model `x-1` is not one of `m-*`; a retry does not help; "
    "ask for a model that the policy allows"
)


@pytest.mark.parametrize(
    ("interface", "status", "said"),
    [
        (
            Interface.RESPONSES,
            403,
            {
                "error": {
                    "message": TEXT,
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "denied_by_ringfence",
                }
            },
        ),
        (
            Interface.CHAT,
            403,
            {
                "error": {
                    "message": TEXT,
                    "type": "invalid_request_error",
                    "param": None,
                    "code": "denied_by_ringfence",
                }
            },
        ),
        (Interface.MESSAGES, 400, {"type": "error", "error": {"type": "invalid_request_error", "message": TEXT}}),
        (Interface.GEMINI, 400, {"error": {"code": 400, "message": TEXT, "status": "FAILED_PRECONDITION"}}),
    ],
)
async def test_another_model_is_denied_in_the_words_of_its_interface(
    interface: Interface, status: int, said: object
) -> None:
    heard, session = await denied(ONLY, PATHS[interface].replace("m-1", "x-1"), {"model": "x-1"})

    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status) and b"Content-Type: application/json" in head
    assert json.loads(body) == said
    (decision,) = session.refused
    assert [(one.rule, one.source) for one in decision.reasons] == [("model.models", "policy.toml:3")]
    assert isinstance(decision.action, ConnectAction) and decision.action.models == ("x-1",)


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/v1/chat/completions", {"messages": []}, {}),
        ("/v1/chat/completions", {"model": "m-1", "models": ["m-2", "x-1"]}, {}),
        ("/v1/chat/completions", b'{"model":"x-1","model":"m-1"}', {}),
        ("/v1/chat/completions", gzip.compress(b'{"model":"x-1"}', mtime=0), {"content-encoding": "gzip"}),
        ("/v1/chat/completions", b"m-1", {"content-encoding": "exi"}),
        ("/v1/completions", {"model": "m-1"}, {}),
        ("/v1/batches", {"model": "m-1"}, {}),
        ("/v1/messages/count_tokens", {"model": "x-1"}, {"x-http-method-override": "PUT"}),
        ("/v1beta/models/m-1:generateContent", {"model": "x-1"}, {}),
        ("/v1/messages", {"model": "m-1", "tools": [{"type": "advisor_20260301", "model": "x-1"}]}, {}),
        ("/v1/chat/completions", {"model": "m-1", "fallbacks": ["x-1"]}, {}),
        ("/ai/openai/deployments/x-1/chat/completions", {"model": "m-1"}, {}),
    ],
)
async def test_no_way_of_asking_gets_past_the_list(path: str, body: object, fields: dict[str, str]) -> None:
    _, session = await denied(ONLY, path, body, **fields)

    assert session.rules in (["model.models"], ["model.unread"], ["http.method"])


async def test_an_answer_that_is_fetched_later_is_not_asked_for_under_a_budget() -> None:
    _, session = await denied(budget(100), "/v1/responses", {"model": "m-1", "background": True})

    assert session.rules == ["model.unread"]


async def test_a_model_without_a_price_is_not_asked_under_a_budget_of_money() -> None:
    prices = (ModelPrice(models=("m-*",), input=1, cached_input=1, cache_write=1, output=1, origin=HERE),)
    policy = ModelPolicy(hosts=HOSTS, budget_cost=5, prices=prices, origins=(("budget_cost", HERE),))

    _, session = await denied(policy, "/v1/responses", {"model": "x-1"})

    assert session.rules == ["model.price"]


async def test_what_is_packed_and_allowed_goes_as_it_came() -> None:
    session, model = Session(ONLY), Model(json.dumps(WHOLE[Interface.CHAT]).encode(), media="application/json")
    body = gzip.compress(b'{"model":"m-1"}')

    async with server(model) as port, inspecting(amendments=(session.watch,)) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(posted("/v1/chat/completions", body, port, {"content-encoding": "gzip"}))
        await chunked(reader)
        await leave(writer)

    assert model.heard[0].endswith(b"\r\n\r\n" + body)
    assert [one.model for one in session.answered] == ["m-1"]


async def test_a_budget_ends_with_the_answer_that_uses_it_up() -> None:
    prices = (ModelPrice(models=("*",), input=2_000_000, cached_input=0, cache_write=0, output=5_000_000, origin=HERE),)
    policy = ModelPolicy(hosts=HOSTS, budget_cost=281, prices=prices, origins=(("budget_cost", HERE),))
    session, model = Session(policy), Model(STREAMS[Interface.RESPONSES])

    async with (
        server(model) as port,
        inspecting(amendments=(session.watch,), on_refused=session.refused.append) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        for _ in range(2):
            writer.write(posted("/v1/responses", {"model": "m-1"}, port))
            await chunked(reader)
        writer.write(posted("/v1/responses", {"model": "m-1"}, port))
        heard = await answer(reader)
        await leave(writer)

    assert [one.cost_millionths for one in session.answered] == [280, 280]
    assert session.rules == ["model.budget_cost"]
    assert b"has cost 0.0006" in heard


async def test_many_requests_at_once_do_not_get_past_a_budget() -> None:
    session = Session(budget(20_000))
    go_on = asyncio.Event()
    model = Model(STREAMS[Interface.CHAT])

    async def waits(reader: Reader, writer: Writer) -> None:
        await go_on.wait()
        await model(reader, writer)

    async def one(gateway: int, port: int) -> bytes:
        reader, writer = await tunnel(gateway, port)
        writer.write(posted("/v1/chat/completions", {"model": "m-1", "max_tokens": 9_000}, port))
        head = await reader.readuntil(b"\r\n")
        if session.refused and len(session.refused) == 4:
            go_on.set()
        await leave(writer)
        return head

    async with (
        server(waits) as port,
        inspecting(amendments=(session.watch,), on_refused=session.refused.append) as gateway,
        asyncio.timeout(20),
        asyncio.TaskGroup() as group,
    ):
        running = [group.create_task(one(gateway.port, port)) for _ in range(7)]

    heads = sorted(task.result() for task in running)
    assert heads == [b"HTTP/1.1 200 OK\r\n"] * 3 + [b"HTTP/1.1 403 Forbidden\r\n"] * 4
    assert session.rules == ["model.budget_tokens"] * 4


def masked(text: object) -> bytes:
    """A message of a client."""
    return frame(Opcode.TEXT, json.dumps(text).encode(), os.urandom(4))


async def test_requests_over_a_websocket_are_on_record_and_limited_too() -> None:
    session = Session(ONLY)
    events = [line[6:] for line in STREAMS[Interface.RESPONSES].split(b"\n") if line.startswith(b"data: ")]

    async def talks(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        frames = FrameReader(masked=True)
        while data := await reader.read(65536):
            frames.feed(data)
            while isinstance(frames.next(), Message):
                for event in events:
                    writer.write(frame(Opcode.TEXT, event, None))

    heard: list[object] = []
    async with (
        server(talks) as port,
        inspecting(amendments=(session.watch,), on_refused=session.refused.append) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(
            f"GET /v1/responses HTTP/1.1\r\nHost: a.test:{port}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        frames = FrameReader(masked=False)
        writer.write(masked({"type": "response.create", "model": "m-1", "input": "fix it"}))
        while len(heard) < len(events):
            frames.feed(await reader.read(65536))
            while isinstance(item := frames.next(), Message):
                heard.append(item.data)
        writer.write(masked({"type": "response.create", "model": "x-1", "input": "fix it"}))
        closed = None
        while closed is None:
            frames.feed(await reader.read(65536))
            closed = frames.next()
        await leave(writer)

    assert heard == events
    (answered,) = session.answered
    assert (answered.model, answered.prompt_length, answered.input_tokens, answered.calls) == ("m-1", 6, 100, 2)
    assert session.rules == ["model.models"]
    assert isinstance(closed, Control) and closed.opcode is Opcode.CLOSE


@pytest.mark.parametrize(
    ("message", "rules"),
    [
        ({"type": "response.cancel", "input": "x"}, []),
        ({"type": "response.append", "model": "m-1"}, ["model.unread"]),
        ({"input": "response.create response.cancel"}, ["model.unread"]),
        ({"type": "response.create", "input": "response.cancel"}, ["model.models"]),
        ([], ["model.unread"]),
    ],
)
def test_other_messages_over_a_websocket_go_only_where_they_ask_nothing(message: object, rules: list[str]) -> None:
    session = Session(ONLY)
    action = ConnectAction(host="a.test", port=443, method="GET", path="/v1/responses")
    head = parse_head(b"GET /v1/responses HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\r\n", default_port=443)
    decision = Decision(verdict=Verdict.ALLOW, action=action, reasons=(), policy="p")
    assert head.destination is not None
    steps = session.watch(
        Request(destination=head.destination, secure=True, head=head, action=action, decision=decision)
    )
    assert steps is not None

    found = steps.message_sent(json.dumps(message).encode(), text=True)

    assert [one.decision.reasons[0].rule for one in (found,) if isinstance(one, Held)] == rules


async def test_no_more_is_kept_at_once_than_there_is_room_for() -> None:
    body = {"model": "m-1", "input": "x" * 20_000}

    _, limited = await denied(ONLY, "/v1/responses", body, most=10_000)
    session, model = Session(ModelPolicy(hosts=HOSTS), most=10_000), Model(STREAMS[Interface.RESPONSES])
    async with server(model) as port, inspecting(amendments=(session.watch,)) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        for one in (body, {"model": "m-1"}):
            writer.write(posted("/v1/responses", one, port))
            await chunked(reader)
        await leave(writer)

    assert limited.rules == ["model.unread"]
    assert [(one.model, one.unread, one.input_tokens) for one in session.answered] == [
        ("", "the request: it is longer than what is kept", 100),
        ("m-1", "", 100),
    ]


async def test_another_websocket_is_not_opened_where_the_policy_limits_models() -> None:
    session, model = Session(ONLY), Model(b"")

    async with (
        server(model) as port,
        inspecting(amendments=(session.watch,), on_refused=session.refused.append) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        upgrade = "Connection: upgrade\r\nUpgrade: websocket"
        writer.write(f"GET /v1/realtime HTTP/1.1\r\nHost: a.test:{port}\r\n{upgrade}\r\n\r\n".encode())
        assert (await answer(reader)).startswith(b"HTTP/1.1 403")
        await leave(writer)

    assert session.rules == ["model.unread"]
