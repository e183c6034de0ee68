"""Waits for somebody to come in from outside and greets them: `listen PORT TEXT`."""

import socket

from prelude import arguments, ended

port, text = arguments
with socket.socket() as server:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.settimeout(1.5)
    server.bind(("0.0.0.0", int(port)))
    server.listen()
    connection, _ = server.accept()
    connection.send(text.encode())
    connection.close()
ended("done")
