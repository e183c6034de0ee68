"""Asks a name server of its choice for a name that carries data: `query SERVER NAME`."""

import socket
import struct

from prelude import arguments, ended

server, name = arguments
question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
packet = struct.pack(">6H", 0x1234, 0x0100, 1, 0, 0, 0) + question + struct.pack(">2H", 16, 1)
with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(1)
    client.sendto(packet, (server, 53))
    client.recv(512)
ended("done")
