"""Clients and servers that send frames at random: what is wrong ends, the gateway meets no error of its own, and nobody
is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import pytest
from hpack import Encoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from tests.egress.http2.speaking import http2_client, http2_server, request
from tests.egress.inspecting import Asked, inside, inspecting, tunnel, world

from ringfence.egress.http2.frames import PREFACE
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host

ROUNDS = 12
VALUES = (0, 1, 100, 16_384, 70_000, 2**31 - 1)


def some(seed: random.Random, encoder: Encoder, port: int, opened: list[int], *, server: bool) -> Frame:
    """Any frame, mostly on a stream that was opened."""
    stream = seed.choice([*opened, *opened, *opened, 0, 2, seed.randrange(30)])
    ending = ["END_STREAM"] if seed.random() < 0.3 else []
    length = [(b"content-length", b"%d" % seed.randrange(20))] if seed.random() < 0.3 else []
    match seed.randrange(10):
        case 0 | 1:
            if not server:
                stream = opened[-1] + 2
                opened.append(stream)
            method = seed.choice([b"GET", b"POST", b"HEAD", b"CONNECT"])
            head = request(port, b"/%d" % seed.randrange(9), method)
            status = [(b":status", seed.choice([b"200", b"103", b"204", b"101"]))]
            return HeadersFrame(
                stream or 1, encoder.encode((status if server else head) + length), flags=["END_HEADERS", *ending]
            )
        case 2 | 3 | 4:
            padding = {"pad_length": 9} if seed.random() < 0.2 else {}
            flags = [*ending, *(["PADDED"] if padding else [])]
            return DataFrame(stream or 1, b"x" * seed.choice([0, 1, 100, 3000]), flags=flags, **padding)
        case 5:
            return RstStreamFrame(stream or 1, seed.randrange(14))
        case 6:
            return WindowUpdateFrame(stream, window_increment=seed.choice(VALUES[1:]))
        case 7:
            return SettingsFrame(0, settings={seed.choice([1, 2, 3, 4, 5, 6, 8]): seed.choice(VALUES)})
        case 8:
            return GoAwayFrame(0, last_stream_id=seed.choice([0, 1, 99])) if server else PingFrame(0, b"12345678")
        case _:
            return PriorityFrame(stream or 1, depends_on=seed.choice([0, 11]))


def noise(seed: random.Random, port: int, *, server: bool) -> bytes:
    """Some frames, and sometimes with some bytes changed."""
    encoder, opened = Encoder(), [1]
    frames = [] if server else [HeadersFrame(1, encoder.encode(request(port)), flags=["END_HEADERS"])]
    frames += [some(seed, encoder, port, opened, server=server) for _ in range(seed.randrange(1, 40))]
    written = bytearray(b"".join(frame.serialize() for frame in frames))
    for _ in range(seed.choice([0, 0, 0, 0, 0, 1, 4])):
        written[seed.randrange(len(written))] = seed.randrange(256)
    return bytes(written)


async def wild_client(seed: random.Random, proxy: int, port: int) -> None:
    context = inside()
    context.set_alpn_protocols(["h2"])
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        reader, writer = await tunnel(proxy, port, context=context)
        written = PREFACE + SettingsFrame(0).serialize() + noise(seed, port, server=False)
        while written:
            size = seed.choice([1, 9, 50, 1000, 1_000_000])
            piece, written = written[:size], written[size:]
            writer.write(piece)
            await asyncio.sleep(0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seed.choice([0, 0.02, 0.05])):
                await reader.read(100_000)
        (writer.transport.abort if seed.random() < 0.5 else writer.close)()


@pytest.mark.slow
async def test_nobody_breaks_the_gateway_with_frames(caplog: pytest.LogCaptureFixture) -> None:
    seed = random.Random(5)

    async def wild_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(SettingsFrame(0).serialize())
            await reader.read(1000)
            writer.write(noise(seed, 0, server=True))
            async with asyncio.timeout(0.05):
                await reader.read(100_000)
        (writer.transport.abort if seed.random() < 0.5 else writer.close)()

    def verdict(action: ConnectAction) -> Verdict:
        return Verdict.DENY if action.path == "/3" else Verdict.ALLOW

    context = world().context(parse_host("a.test"), ("h2",))
    listening = await asyncio.start_server(wild_server, "127.0.0.1", 0, ssl=context)
    wild = listening.sockets[0].getsockname()[1]
    async with http2_server() as (port, _), inspecting(Asked(verdict), http2=True) as gateway, asyncio.timeout(60):
        for _ in range(ROUNDS):
            async with asyncio.TaskGroup() as group:
                for _ in range(8):
                    group.create_task(wild_client(seed, gateway.port, seed.choice([port, wild])))
        async with http2_client(gateway.port, port) as client:
            answer = await client.whole(client.ask(request(port)))
        await gateway.idle()
        listening.close()

    assert answer.status == b"200"
    assert [one for one in caplog.records if one.name.startswith("ringfence") and one.levelno >= logging.WARNING] == []
