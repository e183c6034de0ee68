"""Lists of tools over HTTP: judged before they are shown, however they come."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import Callable

import pytest
from tests.egress.inspecting import inspecting, leave, server, tunnel
from tests.egress.test_inspected import Reader, Writer
from tests.egress.test_inspected_rules import posted

from ringfence.egress.http_head import RequestHead, Target
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Request, Steps
from ringfence.egress.tool_lists import ToolLists
from ringfence.model.action import ConnectAction, McpAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.host import Destination, parse_host

LIST = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}
TWICE = b'{"jsonrpc":"2.0","id":7,"result":{"tools":[]},"result":{"tools":[{"name":"evil"}]}}'
BOTH = (b"Content-Type: application/json", b"Accept: application/json, text/event-stream", b"Connection: close")


def result(*names: str, number: object = 7, more: str | None = None) -> bytes:
    tools = [{"name": name} for name in names]
    found = {"tools": tools} if more is None else {"tools": tools, "nextCursor": more}
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": found}).encode()


def reply(content: bytes, media: str = "application/json", *fields: str) -> bytes:
    head = "".join(f"{one}\r\n" for one in (f"Content-Type: {media}", f"Content-Length: {len(content)}", *fields))
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + content


class Lists:
    """Denies a list with `evil` in it, and asks about one with `new`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[str], bool]] = []
        self.taken: list[str] = []

    def listed(self, server: str, identity: str, tools: list[object], *, whole: bool) -> Decision:
        names = [one["name"] for one in tools if isinstance(one, dict)]
        self.seen.append((identity.partition(":")[0] + "/" + identity.rpartition("/")[2], names, whole))
        verdict = Verdict.DENY if "evil" in names else Verdict.ASK if "new" in names else Verdict.ALLOW
        reason = Reason(rule="mcp.changed", layer="user", source="policy.toml:1", verdict=verdict, text="other tools")
        action = McpAction(server=server, tool="tools/list", arguments=" ".join(names))
        return Decision(verdict=verdict, action=action, reasons=(reason,), policy="sha256:0", message="other tools")

    def take(self, decision: Decision) -> None:
        assert isinstance(decision.action, McpAction)
        self.taken.append(decision.action.arguments)


def confirming(verdict: Verdict) -> Callable[..., Callable[[], None]]:
    def confirm(decision: Decision, done: Callable[[Decision], None]) -> Callable[[], None]:
        final = Decision(
            verdict=verdict, action=decision.action, reasons=decision.reasons, policy="", message=decision.message
        )
        asyncio.get_running_loop().call_soon(done, final)
        return lambda: None

    return confirm


