"""Opens a tunnel to an allowed place and asks there for another, in TLS: `hello HOST:PORT OTHER`."""

import os
import socket
import ssl
from urllib.parse import urlsplit

from prelude import arguments, ended

target, other = arguments
host, _, port = target.rpartition(":")
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
secure = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=other)
try:
    secure.do_handshake()
except ssl.SSLWantReadError:
    greeting = outgoing.read()
proxy = os.environ.get("HTTPS_PROXY")
place = urlsplit(proxy) if proxy else None
with socket.create_connection((place.hostname, place.port) if place else (host, int(port)), 3) as client:
    client.settimeout(3)
    if place:
        client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = client.recv(1000)
        if b" 200 " not in answer.split(b"\r\n")[0]:
            ended("status " + answer.split(b" ")[1].decode() if b" " in answer else "closed")
    client.send(greeting)
    answer = client.recv(100)
ended("done" if b"pong" in answer else "closed")
