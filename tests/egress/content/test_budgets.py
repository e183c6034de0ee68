"""No byte more leaves than a budget says, on any kind of connection, and whoever asks again is told why not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
import pytest
from tests.approvals.made import POLICY, SITE, Memory, Time, decision, desk_at
from tests.approvals.made import answer as yes
from tests.egress.gatewaying import allow_loopback, gateway_on
from tests.egress.inspecting import Asked, inspecting, leave, server, tunnel
from tests.egress.test_inspected import OK, Reader, Writer

from ringfence.approvals.channels.channel import Outcome
from ringfence.approvals.gate import Gate
from ringfence.approvals.objects import Request
from ringfence.egress.content.budgets import Budgets
from ringfence.egress.inspection import Inspection
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import HOST_LOOPBACK, Destination, parse_host
from ringfence.policy.effective import ContentBudget, Origin
from ringfence.session.network import confirming

HERE = Origin(layer="user", source="policy.toml:3")
MEGABYTE = 1_000_000


def budget(*hosts: str, megabytes: int = 1, **more: object) -> ContentBudget:
    return ContentBudget(hosts=hosts, megabytes=megabytes, origin=HERE, **more)  # type: ignore[arg-type]


def to(host: str, port: int = 443) -> Destination:
    return Destination(host=parse_host(host), port=port)


def test_all_destinations_of_a_budget_share_it_unless_each_has_its_own() -> None:
    shared, each = Budgets((budget("*"),)), Budgets((budget("*", each=True),))

    for one in (shared, each):
        assert one.spend(to("a.test"), MEGABYTE) is None

    assert shared.spend(to("b.test"), 1) is not None
    assert each.spend(to("b.test"), 1) is None
    assert each.spend(to("a.test"), 1) is not None


def test_every_budget_holds_and_what_one_refuses_counts_for_none() -> None:
    budgets = Budgets((budget("*", megabytes=2), budget("**.test", megabytes=1)))

    assert budgets.spend(to("a.test"), MEGABYTE + 1) is not None
    assert budgets.spend(to("other.example"), 2 * MEGABYTE) is None
    refused = budgets.spend(to("a.test"), MEGABYTE)

    assert refused is not None
    assert [(one.rule, one.text) for one in refused.reasons] == [
        ("content.budget:1", "2 MB may be sent to `*` in a session, and 2.0 were")
    ]


def test_what_is_left_out_and_what_stays_on_this_machine_is_not_counted() -> None:
    budgets = Budgets((budget("*", left_out=("api.model.test:443",)),))

    assert not budgets.counts(to("api.model.test"))
    assert budgets.counts(to("api.model.test", 8443))
    assert not budgets.counts(to(HOST_LOOPBACK, 5432))


def test_a_yes_allows_as_much_again_and_no_more() -> None:
    budgets = Budgets((budget("*", over=Verdict.ASK),))
    budgets.spend(to("a.test"), MEGABYTE)
    asked = budgets.spent(to("a.test"))
    assert asked is not None and asked.verdict is Verdict.ASK

    budgets.allow(to("a.test"), tuple(one.rule for one in asked.reasons))

    assert budgets.spend(to("a.test"), MEGABYTE) is None
    assert budgets.spend(to("a.test"), 1) is not None


class Counting:
    """A server that counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.heard += len(data)


@pytest.mark.parametrize(
    "first", [b"\0\1", b"POST /x HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 9000000\r\n\r\n"]
)
async def test_a_tunnel_is_cut_at_the_byte_and_the_record_says_why(first: bytes) -> None:
    served, closed, refused = Counting(), list[ConnectionClosed](), list[Decision]()
    inspection = Inspection(budget=Budgets((budget("*"),)))
    async with (
        server(served, secure=False) as port,
        gateway_on(
            "proxy", allow_loopback, inspection=inspection, on_closed=closed.append, on_refused=refused.append
        ) as gateway,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first.replace(b"PORT", b"%d" % port))
        with contextlib.suppress(ConnectionError):
            for _ in range(40):
                writer.write(b"x" * 100_000)
                await writer.drain()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await leave(writer)
        await gateway.idle()

    # The server may not get to read what it was sent before the reset.
    assert served.heard <= MEGABYTE
    assert MEGABYTE - 65_536 * 2 < closed[0].sent_bytes <= MEGABYTE
    assert [one.error for one in closed] == ["denied: content.budget:1"]
    assert [one.reasons[0].rule for one in refused] == ["content.budget:1"]
    assert refused[0].reasons[0].source == "policy.toml:3"


