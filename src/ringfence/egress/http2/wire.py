"""One connection that speaks HTTP/2, to a client or to a server: many streams over one leg, each with its own bytes on
their way in and out, and flow control that stops whoever is faster than the other side of the gateway.

It knows no request: its owner is told what happens on which stream.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable

import msgspec
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error, NoSuchStreamError, ProtocolError
from h2.settings import SettingCodes, Settings

from ringfence.egress.ends import ENOUGH
from ringfence.egress.http2.frames import Flood, Frames, GoAway
from ringfence.egress.inspection import Fields
from ringfence.egress.leg import Leg

logger = logging.getLogger(__name__)

MOST_STREAMS = 100
BROKEN = -1
"""In place of a code: the connection broke under a stream."""
_TABLE = 4096
_TOGETHER = 65_536

Headers = list[tuple[bytes, bytes]]


class Windows(msgspec.Struct, frozen=True, kw_only=True):
    """How much a peer may send before somebody has taken it."""

    stream: int
    connection: int


OF_CLIENTS = Windows(stream=131_072, connection=2_097_152)
OF_SERVERS = Windows(stream=262_144, connection=4_194_304)
MOST_WAITING = 2_097_152
"""Bytes that may wait for one peer on all its streams together, before each stream has to do with little."""
_LITTLE = 16_384


class WireBroken(Exception):
    """The peer does not keep to the protocol, or asks too much; the connection is of no use any more."""


class Stream:
    """The bytes of one stream that are on their way."""

    __slots__ = ("code", "ended", "ending", "id", "inbox", "left", "open", "outbox", "waiting")

    def __init__(self, number: int) -> None:
        self.id = number
        self.inbox: deque[tuple[bytes, int]] = deque()
        """Pieces that came, and what each takes of the windows."""
        self.ended = False
        """Whether the peer has said its last on it."""
        self.code: int | None = None
        """How the peer gave it up, or what broke the connection under it."""
        self.left = False
        """Whether nobody needs what the peer may still say."""
        self.outbox: deque[memoryview] = deque()
        self.waiting = 0
        """How many bytes are in the outbox."""
        self.ending: Fields | None = None
        """What ends our side, as soon as the outbox is empty: trailers, or nothing."""
        self.open = True
        """Whether our side can still be written."""


class _Connection(H2Connection):
    MAX_CLOSED_STREAMS = 2048  # of whose end it knows, at a hundred bytes each; a peer can end 65,536 in no time


class Wire:
    """See above. What it writes waits for `flush`."""

    def __init__(
        self,
        leg: Leg,
        monotonic: Callable[[], float],
        again: Callable[[Callable[[], None]], None],
        *,
        client_side: bool,
        windows: Windows,
    ) -> None:
        """`again` calls what it is given after the others had their turn."""
        self.leg = leg
        self.streams: dict[int, Stream] = {}
        self.most_streams = MOST_STREAMS
        self._monotonic = monotonic
        self._again = again
        self._flushing = False
        self._gathered = 0
        self._stopped = False
        self._gone = False
        """Whether the peer was told that it is over."""
        self._failed = ""
        """Why nothing can be written any more."""
        self._frames = Frames(monotonic(), preface=not client_side)
        self._waiting = 0
        self.touched: set[int] = set()
        """The streams on which something happened since somebody looked."""
        self._h2 = _Connection(H2Configuration(client_side=client_side, header_encoding=None))
        values: dict[SettingCodes, int] = {
            SettingCodes.INITIAL_WINDOW_SIZE: windows.stream,
            SettingCodes.MAX_CONCURRENT_STREAMS: MOST_STREAMS,
            SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
        }
        if client_side:
            values[SettingCodes.ENABLE_PUSH] = 0
        self._h2.local_settings = Settings(client=client_side, initial_values=values)
        # SECURITY: a CONNECT of the extended kind opens a tunnel in which nothing can be looked into.
        del self._h2.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(windows.connection - 65_535)

    # in

    def receive(self) -> tuple[list[Event], list[GoAway]] | None:
        """What the peer did, as far as it has arrived: None where nothing has. `WireBroken` where it must not."""
        if self._failed:
            raise WireBroken(self._failed)
        data = self.leg.read() if self.leg.ready else None
        if data is None:
            return None
        try:
            passed, farewells = self._frames.take(data, self._monotonic())
            events = self._h2.receive_data(passed) if passed else []
        except Flood as flood:
            self._goodbye(ErrorCodes.ENHANCE_YOUR_CALM)
            raise WireBroken(str(flood)) from None
        except (H2Error, ValueError) as error:
            # The library has put a GOAWAY with the reason into what is to be written.
            self._gone = True
            self.flush()
            raise WireBroken(_words(error)) from None
        self._follow(events)
        return events, farewells

    def _follow(self, events: list[Event]) -> None:
        for event in events:
            number = getattr(event, "stream_id", None)
            if number:
                self.touched.add(number)
            match event:
                case RequestReceived(stream_id=int() as number):
                    self.enter(number)
                case DataReceived(stream_id=int() as number):
                    stream = self.streams.get(number)
                    length = event.flow_controlled_length or 0
                    if stream is None or stream.left:
                        self._h2.acknowledge_received_data(length, number)
                    else:
                        stream.inbox.append((bytes(event.data or b""), length))
                case StreamEnded(stream_id=number):
                    if number in self.streams:
                        self.streams[number].ended = True
                        self._forget_if_done(self.streams[number])
                case StreamReset(stream_id=number):
                    self._was_reset(number, int(event.error_code or 0))
                case RemoteSettingsChanged():
                    self._settle()
                case WindowUpdated(stream_id=number):
                    self.pump(number) if number else self.pump_all()
                case _:
                    pass

    def _settle(self) -> None:
        # SECURITY: a peer that asks for an endless table would have us keep every field we ever send.
        if self._h2.encoder.header_table_size > _TABLE:
            self._h2.encoder.header_table_size = _TABLE
        self.most_streams = min(MOST_STREAMS, self._h2.remote_settings.max_concurrent_streams)
        self.pump_all()

    def _was_reset(self, number: int, code: int) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            stream.code, stream.open = code, False
            self._empty(stream)
            self._forget_if_done(stream)

    def take(self, stream: Stream) -> bytes:
        """All that has come on a stream; the peer may send as much again."""
        pieces = [piece for piece, _ in stream.inbox]
        length = sum(taken for _, taken in stream.inbox)
        stream.inbox.clear()
        if length:
            self._h2.acknowledge_received_data(length, stream.id)
        return b"".join(pieces) if len(pieces) != 1 else pieces[0]

    # out

    def begin(self) -> Stream:
        """A new stream of ours."""
        return self.enter(self._h2.get_next_available_stream_id())

    def enter(self, number: int) -> Stream:
        """A stream begins."""
        stream = self.streams[number] = Stream(number)
        return stream

    def headers(self, stream: Stream, headers: Headers, *, end: bool = False) -> None:
        """Send a header."""
        if not stream.open:
            return None
        try:
            self._h2.send_headers(stream.id, headers, end_stream=end)
        except ProtocolError:
            logger.exception("a header cannot be sent")
            return self._give_up(stream)
        self._frames.sent(1)
        if end:
            stream.open = False
            self._forget_if_done(stream)
        return None

    def send(self, stream: Stream, data: bytes) -> None:
        """Send bytes, now or as soon as the peer takes them."""
        if data and stream.open:
            stream.outbox.append(memoryview(data))
            stream.waiting += len(data)
            self._waiting += len(data)
            self.pump(stream.id)

    def end(self, stream: Stream, trailers: Fields = ()) -> None:
        """Our side ends behind what is still to be sent."""
        if stream.open:
            stream.ending = trailers
            self.pump(stream.id)

    def reset(self, stream: Stream, code: int) -> None:
        """Give a stream up."""
        if self.streams.pop(stream.id, None) is None:
            return
        self._empty(stream)
        stream.open = False
        self.leave(stream)
        if stream.code is None:
            with contextlib.suppress(ProtocolError):
                self._h2.reset_stream(stream.id, code)

    def leave(self, stream: Stream) -> None:
        """Nobody needs what the peer may still say on a stream; what waits on our side is still sent."""
        stream.left = True
        self.take(stream)
        self._forget_if_done(stream)

    def pump(self, number: int) -> None:
        """Send of a stream what its windows let through."""
        stream = self.streams.get(number)
        if stream is None or not stream.open:
            return
        try:
            while stream.outbox and self._room():
                window = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
                if window <= 0:
                    return
                self._send_piece(stream, window)
            if not stream.outbox and stream.ending is not None:
                self._send_end(stream, stream.ending)
        except ProtocolError:
            # The peer closed it, or the connection, meanwhile.
            stream.open = False
            self._empty(stream)
            self._forget_if_done(stream)

    def pump_all(self) -> None:
        """The same for all streams; none takes all the room."""
        self.touched.update(self.streams)
        for number, stream in tuple(self.streams.items()):
            if stream.outbox or stream.ending is not None:
                self.pump(number)

    def flush_soon(self) -> None:
        """Write at the end of this turn what all streams have by then: each record of TLS costs."""
        if not self._flushing:
            self._flushing = True
            self._again(self.flush)

    def flush(self) -> None:
        """Write what is to be written, as far as the socket takes it."""
        self._flushing = False
        self._gathered = 0
        data = self._h2.data_to_send()
        if data:
            self._write(data)

    def resume(self) -> bool:
        """There is room in the socket. Whether everything has been written."""
        waited = bool(self.leg.waiting)
        while not self._failed:
            if self.leg.waiting and not self.leg.flush():
                return False
            if waited:
                self.pump_all()
            data = self._h2.data_to_send()
            if not data:
                return True
            waited = True
            self._write(data)
        return True

    def waiting(self, stream: Stream) -> int:
        """How many bytes wait on a stream, as whoever sends more has to see it: too many where all streams together
        have too many, unless this one has few."""
        crowded = self._waiting > MOST_WAITING and stream.waiting > _LITTLE
        return self.leg.waiting + (max(stream.waiting, ENOUGH + 1) if crowded else stream.waiting)

    @property
    def busy(self) -> bool:
        """Whether more waits to be written than a peer that reads leaves behind."""
        return self.leg.waiting > ENOUGH

    def _write(self, data: bytes) -> None:
        if self._stopped:
            return
        try:
            self.leg.write(data)
        except (OSError, ValueError) as error:
            self._failed = (getattr(error, "strerror", None) or str(error)).lower()

    def _room(self) -> bool:
        if self._gathered >= _TOGETHER:
            self.flush()
        return self.leg.waiting <= ENOUGH

    def _send_piece(self, stream: Stream, window: int) -> None:
        data = stream.outbox.popleft()
        if len(data) > window:
            stream.outbox.appendleft(data[window:])
            data = data[:window]
        self._h2.send_data(stream.id, bytes(data))
        stream.waiting -= len(data)
        self._waiting -= len(data)
        if self._waiting <= MOST_WAITING < self._waiting + len(data):
            self.touched.update(self.streams)
        self._gathered += len(data)
        self._frames.sent(1)

    def _send_end(self, stream: Stream, trailers: Fields) -> None:
        if trailers:
            self._h2.send_headers(stream.id, list(trailers), end_stream=True)
        else:
            self._h2.end_stream(stream.id)
        stream.open, stream.ending = False, None
        self._forget_if_done(stream)

    def _forget_if_done(self, stream: Stream) -> None:
        """A stream is over when our side of it is, and nobody waits for the other one."""
        if not stream.left or stream.open or self.streams.pop(stream.id, None) is None:
            return
        if not stream.ended and stream.code is None:
            with contextlib.suppress(ProtocolError):
                self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)

    def _empty(self, stream: Stream) -> None:
        self._waiting -= stream.waiting
        stream.outbox.clear()
        stream.waiting = 0

    def _give_up(self, stream: Stream) -> None:
        stream.code, stream.open = int(ErrorCodes.INTERNAL_ERROR), False
        self._empty(stream)
        with contextlib.suppress(ProtocolError):
            self._h2.reset_stream(stream.id, ErrorCodes.INTERNAL_ERROR)

    # the end

    def stop(self) -> None:
        """The leg belongs to somebody else from now on, or to nobody.

        SECURITY: a descriptor that is used again would get bytes of this connection."""
        self._stopped = True

    def broken(self) -> None:
        """The connection is gone under all its streams."""
        self.touched.update(self.streams)
        for stream in self.streams.values():
            if stream.code is None:
                stream.code, stream.open = BROKEN, False
                self._empty(stream)

    def goodbye(self) -> None:
        """Say that no more requests are taken, and nothing else is said."""
        self._goodbye(ErrorCodes.NO_ERROR)

    def _goodbye(self, code: ErrorCodes) -> None:
        if not self._gone:
            self._gone = True
            with contextlib.suppress(ProtocolError):
                self._h2.close_connection(code)
        self.flush()


def _words(error: Exception) -> str:
    if isinstance(error, NoSuchStreamError):
        return f"a frame for stream {error.stream_id}, which is not open"
    return str(error).lower() or "it does not keep to the protocol"
