"""What a client says first: to the explicit proxy, in a tunnel, in TLS. The same however it was cut, and never another
name than the one that a server goes by."""

from __future__ import annotations

import datetime
import io
import ipaddress
import ssl
from contextlib import suppress
from functools import cache
from http.server import BaseHTTPRequestHandler

import msgspec
from tests.fuzz.properties.cutting import cut_up, cuts
from tests.fuzz.properties.heads import h11_request, hosts_of

from ringfence.egress import socks
from ringfence.egress.authority import Authority
from ringfence.egress.first_bytes import Http, Other, Spoken, Tls, look
from ringfence.egress.front import Front, Reject, Say, Wanted
from ringfence.egress.http_head import HeadInvalid, RequestHead
from ringfence.egress.limits import Limits
from ringfence.egress.tls_hello import HelloInvalid
from ringfence.model.host import parse_destination, parse_host

_LIMITS = Limits()


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
    for end in cuts(data):
        early = _spoken(data[:end])
        if early is None:
            continue
        assert type(early) is type(whole), (early, whole, end)
        if isinstance(early, Http) and isinstance(whole, Http):
            assert (early.head, early.rest + data[end:]) == (whole.head, whole.rest)
        elif not isinstance(early, ValueError):
            assert early == whole
        return


def front(data: bytes) -> None:
    """The proxy hears the same in one piece and in many; a SOCKS name is the one that the next program reads, too."""
    whole = _conversation([data])
    pieces = cut_up(data)
    cut = _conversation(pieces)
    assert cut == whole, (cut, whole)
    if isinstance(whole[-1] if whole else None, Wanted):
        wanted = whole[-1]
        assert isinstance(wanted, Wanted)
        assert parse_destination(str(wanted.destination)) == wanted.destination


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
