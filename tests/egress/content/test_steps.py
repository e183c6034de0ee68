"""What the gateway does with what requests carry: nothing of it reaches the server, and the record says what it was."""

from __future__ import annotations

import asyncio
import base64
import bz2
import contextlib
import gzip
import json
import os
from collections.abc import Callable
from typing import cast

import msgspec
import pytest
from tests.egress.content.looking import CANARY, CREDENTIAL, TOKEN, letters, scanner
from tests.egress.http2.speaking import Peer, http2_client, http2_server, request
from tests.egress.inspecting import Asked, inspecting, leave, server, tunnel
from tests.egress.test_inspected import ASKS, OK, Reader, Writer, websocket

from ringfence.egress.content.patterns import patterns
from ringfence.egress.content.steps import Screening
from ringfence.egress.http_head import RequestHead, Target
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held, Request
from ringfence.egress.websocket_frames import Opcode, frame
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import ContentFound, ContentUnread
from ringfence.model.host import Destination, parse_host
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.effective import OnSecret, Origin

HERE = Origin(layer="user", source="policy.toml:2")


class Served:
    """What reached a server that answers every request the same."""

    def __init__(self) -> None:
        self.heard = bytearray()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        while data := await reader.read(65536):
            self.heard += data
            if b"\r\n\r\n" in self.heard:
                writer.write(OK)


class Session:
    """A session's screening, and what it put on record."""

    def __init__(self, **changed: object) -> None:
        self.events: list[ContentFound | ContentUnread] = []
        limits = cast("dict[str, float]", changed.pop("limits", {}))
        wanted = {
            "scanner": scanner(**limits),
            "on_secret": OnSecret.DENY,
            "unreadable": Verdict.ALLOW,
            "secret_origin": HERE,
            "unreadable_origin": HERE,
            "record_only": (),
            "homes": {one.id: tuple(map(HostPattern.parse, one.home)) for one in patterns() if one.home},
            "harmless": tuple,
            "record": self.events.append,
        }
        self.screening = Screening(**{**wanted, **changed})  # type: ignore[arg-type]

    def found(self) -> list[tuple[str, str, str]]:
        """Name, place and outcome of each finding."""
        return [(one.name, one.place, one.outcome) for one in self.events if isinstance(one, ContentFound)]

    def unread(self) -> list[tuple[str, str]]:
        """Reason and outcome of what was not looked into."""
        return [(one.reason, one.outcome) for one in self.events if isinstance(one, ContentUnread)]


async def spoken(
    session: Session, *pieces: bytes, confirm: Callable[..., Callable[[], None]] | None = None, answers: int = 1
) -> tuple[bytes, bytes, list[Decision]]:
    """What the client heard, what the server heard, and what was denied."""
    served, refused = Served(), list[Decision]()
    async with (
        server(served) as port,
        inspecting(Asked(), amendments=(session.screening,), confirm=confirm, on_refused=refused.append) as gateway,
    ):
        reader, writer = await tunnel(gateway.port, port)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece.replace(b"PORT", b"%d" % port))
                await writer.drain()
                await asyncio.sleep(0)
        async with asyncio.timeout(10):
            try:
                answer = await reader.read(1 << 16)
                while answer and answer.count(b"HTTP/1.1 ") < answers:
                    answer += await reader.read(1 << 16)
            except ConnectionError:
                answer = b""
        await leave(writer)
    return answer, bytes(served.heard), refused


