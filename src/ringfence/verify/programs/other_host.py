"""Asks an allowed place for pages of others, one by one: `other_host ADDRESS HOST[,HOST...] TEXT`."""

import os
import socket
from urllib.parse import urlsplit

from prelude import arguments, ended

address, hosts, text = arguments
proxy = os.environ.get("HTTP_PROXY") or os.environ.get("HTTPS_PROXY")
place = urlsplit(proxy) if proxy else None
answer = b""
with socket.create_connection((place.hostname, place.port) if place else (address, 80), 3) as client:
    client.settimeout(3)
    for host in hosts.split(","):
        line = f"http://{address}/" if place else "/"
        client.send(f"GET {line} HTTP/1.1\r\nHost: {host}\r\nX-Data: {text}\r\n\r\n".encode())
        answer = client.recv(2000)
        if b" 200 " not in answer.split(b"\r\n")[0]:
            ended("status " + answer.split(b" ")[1].decode() if b" " in answer else "closed")
ended("done")
