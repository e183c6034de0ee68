"""Streams within connections: SSH before its encryption, the frames of HTTP/2, and server-sent events."""

from __future__ import annotations

from tests.fuzz.properties.cutting import cut_up
from tests.fuzz.properties.heads import h11_request, hosts_of

from ringfence.egress.http2.frames import PREFACE, Flood, Frames
from ringfence.egress.http2.heads import read_request
from ringfence.egress.http_forward import reissued
from ringfence.egress.http_head import HeadInvalid, parse_head
from ringfence.egress.model_wire.server_sent import ServerSent
from ringfence.egress.ssh.exchange import KeyExchange, WrongKey, fingerprint
from ringfence.egress.ssh.wire import SshInvalid, packet

_MANY = 120
"""Header fields: with those that we add, more than this may be too many for one head."""

# ---- SSH


def string(data: bytes) -> bytes:
    """A string as SSH writes it."""
    return len(data).to_bytes(4, "big") + data


KEY, OTHER = (string(b"ssh-ed25519") + string(one * 32) for one in (b"k", b"o"))
_NONE = string(b"none") * 2 + string(b"") * 2 + bytes(5)


def offer(*exchanges: bytes) -> bytes:
    """The offer of algorithms of one side."""
    ciphers = string(b"ssh-ed25519") + string(b"aes128-ctr") * 2 + string(b"hmac-sha2-256") * 2
    return packet(b"\x14" + bytes(16) + string(b",".join(exchanges)) + ciphers + _NONE)


def shown(key: bytes, kind: int = 31) -> bytes:
    """A server's answer that shows a key."""
    return packet(bytes([kind]) + string(key) + string(bytes(32)) + string(bytes(64)))


_CLIENT = b"SSH-2.0-client\r\n" + offer(b"curve25519-sha256", b"diffie-hellman-group-exchange-sha256")


def ssh_server(data: bytes) -> None:
    """What goes on to the client is what came, in order; never a key that was not asked for, however it was cut."""
    whole, cut = _exchanged([data]), _exchanged(cut_up(data))
    assert data.startswith(whole[0]) and data.startswith(cut[0])
    assert whole[1:] == cut[1:], (whole, cut)
    assert whole[1] or whole[0] == cut[0], (whole, cut)
    for passed, _, over in (whole, cut):
        wrong = shown(OTHER) in passed and b"group-exchange" not in passed
        assert over or not (wrong or shown(OTHER, 33) in passed), passed


def _exchanged(pieces: list[bytes]) -> tuple[bytes, str, bool]:
    exchange = KeyExchange((fingerprint(KEY),))
    exchange.from_client(_CLIENT)
    passed = b""
    try:
        for piece in pieces:
            passed += exchange.from_server(piece)
    except (SshInvalid, WrongKey) as stopped:
        return passed, type(stopped).__name__, exchange.over
    return passed, "", exchange.over


# ---- HTTP/2


def http2_frames(data: bytes) -> None:
    """All frames go on but those that say goodbye, however they were cut."""
    data = PREFACE + data
    whole = _framed([data])
    assert _framed(cut_up(data)) == whole or whole is None or _framed(cut_up(data)) is None
    assert (whole is None) == (_framed(cut_up(data)) is None)
    if whole is not None:
        kept, farewells = _apart(data)
        assert (whole[0], len(whole[1])) == (kept, farewells), (whole, kept)


def _framed(pieces: list[bytes]) -> tuple[bytes, list[object]] | None:
    frames = Frames(0.0, preface=True)
    passed, farewells = b"", []
    try:
        for piece in pieces:
            more, gone = frames.take(piece, 0.0)
            passed += more
            farewells += gone
    except Flood:
        return None
    return passed, farewells


def _apart(data: bytes) -> tuple[bytes, int]:
    """The same, by a reader that has all of it at once: what goes on as far as it came, and the farewells."""
    at, kept, farewells = len(PREFACE), PREFACE, 0
    while at + 9 <= len(data):
        end = at + 9 + int.from_bytes(data[at : at + 3], "big")
        if data[at + 3] == 7:
            farewells += end <= len(data)
        else:
            kept += data[at:end]
        at = end
    return kept, farewells


def http2_request(data: bytes) -> None:
    """A request that is accepted is the same one in HTTP/1.1, to us and to h11. One field a line: name, tab, value."""
    lines = [line.split(b"\t", 1) for line in data.split(b"\n") if b"\t" in line]
    try:
        head = read_request([(name, value) for name, value in lines], empty=False, port=443)
    except HeadInvalid:
        return
    if len(head.fields) > _MANY:
        return  # what we add makes more of them than HTTP/1.1 may have here
    assert head.destination is not None
    issued = reissued(head, head.destination, length=None if head.chunked else head.length, keep=True, secure=True)
    again = parse_head(issued, default_port=443)
    assert (again.method, again.path, again.query, again.destination) == (
        head.method, head.path, head.query, head.destination,
    )  # fmt: skip
    theirs = h11_request(issued)
    assert theirs is not None and len(hosts_of(theirs)) == 1, issued


# ---- server-sent events


def server_sent(data: bytes) -> None:
    """The same events however they were cut, and those that the standard says."""
    whole = _events([data])
    assert _events(cut_up(data)) == whole
    expected = _by_the_standard(data)
    assert whole[: len(expected)] == expected, (whole, expected)


def _events(pieces: list[bytes]) -> list[bytes]:
    stream = ServerSent()
    found = [event for piece in pieces for event in stream.take(piece)]
    last = stream.finish()
    return found if last is None else [*found, last]


def _by_the_standard(data: bytes) -> list[bytes]:
    """The data of each event that was ended, as the HTML standard reads it."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[bytes] = []
    lines: list[bytes] = []
    for line in text.split(b"\n")[:-1]:
        name, _, value = line.partition(b":")
        if not line:
            found += [b"\n".join(lines)] if lines else []
            lines = []
        elif name == b"data":
            lines.append(value.removeprefix(b" "))
    return found
