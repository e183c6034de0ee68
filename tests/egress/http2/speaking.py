"""Clients and servers that speak HTTP/2, for tests: small, and patient only as long as a test says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame
from tests.egress.inspecting import inside, tunnel, world

from ringfence.model.host import parse_host

Fields = list[tuple[bytes, bytes]]


@dataclass
class Message:
    """What came on one stream."""

    headers: Fields = field(default_factory=list)
    interims: list[Fields] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: Fields = field(default_factory=list)
    code: int | None = None
    frames: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def value(self, name: bytes) -> bytes:
        """The value of a header field; nothing where there is none."""
        return next((value for one, value in self.headers if one == name), b"")

    @property
    def status(self) -> bytes:
        """The status of an answer."""
        return self.value(b":status")


class Peer:
    """One side of a connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        client: bool,
        window: int = 65_535,
        careless: bool = False,
        streams: int = 100,
    ) -> None:
        """`careless`: it sends what the protocol forbids."""
        self.reader, self.writer = reader, writer
        careful = {"validate_outbound_headers": not careless, "normalize_outbound_headers": not careless}
        self.h2 = H2Connection(H2Configuration(client_side=client, header_encoding=None, **careful))
        self.messages: dict[int, Message] = {}
        self.opened: asyncio.Queue[int] = asyncio.Queue()
        self.farewell: ConnectionTerminated | None = None
        self.over = asyncio.Event()
        self.takes = True
        """Whether what comes makes room for more."""
        self.kept: list[tuple[int, int]] = []
        """What came and makes no room yet."""
        self._changed = asyncio.Event()
        values = {SettingCodes.INITIAL_WINDOW_SIZE: window, SettingCodes.MAX_CONCURRENT_STREAMS: streams}
        self.h2.local_settings = Settings(client=client, initial_values=values)
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        """Write what is to be written."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(self.h2.data_to_send())

    def catch_up(self) -> None:
        """Make room for as much as has come."""
        kept, self.kept = self.kept, []
        for length, stream in kept:
            self.h2.acknowledge_received_data(length, stream)

    async def run(self) -> None:
        """Read until the other side has finished."""
        try:
            while data := await self.reader.read(65_536):
                for event in self.h2.receive_data(data):
                    self._told(event)
                self.flush()
                self._changed.set()
        except (ConnectionError, ssl.SSLError, ProtocolError):
            pass
        finally:
            self.over.set()
            for message in self.messages.values():
                for one in (message.begun, message.came, message.ended):
                    one.set()
            self._changed.set()

    def _told(self, event: Event) -> None:
        match event:
            case RequestReceived() | ResponseReceived():
                message = self.messages.setdefault(event.stream_id, Message())
                message.headers = list(event.headers)
                message.begun.set()
                if isinstance(event, RequestReceived):
                    self.opened.put_nowait(event.stream_id)
            case InformationalResponseReceived():
                self.messages[event.stream_id].interims.append(list(event.headers))
            case DataReceived():
                message = self.messages[event.stream_id]
                message.body += event.data
                message.frames += 1
                message.came.set()
                self.kept.append((event.flow_controlled_length, event.stream_id))
                if self.takes:
                    self.catch_up()
            case TrailersReceived():
                self.messages[event.stream_id].trailers = list(event.headers)
            case StreamEnded():
                self.messages[event.stream_id].ended.set()
            case StreamReset():
                message = self.messages[event.stream_id]
                message.code = int(event.error_code)
                message.begun.set()
                message.ended.set()
            case ConnectionTerminated():
                self.farewell = event
            case _:
                pass

    async def send(self, stream: int, data: bytes, *, end: bool = False, most: int = 16_384) -> None:
        """Send bytes as the windows allow it."""
        view = memoryview(data)
        while view:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, most)
            if room <= 0:
                self._changed.clear()
                await self._changed.wait()
                if self.over.is_set():
                    raise ConnectionError
                continue
            piece, view = view[:room], view[room:]
            self.h2.send_data(stream, bytes(piece), end_stream=end and not view)
            self.flush()
            await self.writer.drain()
        if end and not data:
            self.h2.end_stream(stream)
            self.flush()

    def answer(self, stream: int, headers: Fields, *, end: bool = False) -> None:
        """Send a header."""
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()

    def ask(self, headers: Fields, *, end: bool = True) -> int:
        """Begin a request."""
        stream = self.h2.get_next_available_stream_id()
        self.messages[stream] = Message()
        self.h2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    async def whole(self, stream: int) -> Message:
        """What came on a stream, once that is complete."""
        message = self.messages[stream]
        await message.ended.wait()
        return message

    def reset(self, stream: int, code: ErrorCodes = ErrorCodes.CANCEL) -> None:
        """Give a stream up."""
        self.h2.reset_stream(stream, code)
        self.flush()


Answers = Callable[[Peer, int], Awaitable[None]]


def request(port: int, path: bytes = b"/g", method: bytes = b"GET", *more: tuple[bytes, bytes]) -> Fields:
    """The head of a request."""
    return [
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", b"a.test:%d" % port),
        (b":path", path),
        *more,
    ]


def goaway(last: int) -> bytes:
    """What says that no streams behind `last` are taken; the library would say nothing else afterwards."""
    frame = GoAwayFrame(0, last_stream_id=last)
    return bytes(frame.serialize())


async def echo(peer: Peer, stream: int) -> None:
    """Answers with what it was sent."""
    message = await peer.whole(stream)
    peer.answer(stream, [(b":status", b"200"), (b"x-path", message.value(b":path"))])
    await peer.send(stream, bytes(message.body), end=True)


@asynccontextmanager
async def http2_server(
    answers: Answers = echo,
    *,
    window: int = 65_535,
    protocols: tuple[str, ...] = ("h2",),
    context: ssl.SSLContext | None = None,
    streams: int = 100,
) -> AsyncIterator[tuple[int, list[Peer]]]:
    """A server outside; its port, and its connections."""
    peers: list[Peer] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, client=False, window=window, streams=streams)
        peers.append(peer)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(peer.run())

                async def serve() -> None:
                    while True:
                        stream = await peer.opened.get()
                        tasks.create_task(quiet(answers(peer, stream)))

                serving_all = tasks.create_task(serve())
                await reading
                serving_all.cancel()
        finally:
            writer.close()

    async def quiet(one: Awaitable[None]) -> None:
        with contextlib.suppress(ConnectionError, ProtocolError):
            await one

    context = context or world().context(parse_host("a.test"), protocols)
    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    try:
        yield listening.sockets[0].getsockname()[1], peers
    finally:
        listening.close()
        async with asyncio.timeout(5):
            for peer in peers:
                await peer.over.wait()


@asynccontextmanager
async def http2_client(proxy: int, port: int, *, window: int = 65_535, careless: bool = False) -> AsyncIterator[Peer]:
    """A client behind CONNECT, whose requests are looked into."""
    context = inside()
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await tunnel(proxy, port, context=context)
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    peer = Peer(reader, writer, client=True, window=window, careless=careless)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(peer.run())
        try:
            yield peer
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()
            await running
