"""Asks the proxy for a connection by SOCKS5: `socks HOST PORT TEXT`. Without a proxy it goes there itself."""

import os
import socket
import struct
from urllib.parse import urlsplit

from prelude import arguments, ended

host, port, text = arguments
proxy = os.environ.get("ALL_PROXY") or os.environ.get("HTTPS_PROXY")
place = urlsplit(proxy) if proxy else None
# Without a proxy it goes where a library of C would read the name to lead: up to the first zero byte.
with socket.create_connection((place.hostname, place.port) if place else (host.split("\0")[0], int(port)), 3) as client:
    client.settimeout(3)
    if place:
        client.send(b"\x05\x01\x00")
        if client.recv(2) != b"\x05\x00":
            ended("no socks")
        client.send(b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + struct.pack(">H", int(port)))
        answer = client.recv(100)
        if answer[1:2] != b"\0":
            ended(f"socks {answer[1]}" if len(answer) > 1 else "closed")
    client.send(text.encode())
    answer = client.recv(100)
ended("done" if b"pong" in answer else "closed")
