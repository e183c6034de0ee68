"""Connects to an address and sends a line: `connect HOST PORT TEXT [plain|fastopen|mptcp|sctp|dccp]`."""

import socket
import struct

from prelude import arguments, ended

host, port, text, how = arguments
line = text.encode() + b"\n"  # as long as no line ends, a proxy may wait for the rest before it refuses
family = socket.AF_INET6 if ":" in host else socket.AF_INET
kind, protocol = {"mptcp": (1, 262), "sctp": (1, 132), "dccp": (6, 33)}.get(how, (1, 0))
with socket.socket(family, kind, protocol) as client:
    if how == "fastopen":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 3, 0))
        client.sendto(line, socket.MSG_FASTOPEN, (host, int(port)))
        client.settimeout(3)
    else:
        client.settimeout(3)
        client.connect((host, int(port)))
        client.send(line)
    answer = client.recv(100)
ended("done" if b"pong" in answer else "closed")
