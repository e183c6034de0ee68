"""Speaks to a local socket: `unix_socket stream|datagram|raw|pair PATH TEXT`, with `@` for an abstract name.

A raw socket of this family is a datagram socket under another name, and one of a pair may send to others, too.
"""

import socket

from prelude import arguments, ended

kind, path, text = arguments
if kind in ("raw", "pair"):
    family, form = socket.AF_UNIX, socket.SOCK_RAW
    made = socket.socketpair(family, form)[0] if kind == "pair" else socket.socket(family, form)
    made.sendto(text.encode(), path)
    ended("done")
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as client:
    client.settimeout(2)
    client.connect("\0" + path[1:] if path.startswith("@") else path)
    client.send(text.encode())
    if kind == "stream":
        client.recv(100)
ended("done")
