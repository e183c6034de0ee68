"""Speaks to a local socket: `unix_socket stream|datagram PATH TEXT`, with `@` for an abstract name."""

import socket

from prelude import arguments, ended

kind, path, text = arguments
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as client:
    client.settimeout(2)
    client.connect("\0" + path[1:] if path.startswith("@") else path)
    client.send(text.encode())
    if kind == "stream":
        client.recv(100)
ended("done")
