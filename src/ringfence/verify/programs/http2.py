"""Asks a web server by HTTP/2, in frames made by hand: `http2 HOST:PORT CONTINUATIONS HEADER...`.

Each header is `NAME=VALUE`. Before the header ends, so many more frames of it are sent. Certificates are not looked at.
"""

import os
import socket
import ssl
from urllib.parse import urlsplit

from prelude import arguments, ended

HEADERS, RESET, SETTINGS, GOAWAY, CONTINUATION = 1, 3, 4, 7, 9
FULL = {8: "200", 9: "204", 10: "206", 11: "304", 12: "400", 13: "404", 14: "500"}
"""Statuses that have a number of their own."""


def frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def counted(data):
    length = len(data)
    if length < 127:
        return bytes((length,)) + data
    rest, more = length - 127, b""
    while rest > 127:
        more, rest = more + bytes((rest & 127 | 128,)), rest >> 7
    return b"\x7f" + more + bytes((rest,)) + data


def field(text):
    name, _, value = text.partition("=")
    return b"\0" + counted(name.encode()) + counted(value.encode())


def digits(text):
    """Digits in the code of HPACK: those up to 2 have five bits, the others six."""
    bits, found = "".join(f"{each:08b}" for each in text), ""
    while len(found) < 3:
        short = int(bits[:5], 2)
        found += str(short if short < 3 else int(bits[:6], 2) - 22)
        bits = bits[5:] if short < 3 else bits[6:]
    return found


def status(block):
    if block[0] & 0x80:
        return FULL.get(block[0] & 0x7F, "unknown")
    length = block[1] & 0x7F
    return digits(block[2 : 2 + length]) if block[1] & 0x80 else block[2 : 2 + length].decode()


def frames(client):
    data = b""
    while True:
        while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
            part = client.recv(65536)
            if not part:
                ended("closed")
            data += part
        end = 9 + int.from_bytes(data[:3], "big")
        yield data[3], data[4], data[9:end]
        data = data[end:]


def connected(target):
    """TLS with the place, through the proxy where there is one."""
    proxy = os.environ.get("HTTPS_PROXY")
    host, _, port = target.rpartition(":")
    place = urlsplit(proxy) if proxy else None
    client = socket.create_connection((place.hostname, place.port) if place else (host, int(port)), 3)
    client.settimeout(5)
    if place:
        client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = client.recv(1000)
        if b" 200 " not in answer.split(b"\r\n")[0]:
            ended("status " + answer.split(b" ")[1].decode() if b" " in answer else "closed")
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    secure = context.wrap_socket(client, server_hostname=host)
    if secure.selected_alpn_protocol() != "h2":
        ended("no HTTP/2")
    return secure


def ask(client, fields, continuations):
    """Begin, and send one request; its header in as many frames as wanted."""
    parts = [b"".join(fields), *[field("x-more=" + "x" * 50)] * continuations]
    client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b""))
    for number, part in enumerate(parts):
        last = 4 if number == len(parts) - 1 else 0
        client.sendall(frame(CONTINUATION, last, 1, part) if number else frame(HEADERS, last | 1, 1, part))


def answered(client):
    """How it ends."""
    for kind, flags, payload in frames(client):
        if kind == SETTINGS and not flags:
            client.sendall(frame(SETTINGS, 1, 0, b""))
        elif kind == HEADERS:
            found = status(payload)
            return "done" if found == "200" else f"status {found}"
        elif kind in (RESET, GOAWAY):
            return "closed"
    raise AssertionError("a connection ends with one of these")


target, continuations, *headers = arguments
try:
    client = connected(target)
    ask(client, [field(header) for header in headers], int(continuations))
    ended(answered(client))
except ssl.SSLError:
    ended("closed")