async def test_a_tunnel_below_its_budget_carries_every_byte() -> None:
    served = Counting()
    inspection = Inspection(budget=Budgets((budget("*", megabytes=3),)))
    async with (
        server(served, secure=False) as port,
        gateway_on("proxy", allow_loopback, inspection=inspection) as gateway,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\0" + b"x" * 2_500_000)
        writer.write_eof()
        await reader.read()
        await leave(writer)

    assert served.heard == 2_500_001


@pytest.mark.parametrize("says", [Verdict.ALLOW, Verdict.DENY])
async def test_a_request_beyond_the_budget_waits_for_the_answer(says: Verdict) -> None:
    heard = bytearray()

    async def serve(reader: Reader, writer: Writer) -> None:
        while data := await reader.read(1 << 16):
            heard.extend(data)
            if heard.endswith(b"END"):
                writer.write(OK)

    asked: list[Decision] = []

    def confirm(decision: Decision, done: Callable[[Decision], None]) -> Callable[[], None]:
        asked.append(decision)
        done(msgspec.structs.replace(decision, verdict=says))
        return lambda: None

    budgets = Budgets((budget("*", over=Verdict.ASK),))
    async with server(serve) as port, inspecting(Asked(), amendments=(budgets,), confirm=confirm) as gateway:
        reader, writer = await tunnel(gateway.port, port)
        body = b"x" * 1_500_000 + b"END"
        head = f"POST /x HTTP/1.1\r\nHost: a.test:{port}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with contextlib.suppress(ConnectionError):
            writer.write(head + body)
            await writer.drain()
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = await reader.read(1 << 16)
        await leave(writer)

    assert {one.verdict for one in asked} == {Verdict.ASK}
    if says is Verdict.ALLOW:
        assert (answer, len(asked)) == (OK, 1)
        assert heard.endswith(body)
    else:
        assert len(heard) <= MEGABYTE
        assert not answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("says", [Verdict.ALLOW, Verdict.DENY])
async def test_an_early_answer_of_the_server_is_no_yes_to_what_somebody_is_asked(says: Verdict) -> None:
    heard, questions = bytearray(), asyncio.Queue[Callable[[], None]]()

    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                heard.extend(data)

    def confirm(decision: Decision, done: Callable[[Decision], None]) -> Callable[[], None]:
        questions.put_nowait(lambda: done(msgspec.structs.replace(decision, verdict=says)))
        return lambda: None

    budgets = Budgets((budget("*", over=Verdict.ASK),))
    async with (
        server(serve) as port,
        inspecting(Asked(), amendments=(budgets,), confirm=confirm) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        size = 1_500_000
        head = f"POST /x HTTP/1.1\r\nHost: a.test:{port}\r\nContent-Length: {size}\r\n\r\n".encode()
        writer.write(head + b"x" * 900_000)
        early = await reader.readexactly(len(OK))
        writer.write(b"x" * (size - 900_000))
        answer = await questions.get()
        before = budgets.spend(to("a.test", port), MEGABYTE // 2)
        answer()
        with contextlib.suppress(ConnectionError):
            while says is Verdict.DENY and await reader.read(1 << 16):
                pass
        while says is Verdict.ALLOW and len(heard) < size:
            await asyncio.sleep(0.01)
        await leave(writer)

    assert early == OK
    assert before is not None and before.verdict is Verdict.ASK
    assert len(heard) == size if says is Verdict.ALLOW else len(heard) <= MEGABYTE


@pytest.mark.slow
async def test_an_answer_that_comes_while_somebody_is_asked_waits_for_what_they_say() -> None:
    answered, asked, questions = asyncio.Event(), asyncio.Event(), list[Callable[[], None]]()

    async def serve(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asked.wait()
        writer.write(OK)
        await writer.drain()
        answered.set()
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass

    def confirm(decision: Decision, done: Callable[[Decision], None]) -> Callable[[], None]:
        questions.append(lambda: done(msgspec.structs.replace(decision, verdict=Verdict.DENY)))
        asked.set()
        return lambda: None

    budgets = Budgets((budget("*", over=Verdict.ASK),))
    async with (
        server(serve) as port,
        inspecting(Asked(), amendments=(budgets,), confirm=confirm) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        head = f"POST /x HTTP/1.1\r\nHost: a.test:{port}\r\nContent-Length: 1500000\r\n\r\n".encode()
        writer.write(head + b"x" * 1_500_000)
        await answered.wait()
        said = b""
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)
        more = budgets.spend(to("a.test", port), MEGABYTE)
        questions[0]()
        with contextlib.suppress(ConnectionError):
            said = await reader.read(len(OK))
        await leave(writer)

    assert not said.startswith(b"HTTP/1.1 200")
    assert more is not None and more.verdict is Verdict.ASK


async def test_one_yes_allows_as_much_again_once_for_all_that_waited_for_it() -> None:
    async def serve(reader: Reader, writer: Writer) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
            writer.write(OK)

    person = Person()
    time = Time()
    gate = Gate(
        evaluate=decision, desk=desk_at(":memory:", time), channel=person, recorder=Memory(), clock=time, site=SITE
    )
    budgets = Budgets((budget("*", over=Verdict.ASK),))

    async def post(proxy: int, port: int, size: int) -> bytes:
        reader, writer = await tunnel(proxy, port)
        writer.write(f"POST /x HTTP/1.1\r\nHost: a.test:{port}\r\nContent-Length: {size}\r\n\r\n".encode())
        writer.write(b"x" * size)
        answer = await reader.read(1 << 16)
        await leave(writer)
        return answer

    async with (
        asyncio.timeout(20),
        server(serve) as port,
        gate,
        inspecting(Asked(), amendments=(budgets,), confirm=confirming(gate, POLICY)) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        assert await post(gateway.port, port, 999_000) == OK
        waiting = [tasks.create_task(post(gateway.port, port, 300_000)) for _ in range(3)]
        while person.waiting < 1:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        person.answered.set()
        assert [await one for one in waiting] == [OK] * 3
        assert (await post(gateway.port, port, 500_000), person.waiting) == (OK, 2)


class Person:
    """Says yes once it is told to."""

    name = "test"
    refusal = ""

    def __init__(self) -> None:
        self.waiting = 0
        self.answered = asyncio.Event()

    async def ask(self, request: Request) -> Outcome:
        self.waiting += 1
        await self.answered.wait()
        return yes(request)
