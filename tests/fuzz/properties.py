"""What must hold of the readers of the wire for any bytes, each as one function of one input.

The fast tests try them with a few inputs and with the corpus, the fuzzer with millions: `fuzz_wire.py`. None asks only
that nothing crashes: where there is a second reader that others rely on (h11, the TLS library, the C library), what we
accept has to mean the same to it, and every reader has to say the same however its bytes were cut.
"""

from __future__ import annotations

import datetime
import io
import ipaddress
import itertools
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from http.client import HTTPMessage, parse_headers
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

import h11
import msgspec

from ringfence.egress import socks
from ringfence.egress.authority import Authority
from ringfence.egress.dns import Resolve
from ringfence.egress.first_bytes import Http, Other, Spoken, Tls, look
from ringfence.egress.front import Front, Reject, Say, Wanted
from ringfence.egress.http_body import Body
from ringfence.egress.http_forward import answered, reissued
from ringfence.egress.http_framing import FramedBody
from ringfence.egress.http_head import HeadInvalid, RequestHead, Target, parse_head
from ringfence.egress.http_response import ResponseHead, ResponseInvalid, parse_response
from ringfence.egress.limits import Limits
from ringfence.egress.synthetic import SyntheticAddresses
from ringfence.egress.tls_hello import HelloInvalid
from ringfence.egress.websocket_frames import FrameInvalid, FrameReader, Item, Message, Opcode, frame
from ringfence.model.addresses import AddressKind, canonical, classify
from ringfence.model.host import Host, parse_destination, parse_host

MOST_SECONDS = 1.0
"""For one input of the length that the limits let through. Instrumented code is many times slower."""

_LIMITS = Limits()
_LONGEST = 16_384
"""Of an input: a reader that is quadratic shows it well below that."""


# ---- the heads of requests


def request_head(data: bytes) -> None:
    """A head that is accepted means the same to h11 and to Python's own reader, as it came and as we issue it anew."""
    head = _head(data)
    if head is None or head.destination is None:
        return
    # INVARIANT: one spelling per path; a second reading changes nothing.
    again = parse_head(_issued(head, head.destination))
    assert (again.method, again.path, again.query) == (head.method, head.path, head.query)
    if head.method == "CONNECT":
        return
    _same_url(data, head)
    issued = _issued(head, head.destination)
    theirs = h11_request(issued)
    assert theirs is not None, ("a strict reader does not take what we issue", issued)
    assert theirs.method.decode() == head.method, (theirs, head)
    assert hosts_of(theirs) == [_authority(head)], (theirs, head)
    fields = _fields_of(data)
    assert [value for name, value in fields if name == b"host"] == [v for n, v in head.fields if n == b"host"]
    assert len(fields) == len(head.fields), (fields, head.fields)


def _same_url(data: bytes, head: RequestHead) -> None:
    """Python's own reader of URLs finds the same host, and no name of the path is a way up, however it is written."""
    assert ".." not in [unquote(name) for name in head.path.split("/")], head.path
    if head.target is Target.ABSOLUTE:
        assert head.destination is not None
        named = urlsplit(data.split(b" ")[1].decode("ascii"))
        assert named.username is None and named.hostname is not None
        assert parse_host(named.hostname) == head.destination.host, (named, head)


def _head(data: bytes) -> RequestHead | None:
    try:
        return parse_head(data)
    except HeadInvalid:
        return None


def _issued(head: RequestHead, destination: object) -> bytes:
    assert head.destination is not None
    if head.target is Target.AUTHORITY:
        return f"CONNECT {head.destination} HTTP/1.1\r\nHost: {head.destination}\r\n\r\n".encode()
    return reissued(head, head.destination, length=None if head.chunked else head.length, keep=True)


def _authority(head: RequestHead) -> bytes:
    assert head.destination is not None
    named = head.destination
    return (named.host.authority if named.port == 80 else str(named)).encode()


def _fields_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """The header fields as Python's own reader of HTTP takes them, the names in lower case."""
    stream = io.BytesIO(data)
    stream.readline()
    found: HTTPMessage = parse_headers(stream)
    return [(name.lower().encode("latin-1"), value.encode("latin-1").strip(b" \t")) for name, value in found.items()]


