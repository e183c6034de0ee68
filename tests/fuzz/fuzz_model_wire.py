"""Fuzz the reading of models' traffic: `pip install atheris`, then
`python tests/fuzz/fuzz_model_wire.py -max_total_time=180 -rss_limit_mb=1024`.

Whatever a server sends, in whatever pieces, gives one event and no exception; the same bytes in other pieces give the
same one. It is not run by pytest.
"""

from __future__ import annotations

import sys

import atheris
import msgspec

with atheris.instrument_imports():
    from ringfence.egress.http_response import ResponseHead
    from ringfence.egress.model_wire.asked import Asked
    from ringfence.egress.model_wire.spending import Spending
    from ringfence.egress.model_wire.watching import Exchange, Place
    from ringfence.policy.effective import ModelPolicy
    from ringfence.policy.judges.model import ModelTable
    from ringfence.policy.model_endpoints import Interface

INTERFACES = list(Interface)
MEDIA = (b"text/event-stream", b"application/json")
CODINGS = (b"", b"", b"gzip", b"deflate", b"br", b"zstd")
TOKENS = (
    b"data: ", b"event: x\n", b"\n\n", b"\r\n", b"\r", b": note\n", b"[DONE]", b"{", b"}", b"[", b"]", b",", b":",
    b'"type"', b'"response.output_item.done"', b'"response.completed"', b'"item"', b'"function_call"', b'"usage"',
    b'"input_tokens"', b'"choices"', b'"delta"', b'"tool_calls"', b'"index"', b'"message_start"', b'"message"',
    b'"content_block_start"', b'"content_block"', b'"tool_use"', b'"candidates"', b'"parts"', b'"functionCall"',
    b'"usageMetadata"', b'"error"', b'"text"', b"1", b"-1", b"1e400", b"null", b'"\\ud800"',
)  # fmt: skip


def body_of(data: bytes) -> bytes:
    """Half of the inputs are bytes, the other half rows of tokens."""
    if data[:1] < b"\x80":
        return data[1:]
    return b"".join(TOKENS[byte % len(TOKENS)] for byte in data[1:])


def read(body: bytes, chosen: int, size: int) -> object:
    """The events of one answer, in pieces of one size."""
    recorded: list[object] = []
    spending = Spending(ModelTable(ModelPolicy()))
    exchange = Exchange(
        Place(spending, recorded.append, content=True),
        Asked(interface=INTERFACES[chosen % len(INTERFACES)], models=("m",), size=9),
        provider="p",
        host="h",
        port=443,
        now=lambda: 1.0,
    )
    fields = ((b"content-type", MEDIA[chosen // 4 % 2]), (b"content-encoding", CODINGS[chosen // 8 % len(CODINGS)]))
    exchange.responded(ResponseHead(status=200, fields=fields))
    for at in range(0, len(body), size):
        exchange.received(body[at : at + size])
    exchange.over("")
    assert spending.spent().open_requests == 0
    msgspec.json.encode(recorded)
    return recorded


def one(data: bytes) -> None:
    """Read one input twice."""
    if len(data) > 2:
        body = body_of(data[1:])
        first, second = read(body, data[0], max(len(body), 1)), read(body, data[0], 1 + data[1] % 7)
        # A stream that is broken or too long is read as far as its pieces are whole, so only whole ones are compared.
        if CODINGS[data[0] // 8 % len(CODINGS)] == b"":
            assert first == second, (body, first, second)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
