"""Reads the list of inputs on which parsers differ, and says what our readers make of each: one word or two."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec
from tests.egress.hellos import made_hello, server_name

from ringfence.egress.dns import Resolve
from ringfence.egress.first_bytes import Http, Spoken, Tls, look
from ringfence.egress.front import Front, Reject, Say, Wanted
from ringfence.egress.http2.heads import read_request
from ringfence.egress.http_body import Body
from ringfence.egress.http_framing import FramedBody
from ringfence.egress.http_head import HeadInvalid, parse_head
from ringfence.egress.http_response import ResponseInvalid, parse_response
from ringfence.egress.identity import foreign
from ringfence.egress.limits import Limits
from ringfence.egress.model_wire.server_sent import ServerSent
from ringfence.egress.requests import Requests
from ringfence.egress.ssh.exchange import KeyExchange
from ringfence.egress.ssh.wire import SshInvalid
from ringfence.egress.synthetic import SyntheticAddresses
from ringfence.egress.tls_hello import HelloInvalid
from ringfence.egress.websocket_frames import FrameInvalid, FrameReader, Message
from ringfence.model.decision import Decision
from ringfence.model.host import parse_destination, parse_host


class Difference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An input that two programs read differently, and what it must be here."""

    why: str
    """What makes it ambiguous."""
    reader: str
    """Who reads it: a name of `READERS`."""
    input: str
    """The bytes, as latin-1."""
    answer: str
    """What it must get."""
    before: str = ""
    """What the same client said before, and has to get through."""

    @property
    def data(self) -> bytes:
        """The bytes."""
        return self.input.encode("latin-1")


@cache
def differences() -> tuple[Difference, ...]:
    """The list."""
    text = Path(__file__).with_name("differential.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text)["difference"], tuple[Difference, ...])


def proxy(row: Difference) -> str:
    """What the explicit proxy takes it for."""
    step = Front(Limits()).feed(row.data)
    match step:
        case Wanted(destination=destination, origin=origin):
            return f"{origin} {destination}"
        case Reject(data=data):
            return data.split(b" ")[1].decode()
        case _:
            return "more"


def socks5(row: Difference) -> str:
    """What it takes it for behind a greeting."""
    front = Front(Limits())
    assert isinstance(front.feed(b"\x05\x01\x00"), Say)
    step = front.feed(row.data)
    match step:
        case Wanted(destination=destination):
            return f"socks5 {destination}"
        case Reject(data=data):
            return f"code {data[1]}"
        case _:
            return "more"


def tunnel(row: Difference) -> str:
    """Whether it gets through a tunnel to `good.test:80` that was allowed."""
    allowed = parse_destination("good.test:80")

    def check(spoken: Spoken) -> Decision | None:
        return foreign(spoken, allowed, needs_request=False)

    before = row.before.encode("latin-1")
    try:
        first = look(before + row.data)
        if first is None:
            return "more"
        if not isinstance(first, Http):
            return "refused" if check(first) else "passes"
        requests = Requests(check, 65_536)
        assert not before or requests.take(before) == before
        return "passes" if requests.take(row.data) == row.data else "more"
    except (HeadInvalid, HelloInvalid):
        return "refused"


def host(row: Difference) -> str:
    """The host that it names, as bytes of a wire and as text of a person."""
    try:
        return parse_host(row.data).name
    except ValueError:
        return "refused"


def written_host(row: Difference) -> str:
    """The host that it names in a policy."""
    try:
        return parse_host(row.input).name
    except ValueError:
        return "refused"


def hello(row: Difference) -> str:
    """The server name of a ClientHello whose extensions are `name`, `name|name` for two, or the bytes themselves."""
    data = row.data
    if not data.startswith((b"\x16", b"\x80")):
        data = made_hello(*[server_name(name) for name in data.split(b"|")])
    try:
        spoken = look(data)
    except HelloInvalid:
        return "refused"
    if spoken is None:
        return "more"
    return f"asks for {spoken.server_name!r}" if isinstance(spoken, Tls) else "other"


def chunks(row: Difference) -> str:
    """The body of a request in chunks: both readers have to say the same."""
    head = parse_head(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")
    raw, plain = Body(head), FramedBody(None, chunked=True, strict=True)
    try:
        raw.take(row.data)
    except HeadInvalid:
        raw = None  # type: ignore[assignment]
    try:
        taken, _ = plain.take(row.data)
    except HeadInvalid:
        assert raw is None
        return "refused"
    assert raw is not None and raw.finished == plain.finished
    return f"{taken.decode('latin-1')} " + ("whole" if plain.finished else "more")


def response(row: Difference) -> str:
    """How the body of an answer is framed."""
    try:
        head = parse_response(row.data, "GET")
    except ResponseInvalid:
        return "refused"
    if head.chunked:
        return "chunks"
    return "to the end" if head.length is None else f"{head.length} bytes"


def name_query(row: Difference) -> str:
    """What a question to the name server gets."""
    answer = Resolve(SyntheticAddresses(8), 8).answer(row.data)
    if answer is None:
        return "nothing"
    return f"code {answer[3] & 15}, {answer[7]} addresses"


def websocket(row: Difference) -> str:
    """What frames of a client say."""
    reader = FrameReader(masked=True)
    reader.feed(row.data)
    try:
        item = reader.next()
    except FrameInvalid:
        return "refused"
    if item is None:
        return "more"
    return item.data.decode("latin-1") if isinstance(item, Message) else item.opcode.name.lower()


def http2(row: Difference) -> str:
    """What a request in HTTP/2 is, its fields with a record separator between, name and value with a tab."""
    fields = [line.split(b"\t", 1) for line in row.data.split(b"\x1e")]
    try:
        head = read_request([(name, value) for name, value in fields], empty=True, port=443)
    except HeadInvalid:
        return "refused"
    return f"{head.method} {head.destination} {head.path}"


def ssh_server(row: Difference) -> str:
    """Whether what a server says before its key goes on to the client."""
    try:
        passed = KeyExchange(()).from_server(row.data)
    except SshInvalid:
        return "refused"
    return "passes" if passed == row.data else "more"


def events(row: Difference) -> str:
    """The events of a stream, one piece or many."""
    whole, cut = ServerSent(), ServerSent()
    found = list(whole.take(row.data))
    assert [event for byte in row.data for event in cut.take(bytes([byte]))] == found
    return " | ".join(event.decode("latin-1") for event in found)


READERS: dict[str, Callable[[Difference], str]] = {
    each.__name__: each
    for each in (
        proxy,
        socks5,
        tunnel,
        host,
        written_host,
        hello,
        chunks,
        response,
        name_query,
        websocket,
        http2,
        ssh_server,
        events,
    )
}