def h11_request(data: bytes) -> h11.Request | None:
    """The request as h11 reads it; None where it reads none."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    return event if isinstance(event, h11.Request) else None


def hosts_of(request: h11.Request) -> list[bytes]:
    """What stands in its Host headers."""
    return [bytes(value) for name, value in request.headers if name == b"host"]


# ---- the first bytes of a connection


class _Lenient(BaseHTTPRequestHandler):
    """Python's own server, which takes nearly anything for a request."""

    def __init__(self, data: bytes) -> None:
        self.rfile = io.BytesIO(data)
        self.raw_requestline = self.rfile.readline(65_537)
        self.client_address = ("127.0.0.1", 1)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Nobody listens."""

    def handle_expect_100(self) -> bool:
        """Nobody listens."""
        return True


def lenient_host(data: bytes) -> str | None:
    """The host that Python's own server is asked for; None where it reads no request with one."""
    handler = _Lenient(data)
    if not handler.parse_request() or handler.request_version not in ("HTTP/1.0", "HTTP/1.1"):
        return None
    if not handler.command.isalnum():  # it has no method of that name
        return None
    return handler.headers.get("Host")


def first_bytes(data: bytes) -> None:
    """What a server takes for a request, strict or lenient, is never let through as another protocol or host; and the
    answer is the same however the bytes were cut."""
    spoken = _spoken(data)
    request = h11_request(data)
    hosts = {value.decode("latin-1") for value in hosts_of(request)} if request else set()
    lenient = lenient_host(data)
    hosts |= {lenient} if lenient is not None else set()
    for host in hosts:
        assert not isinstance(spoken, Tls) and (not isinstance(spoken, Http) or _names(spoken.head, host)), host
        assert not _is_other(spoken), ("a request passes as another protocol", data)
    _same_however_cut(data, spoken)


def _is_other(spoken: object) -> bool:
    return isinstance(spoken, Other)


def _names(head: RequestHead, host: str) -> bool:
    try:
        return head.destination is not None and parse_destination(host, default_port=80).host == head.destination.host
    except ValueError:
        return False


def _spoken(data: bytes) -> Spoken | ValueError | None:
    try:
        return look(data)
    except (HeadInvalid, HelloInvalid) as invalid:
        return invalid


def _same_however_cut(data: bytes, whole: Spoken | ValueError | None) -> None:
    for end in _cuts(data):
        early = _spoken(data[:end])
        if early is None:
            continue
        assert type(early) is type(whole), (early, whole, end)
        if isinstance(early, Http) and isinstance(whole, Http):
            assert (early.head, early.rest + data[end:]) == (whole.head, whole.rest)
        elif not isinstance(early, ValueError):
            assert early == whole
        return


def _cuts(data: bytes) -> list[int]:
    """Everywhere in a short input; at places that the input itself chooses in a long one."""
    if len(data) <= 256:
        return list(range(len(data)))
    return sorted({int.from_bytes(data[at : at + 2], "big") % len(data) for at in range(0, 64, 2)})


# ---- the explicit proxy


def front(data: bytes) -> None:
    """The proxy hears the same in one piece and in many; a SOCKS name is the one that the next program reads, too."""
    whole = _conversation([data])
    pieces = [data[at : at + 1] for at in range(len(data))] if len(data) <= 256 else _pieces(data)
    cut = _conversation(pieces)
    assert cut == whole, (cut, whole)
    if isinstance(whole[-1] if whole else None, Wanted):
        wanted = whole[-1]
        assert isinstance(wanted, Wanted)
        assert parse_destination(str(wanted.destination)) == wanted.destination


def _pieces(data: bytes) -> list[bytes]:
    cuts = [0, *_cuts(data), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(cuts)]


def _conversation(pieces: list[bytes]) -> list[Say | Reject | Wanted]:
    """The steps; what was not read yet belongs to the rest."""
    proxy = Front(_LIMITS)
    steps: list[Say | Reject | Wanted] = []
    for at, piece in enumerate(pieces):
        step = proxy.feed(piece)
        while isinstance(step, Say):
            steps.append(step)
            step = proxy.feed(b"")
        if isinstance(step, Wanted):
            return [*steps, msgspec.structs.replace(step, rest=step.rest + b"".join(pieces[at + 1 :]))]
        if isinstance(step, Reject):
            # The status, not the words: which of two faults is met first depends on how the bytes were cut.
            return [*steps, Reject(step.data.split(b"\r\n")[0])]
    return steps


def socks_request(data: bytes) -> None:
    """The bytes behind a greeting: the address that is read is the one that stands there."""
    try:
        request = socks.read_request(data)
    except socks.SocksInvalid:
        return
    if request is None:
        return
    host = request.destination.host
    if data[3] == 1:
        assert host.address == str(ipaddress.IPv4Address(data[4:8]))
    elif data[3] == 4:
        six = ipaddress.IPv6Address(data[4:20])
        assert host.address == str(six.ipv4_mapped or six)
    else:
        assert parse_host(data[5 : 5 + data[4]]) == host
    assert data.endswith(request.rest)


