"""What must hold of the readers of the wire for any bytes, each as one function of one input.

The fast tests try them with a few inputs and with the corpus, the fuzzer with millions: `fuzz_wire.py`. None asks only
that nothing crashes: where there is a second reader that others rely on (h11, the TLS library, the C library), what we
accept has to mean the same to it, and every reader has to say the same however its bytes were cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.fuzz.properties.bodies import answer_body, request_body, websocket
from tests.fuzz.properties.connections import first_bytes, front, hello, socks_request
from tests.fuzz.properties.heads import request_head, response_head
from tests.fuzz.properties.names import host, host_pattern, name_query
from tests.fuzz.properties.streams import http2_frames, http2_request, server_sent, ssh_server

MOST_SECONDS = 1.0
"""For one input of the length that the limits let through."""
_LONGEST = 16_384
"""Of an input: a reader that is quadratic shows it well below that."""

PROPERTIES: dict[str, Callable[[bytes], None]] = {
    each.__name__: each
    for each in (
        request_head,
        first_bytes,
        front,
        socks_request,
        request_body,
        response_head,
        answer_body,
        host,
        host_pattern,
        name_query,
        hello,
        websocket,
        ssh_server,
        http2_frames,
        http2_request,
        server_sent,
    )
}
"""By the name that the fuzzer and its corpus know them by."""


def holds(name: str, data: bytes, *, seconds: float = MOST_SECONDS) -> None:
    """Raises where a property does not hold of the input, or takes too long over it."""
    start = time.thread_time()
    PROPERTIES[name](data[:_LONGEST])
    taken = time.thread_time() - start
    if taken > seconds:
        raise TimeoutError(f"`{name}` took {taken:.2f} s over {data[:_LONGEST]!r}")
