"""Sends a datagram: `datagram HOST PORT TEXT PROTOCOL`."""

import socket

from prelude import arguments, ended

host, port, text, protocol = arguments
family = socket.AF_INET6 if ":" in host else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM, int(protocol)) as client:
    client.settimeout(1)
    client.sendto(text.encode(), (host, int(port)))
    client.recv(100)
ended("done")
