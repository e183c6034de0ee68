"""Bodies and frames: two readers agree, and h11 with them, wherever the bytes were cut."""

from __future__ import annotations

import h11
from tests.fuzz.properties.cutting import cut_up

from ringfence.egress.http_body import Body
from ringfence.egress.http_framing import FramedBody
from ringfence.egress.http_head import HeadInvalid, parse_head
from ringfence.egress.websocket_frames import FrameInvalid, FrameReader, Item, Message, Opcode, frame


def request_body(data: bytes) -> None:
    """Both readers of chunks find the same end, whatever the cuts; what they accept is what h11 takes it for."""
    raw, plain = Body(_CHUNKED), FramedBody(None, chunked=True, strict=True)
    first, second = _raw(raw, [data]), _plain(plain, [data])
    assert (first is None) == (second is None), (first, second)
    pieces = cut_up(data)
    assert (_raw(Body(_CHUNKED), pieces) is None) == (first is None)
    assert _plain(FramedBody(None, chunked=True, strict=True), pieces) == second
    if first is None or second is None or not raw.finished:
        return
    assert plain.finished and len(data) - len(first) == len(second[1]), (first, second)
    assert _h11_body(data) == (second[0], second[1]), (data, second)


_CHUNKED = parse_head(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n")


def _raw(body: Body, pieces: list[bytes]) -> bytes | None:
    try:
        return b"".join([body.take(piece) for piece in pieces])
    except HeadInvalid:
        return None


def _plain(body: FramedBody, pieces: list[bytes]) -> tuple[bytes, bytes] | None:
    try:
        taken = [body.take(piece) for piece in pieces]
    except HeadInvalid:
        return None
    return b"".join(part for part, _ in taken), b"".join(rest for _, rest in taken)


def _h11_body(data: bytes) -> tuple[bytes, bytes] | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(b"POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    found = []
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                found.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return b"".join(found), connection.trailing_data[0]
            elif not isinstance(event, h11.Request):
                return None
    except h11.RemoteProtocolError:
        return None


def answer_body(data: bytes) -> None:
    """A body of an answer comes out the same however it was cut, in bounded memory."""
    pieces = cut_up(data)
    whole = _plain(FramedBody(None, chunked=True, strict=False), [data])
    assert _plain(FramedBody(None, chunked=True, strict=False), pieces) == whole
    strict = _plain(FramedBody(None, chunked=True, strict=True), [data])
    assert strict is None or strict == whole


def websocket(data: bytes) -> None:
    """The same messages however the frames were cut, and the same once more after they were written anew."""
    for masked in (True, False):
        whole = _items([data], masked=masked)
        assert _items([data[at : at + 1] for at in range(min(len(data), 512))] + [data[512:]], masked=masked) == whole
        written = b"".join(_frame(item, masked=masked) for item in whole[0])
        assert _items([written], masked=masked)[0] == whole[0]


def _items(pieces: list[bytes], *, masked: bool) -> tuple[list[Item], bool]:
    reader = FrameReader(masked=masked)
    found: list[Item] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (item := reader.next()) is not None:
                found.append(item)
    except FrameInvalid:
        return found, False
    return found, True


def _frame(item: Item, *, masked: bool) -> bytes:
    mask = b"mask" if masked else None
    if isinstance(item, Message):
        return frame(Opcode.TEXT if item.text else Opcode.BINARY, item.data, mask)
    return frame(item.opcode, item.data, mask)
