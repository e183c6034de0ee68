"""Asks the system's resolver for a name that carries data: `resolve NAME`."""

import socket

from prelude import arguments, ended

try:
    socket.getaddrinfo(arguments[0], 80)
except socket.gaierror as error:
    ended(f"EAI {error.errno}")
ended("done")
