"""The heads of requests and answers: one meaning, for us, for h11 and for Python's own readers."""

from __future__ import annotations

import io
from http.client import HTTPMessage, parse_headers
from urllib.parse import unquote, urlsplit

import h11
import msgspec

from ringfence.egress.http_forward import answered, reissued
from ringfence.egress.http_head import END, HeadInvalid, RequestHead, Target, parse_head
from ringfence.egress.http_response import ResponseHead, ResponseInvalid, parse_response
from ringfence.egress.whole_answers import passed_on
from ringfence.model.host import parse_host


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


def response_head(data: bytes) -> None:
    """An answer's head that is accepted frames its body as h11 says, or h11 does not take it at all; any cut of a
    body behind it gives the same."""
    same_when_passed_on(data)
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


def same_when_passed_on(data: bytes) -> bool:
    """What is passed on as a whole is what comes of reading it field by field; whether it is passed on."""
    passed = passed_on(data)
    if passed is None:
        return False
    end = data.index(END) + len(END)
    head, body = parse_response(data[:end], "GET"), data[end:]
    assert (head.length, head.chunked, head.minor, head.closes, head.binds) == (len(body), False, 1, False, False)
    assert head.status >= 200 and head.status not in (204, 304)
    read = answered(head, length=head.length, chunked=False, keep=True, bodyless=False) + body
    assert _meaning(passed) == _meaning(read), (passed, read)
    return True


def _meaning(data: bytes) -> tuple[ResponseHead, bytes]:
    end = data.index(END) + len(END)
    return msgspec.structs.replace(parse_response(data[:end], "GET"), written=None), data[end:]


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