async def heard(
    lists: Lists,
    *replies: bytes,
    asked: object = LIST,
    path: bytes = b"/mcp",
    fields: tuple[bytes, ...] = BOTH,
    yes: Verdict = Verdict.DENY,
    get: bool = False,
) -> list[bytes]:
    """What a client hears that asks once for each reply, on connections of their own."""
    remaining = list(replies)

    async def answers(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(remaining.pop(0))
        await writer.drain()

    found = []
    amendments = (ToolLists(lists),)
    async with (
        server(answers) as port,
        inspecting(amendments=amendments, confirm=confirming(yes)) as gateway,
        asyncio.timeout(10),
    ):
        for number in range(len(replies)):
            reader, writer = await tunnel(gateway.port, port)
            one = asked[number] if isinstance(asked, tuple) else asked
            sent = posted(path, json.dumps(one).encode(), *fields)
            if get:
                sent = (
                    b"GET /mcp HTTP/1.1\r\nHost: a.test:PORT\r\nAccept: text/event-stream\r\nConnection: close\r\n\r\n"
                )
            writer.write(sent.replace(b"PORT", b"%d" % port))
            found.append(await all_of(reader))
            await leave(writer)
    return found


def listing(path: str = "/mcp") -> Request:
    """A request for a list."""
    to = Destination(host=parse_host("a.test"), port=443)
    fields = ((b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream"))
    head = RequestHead(method="POST", target=Target.ORIGIN, destination=to, path=path, query="", fields=fields)
    action = ConnectAction(host="a.test", port=443, method="POST", path=path)
    allowed = Decision(verdict=Verdict.ALLOW, action=action, reasons=(), policy="")
    return Request(destination=to, secure=True, head=head, action=action, decision=allowed)


def waiting(lists: ToolLists, path: str = "/mcp") -> Steps:
    """A client that has asked for a list, like every other one with number 7."""
    step = lists(listing(path))
    assert step is not None
    step.body(json.dumps(LIST).encode(), complete=True)
    assert isinstance(step.request(listing(path).head), RequestHead)
    return step


def hears(step: Steps, content: bytes) -> bytes | Held:
    """What goes on to a client of an answer."""
    step.response(ResponseHead(status=200, fields=((b"content-type", b"application/json"),)))
    passed = step.received(content)
    assert isinstance(passed, bytes)
    rest = step.all_received()
    return rest if isinstance(rest, Held) else passed + rest


async def all_of(reader: Reader) -> bytes:
    """What came, up to the end or until the connection was cut."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            found += data
    return found


EVENTS = b': hello\r\n\r\nevent: message\ndata: {"jsonrpc":\ndata: "2.0"}\n\n'


@pytest.mark.parametrize(
    "answered",
    [
        reply(result("good", "evil")),
        reply(b"[" + result("evil") + b"]"),
        reply(result("evil").replace(b"tools", b"t\\u006fols")),
        reply(gzip.compress(result("evil"), mtime=0), "application/json", "Content-Encoding: gzip"),
        reply(EVENTS + b"data: " + result("evil") + b"\n\n", "text/event-stream"),
        reply(
            EVENTS + b"id: 1\r\ndata:" + result("evil").replace(b", ", b",\r\ndata:  ") + b"\r\n\r\n",
            "text/event-stream; a=b",
        ),
        reply(EVENTS + b"data: " + result("evil") + b"\r\r", "text/event-stream"),
        reply(result("evil", number="never asked")),
        reply(result("evil"), "Application/JSON"),
        reply(result("evil"), "text/plain"),
        reply(result("evil"), "text/plain", "Content-Type: application/json"),
        reply(result("evil"), "text/plain, application/json"),
        reply(b"\xef\xbb\xbf" + result("evil")),
        reply(result("evil").replace(b"tools", b"t\\u006fols").replace(b'"id"', b'"id": 7, "id"')),
        reply(result("evil").decode().encode("utf-16")),
        reply(result("evil"), "text/plain").replace(b"200 OK", b"202 Accepted"),
        reply(b"data: " + result("evil") + b"\n\n", "Text/Event-Stream"),
        reply(b"data: " + result("evil") + b"\n\n", "text/plain"),
        reply(b"\xef\xbb\xbfdata: " + result("evil") + b"\n\n", "text/event-stream"),
        reply(b"\xef\xbb\xbfdata: 1\ndata: " + result("evil") + b"\n\n", "text/event-stream"),
        reply(b"event: endpoint\ndata: " + result("evil") + b"\n\n", "text/event-stream"),
        reply(b"data: " + result("evil"), "text/event-stream"),
    ],
)
async def test_a_list_that_is_denied_is_not_shown_in_whatever_form_it_comes(answered: bytes) -> None:
    lists = Lists()

    [shown] = await heard(lists, answered)

    assert b"evil" not in shown.replace(b"\0", b"")
    assert all(seen[1][-1] == "evil" for seen in lists.seen)
    assert lists.taken == []


async def test_a_list_that_comes_on_a_stream_that_was_open_before_is_judged_too() -> None:
    lists = Lists()

    [shown] = await heard(lists, reply(b"data: " + result("evil") + b"\n\n", "text/event-stream"), get=True)

    assert b"evil" not in shown


@pytest.mark.parametrize("media", ["application/json", "text/event-stream"])
async def test_a_list_that_is_allowed_passes_as_it_came(media: str) -> None:
    content = result("good") if media == "application/json" else EVENTS + b"data: " + result("good") + b"\n\ndata: x"

    [shown] = await heard(Lists(), reply(content, media))

    assert shown.endswith(b"\r\n\r\n" + content)


@pytest.mark.parametrize("yes", [Verdict.ALLOW, Verdict.DENY])
async def test_somebody_is_asked_about_a_list_before_it_is_shown_and_a_yes_takes_it(yes: Verdict) -> None:
    lists = Lists()

    shown = await heard(lists, reply(result("new")), yes=yes)

    assert (b'"new"' in shown[0], lists.taken) == ((True, ["new"]) if yes is Verdict.ALLOW else (False, []))


async def test_of_two_lists_that_come_at_once_a_yes_to_one_does_not_show_the_other() -> None:
    lists = Lists()
    both = reply(b"[" + result("new") + b"," + result("new", "newer", number=8) + b"]")

    [shown] = await heard(lists, both, yes=Verdict.ALLOW)

    assert b"newer" not in shown
    assert lists.taken == []


async def test_pages_are_judged_with_those_before_them() -> None:
    lists = Lists()
    second = {**LIST, "params": {"cursor": "2"}}

    await heard(lists, reply(result("a", more="2")), reply(result("b")), reply(result("c")), asked=(LIST, second, LIST))

    assert lists.seen == [("https/mcp", ["a"], False), ("https/mcp", ["a", "b"], True), ("https/mcp", ["c"], True)]


def test_a_list_without_end_is_not_shown_any_more_before_it_fills_the_memory() -> None:
    lists, verdicts = ToolLists(Lists()), []
    for number in range(20):
        step = lists(listing())
        assert step is not None
        question = {**LIST, "id": number, **({"params": {"cursor": "more"}} if number else {})}
        step.body(json.dumps(question).encode(), complete=True)
        step.response(ResponseHead(status=200, fields=((b"content-type", b"application/json"),)))
        step.received(result("x" * (1 << 20), number=number, more="more"))
        shown = step.all_received()
        verdicts.append(shown.decision.because.rule if isinstance(shown, Held) and shown.decision.because else "shown")

    assert verdicts == ["shown"] * 15 + ["mcp.unread"] * 5


async def test_a_client_is_told_why_it_gets_no_list() -> None:
    [shown] = await heard(Lists(), reply(result("evil")))

    assert shown.startswith(b"HTTP/1.1 403 ")
    assert b"rule: mcp.changed: other tools" in shown


async def test_what_is_no_list_passes_untouched() -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "t"}}
    content = json.dumps(
        {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "tools"}]}}
    ).encode()
    lists = Lists()

    shown = await heard(lists, reply(content), reply(b"not json, but tools"), asked=call)

    assert [one.rpartition(b"\r\n\r\n")[2] for one in shown] == [content, b"not json, but tools"]
    assert lists.seen == []


async def test_requests_that_are_not_of_mcp_are_not_looked_at() -> None:
    lists = Lists()

    [shown] = await heard(
        lists, reply(result("evil")), fields=(b"Content-Type: application/json", b"Connection: close")
    )

    assert b"evil" in shown
    assert lists.seen == []


async def test_a_list_that_cannot_be_read_is_not_shown() -> None:
    [shown] = await heard(Lists(), reply(TWICE))

    assert b"evil" not in shown


@pytest.mark.parametrize(
    "answered",
    [
        reply(b"Accepted", "text/plain").replace(b"200 OK", b"202 Accepted"),
        reply(b"<h1>Bad gateway</h1>", "text/html").replace(b"200 OK", b"502 Bad Gateway"),
        reply(b"event: endpoint\ndata: /messages?session=1\n\n", "text/event-stream"),
        reply(b"\xef\xbb\xbf: hello\n\ndata: {}\n\n", "text/event-stream"),
    ],
)
async def test_what_no_client_takes_for_a_list_passes_while_one_is_awaited(answered: bytes) -> None:
    [shown] = await heard(Lists(), answered)

    assert shown.rpartition(b"\r\n\r\n")[2] == answered.rpartition(b"\r\n\r\n")[2]


@pytest.mark.slow
def test_a_long_event_is_looked_through_once() -> None:
    step = ToolLists(Lists())(listing())
    assert step is not None
    step.response(ResponseHead(status=200, phrase=b"OK", fields=((b"content-type", b"text/event-stream"),)))
    piece = b"data: x\n" * 2048

    began = time.process_time()
    passed = [step.received(piece) for _ in range(256)]
    spent = time.process_time() - began

    assert set(passed) == {b""}
    assert step.received(b"\n") == piece * 256 + b"\n"
    assert spent < 2


def test_no_list_that_is_awaited_is_forgotten_for_others_that_are_asked_for() -> None:
    lists = ToolLists(Lists())
    steps = [lists(listing()) for _ in range(1025)]

    passed = []
    for number, step in enumerate(steps):
        assert step is not None
        step.body(json.dumps({**LIST, "id": number}).encode(), complete=True)
        passed.append(isinstance(step.request(listing().head), RequestHead))

    assert passed == [True] * 1024 + [False]
    [first] = lists.heard(listing(), json.loads(result("evil", number=0)), 100)
    assert first.verdict is Verdict.DENY
    assert lists.awaits(listing())


def test_of_two_clients_that_ask_with_one_number_none_is_shown_a_list_that_cannot_be_read() -> None:
    lists = ToolLists(Lists())
    first, second = waiting(lists), waiting(lists)

    assert hears(first, result("good")) == result("good")
    assert isinstance(hears(second, TWICE), Held)


def test_a_list_is_that_of_the_server_that_was_asked_whoever_else_asks_with_the_same_number() -> None:
    seen = Lists()
    lists = ToolLists(seen)
    first, second = waiting(lists, "/one"), waiting(lists, "/two")

    hears(first, result("a"))
    hears(second, result("b"))

    assert seen.seen == [("https/one", ["a"], True), ("https/two", ["b"], True)]


@pytest.mark.parametrize("other", [result("good"), b'{"jsonrpc":"2.0","id":7,"result":{}}'])
def test_an_answer_that_another_client_hears_does_not_end_the_wait_for_a_list(other: bytes) -> None:
    lists = ToolLists(Lists())
    step, stranger = waiting(lists), lists(listing())
    assert stranger is not None

    hears(stranger, other)

    assert isinstance(hears(step, TWICE), Held)


def test_a_list_that_nobody_asked_for_does_not_end_the_wait_for_another_one() -> None:
    lists = ToolLists(Lists())
    step, stranger = waiting(lists), lists(listing())
    assert stranger is not None

    hears(stranger, result("good"))
    batch = b"[" + result("good", number=999) + b"]"
    step.response(ResponseHead(status=200, fields=((b"content-type", b"text/event-stream"),)))

    assert step.received(b"data: " + batch + b"\n\n") == b"data: " + batch + b"\n\n"
    assert isinstance(step.received(b"data: " + TWICE + b"\n\n"), Held)