def post(body: bytes, *fields: str, path: str = "/x") -> bytes:
    """A request with a body."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"POST {path} HTTP/1.1\r\nHost: a.test:PORT\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


WHERE = {
    "the path": post(b"", path=f"/x/{TOKEN}"),
    "the query": post(b"", path=f"/x?a=1&t={TOKEN}"),
    "header x-note": post(b"", f"X-Note: {TOKEN}"),
    "header authorization": post(b"", f"Authorization: Bearer {TOKEN}"),
    "header authorization (base64)": post(
        b"", f"Authorization: Basic {base64.b64encode(b'u:' + TOKEN.encode()).decode()}"
    ),
    "the body": post(TOKEN.encode()),
    "the body (escaped)": post(json.dumps({"a": f'"\n{TOKEN}"'}).encode()[:8] + TOKEN.encode()),
    "the body (gzip)": post(gzip.compress(TOKEN.encode()), "Content-Encoding: gzip"),
}


@pytest.mark.parametrize("place", [one for one in WHERE if "escaped" not in one])
async def test_nothing_of_a_request_with_a_secret_reaches_the_server(place: str) -> None:
    session = Session()

    answer, heard, refused = await spoken(session, WHERE[place])

    assert heard == b""
    assert answer.startswith(b"HTTP/1.1 403 ") and b"GitHub token" in answer and TOKEN.encode() not in answer
    assert session.found() == [("github-token", place, "denied")]
    (decision,) = refused
    assert TOKEN not in "".join(one.text + one.rule for one in decision.reasons)
    assert [(one.rule.partition("#")[0], one.layer, one.source) for one in decision.reasons] == [
        ("content.secret:github-token", "user", "policy.toml:2")
    ]


async def test_what_is_known_is_found_in_pieces_that_stand_in_several_fields() -> None:
    session = Session(on_secret=OnSecret.OFF)

    answer, heard, _ = await spoken(session, post(b"", f"X-A: {CANARY[:20]}", "X-B: 1", f"X-C: {CANARY[20:]}"))

    assert (heard, answer[:13]) == (b"", b"HTTP/1.1 403 ")
    assert session.found() == [("variable X", "the headers", "denied")]


async def test_everyday_requests_pass_as_they_are() -> None:
    session = Session()
    body = json.dumps({"model": "m", "messages": [{"content": "fix the bug\nplease"}] * 50}).encode()

    answer, heard, refused = await spoken(session, post(body, "Authorization: Bearer " + letters(40)))

    assert (answer, refused, session.events) == (OK, [], [])
    assert heard.endswith(body)


@pytest.mark.parametrize("place", ["header authorization", "the query"])
async def test_a_token_is_at_home_on_its_own_host_only(place: str) -> None:
    at_home = Session(homes={"github-token": (HostPattern.parse("**.test"),)})

    answer, _, _ = await spoken(at_home, WHERE[place])

    assert (answer, at_home.events) == (OK, [])


@pytest.mark.parametrize("place", ["the body", "header x-note", "the path"])
async def test_a_token_is_at_home_nowhere_else_in_a_request_to_its_host(place: str) -> None:
    at_home = Session(homes={"github-token": (HostPattern.parse("**.test"),)})

    _, heard, _ = await spoken(at_home, WHERE[place])

    assert (heard, at_home.found()) == (b"", [("github-token", place, "denied")])


async def test_what_has_no_home_of_its_own_counts_in_a_query_to_every_host() -> None:
    session = Session()

    await spoken(session, post(b"", path="/x?password=" + letters(20) + "7q9Z3"))

    assert session.found() == [("assigned-secret", "the query", "denied")]


@pytest.mark.parametrize(("secret", "name"), [(CANARY, "variable X"), (CREDENTIAL, "deploy")])
async def test_canaries_and_values_of_credentials_never_pass_whatever_is_said_about_secrets(
    secret: str, name: str
) -> None:
    session = Session(on_secret=OnSecret.RECORD)

    answer, heard, _ = await spoken(session, post(base64.b64encode(b"> " + secret.encode() + b" <")))

    assert (answer[:12], heard) == (b"HTTP/1.1 403", b"")
    assert session.found() == [(name, "the body", "denied")]
    assert [one.severity for one in session.events if isinstance(one, ContentFound)] == ["high"]
    assert secret not in str(session.events)


async def test_where_findings_are_only_recorded_everything_passes_and_is_told_once() -> None:
    session = Session(record_only=(HostPattern.parse("a.test"),))
    request = post(f"{TOKEN} {CANARY}".encode())

    for _ in range(2):
        answer, heard, _ = await spoken(session, request)

        assert (answer, heard[-len(CANARY) :]) == (OK, CANARY.encode())
    assert {one[0] for one in session.found()} == {"variable X", "github-token"}
    assert {one[2] for one in session.found()} == {"recorded"}
    # The port of the server is another one each time.
    assert len(session.found()) == 4


async def test_a_longer_body_is_cut_before_the_secret_and_before_its_end() -> None:
    session = Session(limits={"held": 100_000})
    body = b"." * 300_000 + b" " + TOKEN.encode() + b"." * 300_000
    request = post(body)

    _, heard, refused = await spoken(session, *[request[at : at + 50_000] for at in range(0, len(request), 50_000)])

    assert session.found() == [("github-token", "the body", "denied")]
    assert TOKEN[:8].encode() not in heard and len(heard) < len(request) - 4096
    assert len(refused) == 1


async def test_the_last_bytes_of_a_longer_body_go_out_only_when_all_of_it_was_looked_at() -> None:
    session = Session(limits={"held": 1000})
    request = post(b"." * 200_000 + b" " + TOKEN.encode())

    _, heard, _ = await spoken(session, request)

    assert session.found() == [("github-token", "the body", "denied")]
    assert TOKEN[:8].encode() not in heard


@pytest.mark.slow
async def test_a_longer_body_without_a_secret_arrives_to_the_byte() -> None:
    session = Session(limits={"held": 1000})
    body = letters(300_000).encode()

    answer, heard, _ = await spoken(session, post(body))

    assert (answer, heard[-len(body) :] == body) == (OK, True)


@pytest.mark.parametrize("verdict", list(Verdict))
async def test_what_cannot_be_read_is_treated_as_the_policy_says_and_always_told(verdict: Verdict) -> None:
    session = Session(unreadable=verdict)

    answer, heard, _ = await spoken(session, post(b"?" * 99, "Content-Encoding: aes128gcm"))

    assert (answer == OK, bool(heard)) == ((True, True) if verdict is Verdict.ALLOW else (False, False))
    outcome = {"allow": "recorded", "ask": "asked", "deny": "denied"}[verdict.value]
    assert session.unread() == [("it is packed as `aes128gcm`, which is not known here", outcome)]


@pytest.mark.parametrize("says", [Verdict.ALLOW, Verdict.DENY])
async def test_a_question_is_put_with_what_was_found_and_its_answer_holds_for_that_secret_only(says: Verdict) -> None:
    session = Session(on_secret=OnSecret.ASK)
    asked: list[Decision] = []

    def confirm(decision: Decision, done: Callable[[Decision], None]) -> Callable[[], None]:
        asked.append(decision)
        done(msgspec.structs.replace(decision, verdict=says))
        return lambda: None

    first = post(TOKEN.encode())
    answer, heard, _ = await spoken(
        session, first + first + post(("gh" + "p_" + letters(36)).encode()), confirm=confirm, answers=3
    )

    assert all(one.verdict is Verdict.ASK and TOKEN not in str(one) for one in asked)
    if says is Verdict.ALLOW:
        assert answer.startswith(OK) and heard.count(TOKEN.encode()) == 2
        assert len({one.reasons[0].rule for one in asked}) == len(asked) == 2
    else:
        assert heard == b""


def test_only_a_yes_makes_what_was_asked_about_allowed() -> None:
    session = Session(on_secret=OnSecret.ASK)
    to = Destination(host=parse_host("a.test"), port=443)
    head = RequestHead(method="POST", target=Target.ORIGIN, destination=to, path="/", query=TOKEN, fields=())
    action = ConnectAction(host="a.test", port=443, method="POST", path="/")
    allowed = Decision(verdict=Verdict.ALLOW, action=action, reasons=(), policy="")
    request = Request(destination=to, secure=True, head=head, action=action, decision=allowed)

    step = session.screening(request)
    held = step.request(head)
    step.response(ResponseHead(status=200, phrase=b"OK", fields=()))
    assert isinstance(held, Held) and held.decision.verdict is Verdict.ASK
    assert isinstance(session.screening(request).request(head), Held)
    step.confirmed(held)

    assert session.screening(request).request(head) == head


def _outgoing(fields: dict[bytes, bytes], pieces: list[bytes]) -> bytes:
    """What of a body goes on before it is held."""
    to = Destination(host=parse_host("a.test"), port=443)
    listed = tuple(fields.items())
    head = RequestHead(
        method="POST", target=Target.ORIGIN, destination=to, path="/", query="", fields=listed, chunked=True
    )
    action = ConnectAction(host="a.test", port=443, method="POST", path="/")
    allowed = Decision(verdict=Verdict.ALLOW, action=action, reasons=(), policy="")
    step = Session(limits={"held": 100}).screening(
        Request(destination=to, secure=True, head=head, action=action, decision=allowed)
    )
    whole, gone = b"".join(pieces), b""
    if step.whole:
        step.body(whole[:100], complete=False)
    assert step.request(head) == head
    for piece in pieces:
        passed = step.sent(piece)
        if isinstance(passed, Held):
            return gone
        gone += passed
    last = step.all_sent()
    assert isinstance(last, Held)
    return gone


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_of_a_longer_body_nothing_goes_on_that_was_not_looked_at(pack: Callable[[bytes], bytes]) -> None:
    body = pack(os.urandom(100_000) + b" " + TOKEN.encode() + b" " + os.urandom(30_000))
    packing = {bytes: b"identity", gzip.compress: b"gzip", bz2.compress: b"bzip2"}[pack]

    gone = _outgoing({b"content-encoding": packing}, [body[at : at + 1000] for at in range(0, len(body), 1000)])

    assert 20_000 < len(gone) < 100_000


@pytest.mark.parametrize("kind", [b"application/grpc", b"Application/GRPC+proto"])
def test_of_a_stream_of_calls_no_piece_goes_on_that_was_not_looked_at(kind: bytes) -> None:
    gone = _outgoing({b"content-type": kind}, [b"x" * 50, b" " + TOKEN.encode() + b" ", b"x" * 50])

    assert gone == b"x" * 50


WAYS = {
    "text": [frame(Opcode.TEXT, b'{"say": "' + CANARY.encode() + b'"}', os.urandom(4))],
    "binary": [frame(Opcode.BINARY, gzip.compress(CANARY.encode()), os.urandom(4))],
    "two messages": [frame(Opcode.TEXT, part.encode(), os.urandom(4)) for part in (CANARY[:25], CANARY[25:])],
    "a ping": [frame(Opcode.PING, CANARY.encode(), os.urandom(4))],
    "a goodbye": [frame(Opcode.CLOSE, b"\x03\xe8" + CANARY.encode(), os.urandom(4))],
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_websocket_ends_where_a_message_carries_something(way: str) -> None:
    session, refused = Session(), list[Decision]()
    options = {"amendments": (session.screening,), "on_refused": refused.append}
    async with server(websocket) as port, inspecting(Asked(), **options) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(ASKS % port)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(Opcode.PING, b"fine", os.urandom(4)) + frame(Opcode.TEXT, b"fine", os.urandom(4)))
        assert await reader.readexactly(12) == frame(Opcode.PING, b"fine", None) + frame(Opcode.TEXT, b"fine", None)
        for one in WAYS[way]:
            writer.write(one)
        said = await reader.read(1 << 16)
        while not said.endswith(b"`") and (more := await reader.read(1 << 16)):
            said += more
        await leave(writer)

    # The server says again what it hears.
    assert b"ringfence: " in said and CANARY[25:].encode() not in said
    assert [(one[0], one[2]) for one in session.found()] == [("variable X", "denied")]
    assert len(refused) == 1


@pytest.mark.parametrize("kind", [b"text/plain", b"application/grpc"])
async def test_a_stream_of_http2_with_a_secret_does_not_reach_the_server(kind: bytes) -> None:
    session, heard = Session(), list[bytes]()

    async def serve(peer: Peer, stream: int) -> None:
        message = await peer.whole(stream)
        heard.append(bytes(message.body))
        peer.answer(stream, [(b":status", b"200")], end=True)

    async with (
        http2_server(serve) as (port, _),
        inspecting(Asked(), http2=True, amendments=(session.screening,)) as gateway,
        asyncio.timeout(5),
        http2_client(gateway.port, port) as client,
    ):
        for body in (b"words", gzip.compress(b"a call with " + TOKEN.encode())):
            stream = client.ask([*request(port, b"/p", b"POST"), (b"content-type", kind)], end=False)
            await client.send(stream, b"\1\0\0\0\x30" + body, end=True)
            message = await client.whole(stream)

    # A call of gRPC is not held: its head may be there before its words are looked at.
    assert [one for one in heard if one] == [b"\1\0\0\0\x30words"]
    assert session.found() == [("github-token", "the body (gzip)", "denied")]
    assert message.value(b"x-ringfence-verdict") == b"deny"
