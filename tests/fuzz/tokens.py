"""Words of each protocol. Random bytes seldom get past a first line; rows of words do, and go wrong later."""

from __future__ import annotations

from tests.egress.hellos import made_hello, real_hello, server_name
from tests.fuzz.properties.streams import KEY, OTHER, offer, shown, string

from ringfence.egress.ssh.wire import packet

_HTTP = (
    b"GET ", b"POST ", b"CONNECT ", b"OPTIONS ", b"*", b"/", b"http://", b"HTTP/1.1", b"HTTP/1.0", b" ", b"\t", b"\r\n",
    b"\n", b"\r", b"\r\n\r\n", b"Host: ", b"Host:", b"host : ", b"a.test", b"b.test", b":80", b":443", b"a.test:80",
    b"Content-Length: ", b"Transfer-Encoding: ", b"chunked", b"identity", b"5", b"0", b"+", b"-1", b",", b";", b"=",
    b"%2e", b"%2E%2e", b"%00", b"%", b"..", b"?", b"#", b"\\", b"@", b"\0", b"\x0b", b"\x0c", b"\x85", b"\xa0",
    b"Connection: ", b"Upgrade: ", b"h2c", b"X: ", b" x", b"[::1]", b"0x7f.1", b"xn--a", b".", b"//", b"{", b"HTTP/",
    b"GET / HTTP/1.1\r\nHost: a.test\r\n", b"CONNECT a.test:443 HTTP/1.1\r\n", b"GET http://a.test/ HTTP/1.1\r\n",
)  # fmt: skip
_CHUNKS = (
    b"0\r\n\r\n", b"1\r\nx\r\n", b"3\r\nabc\r\n", b"\r\n", b"\n", b"\r", b"0", b"00", b"a", b"A", b"0x1", b"+1", b"-1",
    b" ", b"\t", b";", b";x=y", b"x", b"X: y\r\n", b"ffffffffffffffff", b"fffffffffffffff", b"10\r\n", b"0\r\n", b"_",
)  # fmt: skip
_ANSWERS = (
    b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 ", b"200", b"204 ", b"304 ", b"101 ", b"100 ", b"500 ", b"OK", b"\r\n",
    b"\r\n\r\n",
    b"\n", b"Content-Length: ", b"5", b"0", b"5, 5", b"Transfer-Encoding: ", b"chunked", b"gzip, ", b"X: ", b" ", b"\t",
    b"HTTP/1.1 200 OK\r\n", b"Connection: close\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n",
)  # fmt: skip
_SOCKS = (
    b"\x05\x01\x00", b"\x05\x02\x00\x02", b"\x05\x01\x02", b"\x05\x00", b"\x04\x01", b"\x05\x01\x00\x01", b"\x00",
    b"\x05\x01\x00\x03", b"\x05\x01\x00\x04", b"\x05\x02\x00\x03", b"\x05\x03\x00\x01", b"\x06a.test",
    b"\x0da.test\0.b.test",
    b"\x7f\x00\x00\x01", bytes(10) + b"\xff\xff\x7f\x00\x00\x01", bytes(16), b"\x00\x50", b"\x01\xbb", b"\x00\x00",
    b"\xff",
    b"\x091.2.3.4\x00", b"\x0a0x7f000001", b"a",
)  # fmt: skip
_HOSTS = (
    b"a", b"test", b".", b"..", b"-", b"_", b"0", b"0x", b"7f", b"127", b"1", b"255", b"256", b"017", b":", b"::", b"[",
    b"]", b"ffff", b"fe80", b"%", b"%eth0", b"@", b"\0", b" ", b"xn--", b"\xc3\xa9", b"\xe3\x80\x82", b"\xef\xbc\x8e",
    b"\xc3\x9f", b"\xef\xbc\x91", b"/", b"\\", b"64:ff9b::", b"2002:", b"A", b"E1", b"+", b"1e1", b"\xe2\x84\x80",
)  # fmt: skip
_NAMES = (
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", b"\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00",
    b"\x01a", b"\x04test", b"\x00", b"\xc0\x0c", b"\x00\x01\x00\x01", b"\x00\x1c\x00\x01", b"\x00\x10\x00\x01",
    b"\x00\x0a\x00\x01", b"\x00\x41\x00\x01", b"\x00\x01\x00\x03", b"\x3f" + b"x" * 63, b"\x40", b"\x01.", b"\x01\0",
    b"\x09localhost", b"\x08internal", b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00", b"\x00\x02", b"\x28\x00",
)  # fmt: skip
_HELLOS = (
    real_hello("a.test"), real_hello(None), made_hello(server_name(b"a.test")), made_hello(),
    made_hello(server_name(b"a.test"), server_name(b"b.test")), made_hello((0, b"\0\0")), b"\x16\x03\x01",
    b"\x16\x03\x03\x00\x04",
    b"\x01\x00\x00\x00", b"\x15\x03\x01\x00\x02\x01\x00", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10", b"\x00",
    b"\xff",
    b"\x00\x00\x00\x0b\x00\x09\x00\x00\x06a.test", b"\x00\x2f\x00\x35\x00\x0a\x00\xff\xc0\x2f", bytes(16), b"\x01\x00",
)  # fmt: skip
_FRAMES = (
    b"\x81\x05hello", b"\x81\x85maskhello", b"\x01\x02he", b"\x80\x03llo", b"\x00\x01x", b"\x88\x02\x03\xe8",
    b"\x89\x00",
    b"\x8a\x80mask", b"\x82\xfe\x00\x05mask12345", b"\x82\x7e\x00\x05", b"\x82\x7f" + bytes(7) + b"\x05", b"\x82\xff",
    b"\xff" * 8, b"\xc1\x00", b"\x83\x00", b"\x89\x7e\x00\x80", b"\x00", b"x", b"mask", b"\x01\x80mask",
    b"\x80\x80mask",
)  # fmt: skip