# ---- bodies and answers


def request_body(data: bytes) -> None:
    """Both readers of chunks find the same end, whatever the cuts; what they accept is what h11 takes it for."""
    raw, plain = Body(_CHUNKED), FramedBody(None, chunked=True, strict=True)
    first, second = _raw(raw, [data]), _plain(plain, [data])
    assert (first is None) == (second is None), (first, second)
    pieces = [data[at : at + 1] for at in range(len(data))] if len(data) <= 256 else _pieces(data)
    assert (_raw(Body(_CHUNKED), pieces) is None) == (first is None)
    assert _plain(FramedBody(None, chunked=True, strict=True), pieces) == second
    if first is None or second is None or not raw.finished:
        return
    assert plain.finished and len(data) - len(first) == len(second[1]), (first, second)
    assert _h11_body(data) == (second[0], second[1]), (data, second)


_CHUNKED = parse_head(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")


def _raw(body: Body, pieces: list[bytes]) -> bytes | None:
    try:
        return b"".join([body.take(piece) for piece in pieces])
    except HeadInvalid:
        return None


def _plain(body: FramedBody, pieces: list[bytes]) -> tuple[bytes, bytes] | None:
    try:
        taken = [body.take(piece) for piece in pieces]
    except HeadInvalid:
        return None
    return b"".join(part for part, _ in taken), b"".join(rest for _, rest in taken)


def _h11_body(data: bytes) -> tuple[bytes, bytes] | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    found = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                found.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(found), connection.trailing_data[0]
            elif not isinstance(event, h11.Request):
                return None
    except h11.RemoteProtocolError:
        return None


def response_head(data: bytes) -> None:
    """An answer's head that is accepted frames its body as h11 says, or h11 does not take it at all; any cut of a
    body behind it gives the same."""
    try:
        head = parse_response(data, "GET")
    except ResponseInvalid:
        return
    if head.status != 101:
        _issued_anew(head)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a.test")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        theirs = connection.next_event()
    except h11.RemoteProtocolError:
        return
    if isinstance(theirs, h11.Response):
        assert theirs.status_code == head.status
        _same_framing(head, connection)


def _issued_anew(head: ResponseHead) -> None:
    """What the client gets of it frames its body in one way, by our own reader and by h11."""
    bodyless = head.status in (204, 304) or head.interim
    chunked = head.length is None and not bodyless
    issued = answered(head, length=head.length, chunked=chunked, keep=True, bodyless=bodyless)
    again = parse_response(issued, "GET")
    assert (again.status, again.length, again.chunked) == (head.status, head.length, chunked), (head, again)
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a.test")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(issued)
    assert isinstance(connection.next_event(), h11.Response | h11.InformationalResponse), issued


def _same_framing(head: ResponseHead, connection: h11.Connection) -> None:
    """By what h11 makes of one body in chunks and one byte: a length, chunks, or everything up to the end."""
    if head.chunked or head.length:
        probe = b"1\r\nx\r\n0\r\n\r\n" if head.chunked else bytes(min(head.length or 0, 64))
        connection.receive_data(probe)
        event = connection.next_event()
        assert isinstance(event, h11.Data), (head, event)
        assert bytes(event.data) == (b"x" if head.chunked else probe), (head, event)
    elif head.length == 0:
        event = connection.next_event()
        assert isinstance(event, h11.EndOfMessage), (head, event)


def answer_body(data: bytes) -> None:
    """A body of an answer comes out the same however it was cut, in bounded memory."""
    pieces = [data[at : at + 1] for at in range(len(data))] if len(data) <= 256 else _pieces(data)
    whole = _plain(FramedBody(None, chunked=True, strict=False), [data])
    assert _plain(FramedBody(None, chunked=True, strict=False), pieces) == whole
    strict = _plain(FramedBody(None, chunked=True, strict=True), [data])
    assert strict is None or strict == whole


# ---- names


def host(data: bytes) -> None:
    """A host has one spelling; what the C library takes for an address is that address here, or nothing."""
    for text in (data, data.decode("utf-8", "surrogateescape")):
        try:
            found = parse_host(text)
        except ValueError:
            continue
        assert parse_host(found.name) == found == parse_host(found.name.upper()), found
        assert parse_host(found.authority) == found
        _as_the_c_library(text, found)
        if found.address is not None:
            _classified(found.address)


def _as_the_c_library(text: str | bytes, found: Host) -> None:
    plain = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    with suppress(OSError, ValueError, UnicodeError):
        numeric = socket.inet_ntoa(socket.inet_aton(plain))
        if not any(character.isspace() for character in plain):
            assert found.address == numeric, (found, numeric)
    if found.address is None:
        for flags in (socket.AI_NUMERICHOST,):
            try:
                socket.getaddrinfo(found.name, 1, flags=flags)
            except (OSError, UnicodeError):
                continue
            raise AssertionError(("a name is an address to the C library", found))


def _classified(address: str) -> None:
    assert canonical(address) == address
    if classify(address).kind is AddressKind.GLOBAL:
        assert ipaddress.ip_address(address).is_global, address


def name_query(data: bytes) -> None:
    """An answer can be read, repeats its question, and is no longer than its question and one address."""
    names = SyntheticAddresses(8)
    answer = Resolve(names, 4).answer(data)
    if answer is None:
        assert len(data) < 12 or data[2] & 0x80
        return
    _, flags, questions, answers, authorities, more = struct.unpack_from(">6H", answer)
    assert (answer[:2], flags & 0x8000) == (data[:2], 0x8000)
    assert (authorities, more) == (0, 0) and questions <= 1 and answers <= questions
    question = answer[12:] if not answers else answer[12 : -(12 + int.from_bytes(_length_of(answer), "big"))]
    assert data[12 : 12 + len(question)] == question
    assert len(answer) <= 12 + 255 + 4 + 28, len(answer)


def _length_of(answer: bytes) -> bytes:
    """The length of the only record's data: 4 for IPv4, 16 for IPv6."""
    end = answer.index(b"\0", 12)
    at = 12
    while answer[at]:
        at += 1 + answer[at]
    assert at >= end
    return answer[at + 5 + 10 : at + 5 + 12]


# ---- TLS


@cache
def _server() -> ssl.SSLContext:
    return Authority("fuzz", datetime.datetime.now(datetime.UTC)).context(parse_host("a.test"), ("http/1.1", "h2"))


_NOT_ASKED = "\0"


def hello(data: bytes) -> None:
    """The server name that the TLS library goes by is the one that we read; where it goes by none, so do we."""
    theirs = _openssl_name(data)
    try:
        spoken = look(data)
    except (HelloInvalid, HeadInvalid):
        return
    if theirs != _NOT_ASKED:
        assert isinstance(spoken, Tls), ("TLS passes as something else", data)
        ours = None if spoken.server_name is None else spoken.server_name.decode("latin-1")
        assert ours == theirs, (ours, theirs)


def _openssl_name(data: bytes) -> str | None:
    seen: list[str | None] = []
    context = _server()

    def named(connection: ssl.SSLObject, name: str | None, own: ssl.SSLContext) -> None:
        seen.append(name)

    context.sni_callback = named
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(data)
    with suppress(ssl.SSLError, UnicodeError):
        server.do_handshake()
    return seen[0] if seen else _NOT_ASKED


# ---- WebSocket


def websocket(data: bytes) -> None:
    """The same messages however the frames were cut, and the same once more after they were written anew."""
    for masked in (True, False):
        whole = _items([data], masked=masked)
        assert _items([data[at : at + 1] for at in range(min(len(data), 512))] + [data[512:]], masked=masked) == whole
        written = b"".join(_frame(item, masked=masked) for item in whole[0])
        assert _items([written], masked=masked)[0] == whole[0]


def _items(pieces: list[bytes], *, masked: bool) -> tuple[list[Item], bool]:
    reader = FrameReader(masked=masked)
    found: list[Item] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (item := reader.next()) is not None:
                found.append(item)
    except FrameInvalid:
        return found, False
    return found, True


def _frame(item: Item, *, masked: bool) -> bytes:
    mask = b"mask" if masked else None
    if isinstance(item, Message):
        return frame(Opcode.TEXT if item.text else Opcode.BINARY, item.data, mask)
    return frame(item.opcode, item.data, mask)


PROPERTIES: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        request_head,
        first_bytes,
        front,
        socks_request,
        request_body,
        response_head,
        answer_body,
        host,
        name_query,
        hello,
        websocket,
    )
}
"""By the name that the fuzzer and its corpus know them by."""


def holds(name: str, data: bytes) -> None:
    """Raises where a property does not hold of the input, or takes too long over it."""
    start = time.thread_time()
    PROPERTIES[name](data[:_LONGEST])
    taken = time.thread_time() - start
    if taken > MOST_SECONDS:
        raise TimeoutError(f"`{name}` took {taken:.2f} s over {data[:_LONGEST]!r}")
