"""Sends a text to a place in TLS, as HTTP/1.1: `secure HOST:PORT TEXT`. Certificates are not looked at."""

import os
import socket
import ssl
from urllib.parse import urlsplit

from prelude import arguments, ended

target, text = arguments
host, _, port = target.rpartition(":")
proxy = os.environ.get("HTTPS_PROXY")
place = urlsplit(proxy) if proxy else None
with socket.create_connection((place.hostname, place.port) if place else (host, int(port)), 3) as client:
    client.settimeout(5)
    if place:
        client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        answer = client.recv(1000)
        if b" 200 " not in answer.split(b"\r\n")[0]:
            ended("status " + answer.split(b" ")[1].decode() if b" " in answer else "closed")
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["http/1.1"])
    try:
        with context.wrap_socket(client, server_hostname=host) as secure:
            secure.sendall(text.encode())
            answer = secure.recv(1000).split(b"\r\n")[0]
    except ssl.SSLError:
        ended("closed")
ended("done" if b" 200 " in answer else "status " + answer.split(b" ")[1].decode() if b" " in answer else "closed")