_SSH = (
    b"SSH-2.0-server\r\n", b"SSH-1.99-server\n", b"SSH-1.5-x\r\n", b"hello\r\n", b"\n", offer(b"curve25519-sha256"),
    offer(b"diffie-hellman-group-exchange-sha256"), offer(b"unknown"), shown(KEY), shown(OTHER), shown(KEY, 33),
    shown(OTHER, 33), packet(b"\x15"), packet(b"\x02" + string(b"x")), packet(b"\x01"), packet(b"\x06"),
    b"\0\0\0\x0c\x0a\x15",
    b"\0\0\0\0", b"\xff\xff\xff\xff", b"encrypted",
)  # fmt: skip
_HTTP2 = (
    b"\0\0\0\x04\0\0\0\0\0", b"\0\0\x03\0\x01\0\0\0\x01abc", b"\0\0\x01\x01\x04\0\0\0\x01\x82",
    b"\0\0\x08\x07\0\0\0\0\0" + bytes(8), b"\0\0\x0d\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0debug", b"\0\0\x01\x07\0\0\0\0\0x",
    b"\0\0\x08\x06\0\0\0\0\0" + bytes(8), b"\0\0\0\0\x01\0\0\0\x01", b"\0\0", b"\0", b"\xff",
)  # fmt: skip
_FIELDS2 = (
    b":method\tGET\n", b":method\tPOST\n", b":method\tCONNECT\n", b":scheme\thttps\n", b":scheme\thttp\n",
    b":path\t/\n",
    b":path\t/a%2fb?c\n", b":path\t*\n", b":path\thttps://b.test/\n", b":authority\ta.test\n",
    b":authority\ta.test:443\n",
    b":authority\tb.test\n", b"host\ta.test\n", b"host\tb.test\n", b"content-length\t5\n", b"content-length\t6\n",
    b"transfer-encoding\tchunked\n", b"connection\tclose\n", b"X\ty\n", b"x\ty\r\nhost: b.test\n", b"x\t y \n",
    b"te\ttrailers\n",
    b"x\t\0\n", b"cookie\ta\n", b":x\ty\n", b":protocol\twebsocket\n", b"\t\n", b"\xc3\t\xc3\n",
    b":method\tGET\n:scheme\thttps\n:path\t/\n:authority\ta.test\n",
)  # fmt: skip
_EVENTS = (
    b"data:", b"data: x", b"data", b"event: a", b"id: 1", b": c", b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"x",
    b"\xef\xbb\xbf", b"\0", b'data: {"a":1}\n\n', b"datax: y",
)  # fmt: skip

TOKENS: dict[str, tuple[bytes, ...]] = {
    "request_head": _HTTP,
    "first_bytes": (*_HTTP, *_HELLOS[:6]),
    "front": (*_HTTP, *_SOCKS),
    "socks_request": _SOCKS,
    "request_body": _CHUNKS,
    "response_head": _ANSWERS,
    "answer_body": _CHUNKS,
    "host": _HOSTS,
    "host_pattern": (*_HOSTS, b"*", b"*.", b"**.", b"\n", b":443", b"/8", b"/24", b"10.0.0.0", b"::/0", b"a.test"),
    "name_query": _NAMES,
    "hello": _HELLOS,
    "websocket": _FRAMES,
    "ssh_server": _SSH,
    "http2_frames": _HTTP2,
    "http2_request": _FIELDS2,
    "server_sent": _EVENTS,
}


def put_together(name: str, numbers: bytes) -> bytes:
    """The words with these numbers, one behind the other."""
    words = TOKENS[name]
    return b"".join(words[number % len(words)] for number in numbers)


def input_of(name: str, data: bytes) -> bytes:
    """What an input of the fuzzer means: half are the bytes themselves, the others rows of words."""
    return data[1:] if data[:1] < b"\x80" else put_together(name, data[1:])
