"""A web server that ends TLS and notes what it is asked, by HTTP/2 as well.

It takes what a careful server would refuse, so that such a request is seen wherever it arrives. Bytes in, bytes and
notes out; the sockets are the ear's.
"""

from __future__ import annotations

import ssl

from hpack import Decoder
from hpack.exceptions import HPACKError

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING, _CONTINUATION = 0, 1, 4, 6, 9
_END_OF_STREAM, _END_OF_HEADER, _ACKNOWLEDGED, _PADDED, _PRIORITY = 1, 4, 1, 0x08, 0x20
_OK, _BODY = b"\x88", b"pong"
_HEAD = 9
"""The length of a frame's own head."""
PROTOCOLS = ("h2", "http/1.1")


class SecureOrigin:
    """One connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._stands = False
        self._http2: Http2Origin | None = None

    def receive(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """What to send for what came, and what was heard. `ssl.SSLError` where it is no TLS."""
        self._incoming.write(data)
        heard: list[bytes] = []
        try:
            if not self._stands:
                self._tls.do_handshake()
                self._stands = True
                self._http2 = Http2Origin() if self._tls.selected_alpn_protocol() == "h2" else None
            while plain := self._tls.read(1 << 16):
                answer, notes = self._http2.receive(plain) if self._http2 else (_page(), [plain])
                heard += notes
                self._tls.write(answer)
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read(), heard


class Http2Origin:
    """The frames of one connection, after TLS."""

    def __init__(self) -> None:
        self._data = b""
        self._begun = False
        self._decoder = Decoder()
        self._block = b""
        self._continued = 0

    def receive(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """What to send, and what was heard."""
        self._data += data
        answer, heard = b"", []
        if not self._begun and len(self._data) >= len(_PREFACE):
            self._begun, self._data = True, self._data[len(_PREFACE) :]
            answer = _frame(_SETTINGS, 0, 0, b"")
        while self._begun and (taken := self._take()):
            sent, notes = self._frame(*taken)
            answer += sent
            heard += notes
        return answer, heard

    def _take(self) -> tuple[int, int, int, bytes] | None:
        end = _HEAD + int.from_bytes(self._data[:3], "big")
        if len(self._data) < max(end, _HEAD):
            return None
        frame, self._data = self._data[:end], self._data[end:]
        return frame[3], frame[4], int.from_bytes(frame[5:_HEAD], "big"), frame[_HEAD:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> tuple[bytes, list[bytes]]:
        if kind in (_SETTINGS, _PING):
            confirmed = flags & _ACKNOWLEDGED
            return (b"" if confirmed else _frame(kind, _ACKNOWLEDGED, 0, payload if kind == _PING else b"")), []
        if kind not in (_HEADERS, _CONTINUATION):
            return b"", [payload] if kind == _DATA else []
        self._continued = self._continued + 1 if kind == _CONTINUATION else 0
        self._block = self._block + payload if kind == _CONTINUATION else _unpadded(flags, payload)
        return self._header(stream) if flags & _END_OF_HEADER else (b"", [])

    def _header(self, stream: int) -> tuple[bytes, list[bytes]]:
        try:
            fields = [(name, value) for name, value, *_ in self._decoder.decode(self._block, raw=True)]
        except HPACKError:
            fields = [(b"what cannot be read", self._block)]
        heard = [b"".join(b"%b=%b\n" % field for field in fields)]
        if self._continued:
            heard.append(b"%d CONTINUATION frames" % self._continued)
        answer = _frame(_HEADERS, _END_OF_HEADER, stream, _OK) + _frame(_DATA, _END_OF_STREAM, stream, _BODY)
        return answer, heard


def _unpadded(flags: int, payload: bytes) -> bytes:
    if flags & _PADDED:
        payload = payload[1 : len(payload) - payload[0]]
    return payload[5:] if flags & _PRIORITY else payload


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _page() -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong"
