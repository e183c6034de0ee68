"""Fuzz HTTP/2: `pip install atheris`, then `python tests/fuzz/fuzz_http2.py -max_total_time=600`.

Any bytes behind the preface must be read, or break the connection, in pieces as in one; nothing else is raised. It is
not run by pytest.
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports():
    from ringfence.egress.ends import ServerFailed
    from ringfence.egress.http2.frames import PREFACE, Flood, Frames
    from ringfence.egress.http2.heads import read_answer, read_request, read_trailers
    from ringfence.egress.http2.wire import OF_CLIENTS, Wire, WireBroken
    from ringfence.egress.http_head import HeadInvalid
    from ringfence.egress.leg import Leg

import socket

SETTINGS = b"\0\0\0\4\0\0\0\0\0"


def one_input(data: bytes) -> None:
    """The first byte says what is fuzzed."""
    kind, data = data[:1], data[1:]
    if kind < b"\x40":
        fields = [(part[: len(part) // 2], part[len(part) // 2 :]) for part in data.split(b"\0")]
        with contextlib.suppress(HeadInvalid):
            read_request(fields, empty=kind < b"\x20", port=443)
        with contextlib.suppress(ServerFailed):
            read_answer(fields, "GET")
        with contextlib.suppress(ServerFailed):
            read_trailers(fields)
    elif kind < b"\x80":
        whole, cut = Frames(0.0, preface=False), Frames(0.0, preface=False)
        with contextlib.suppress(Flood):
            passed, _ = whole.take(data, 0.0)
            assert b"".join(cut.take(data[at : at + 1], 0.0)[0] for at in range(len(data))) == passed
    else:
        ours, theirs = socket.socketpair()
        with ours, theirs, contextlib.suppress(WireBroken):
            ours.setblocking(False)
            theirs.sendall(PREFACE + SETTINGS + data)
            wire = Wire(Leg(ours), lambda: 0.0, lambda _: None, client_side=False, windows=OF_CLIENTS)
            while wire.receive() is not None:
                wire.flush()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
