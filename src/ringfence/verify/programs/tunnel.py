"""Asks the proxy for a tunnel to a place: `tunnel HOST:PORT TEXT`. Without a proxy it goes there itself."""

import os
import socket
from urllib.parse import unquote, urlsplit

from prelude import arguments, ended

target, text = arguments
proxy = os.environ.get("HTTPS_PROXY")
host, _, port = target.rpartition(":")
place = urlsplit(proxy) if proxy else None
if not place and host.endswith(".internal"):
    host = "127.0.0.1"  # the name that the sandbox has for the host itself
if not place:
    host = unquote(host.rpartition("@")[2])  # as a reader that means well would take it
with socket.create_connection((place.hostname, place.port) if place else (host.strip("[]"), int(port)), 3) as client:
    client.settimeout(3)
    if place:
        client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = client.recv(1000)
        if b" 200 " not in answer.split(b"\r\n")[0]:
            ended("status " + answer.split(b" ")[1].decode() if b" " in answer else "closed")
    client.send(text.encode())
    answer = client.recv(100)
ended("done" if b"pong" in answer else "closed")
