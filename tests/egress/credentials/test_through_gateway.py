"""A credential through the whole gateway: TLS ended, request re-issued, answer looked into, by a server that repeats
everything it is sent."""

from __future__ import annotations

import asyncio

from tests.egress.credentials.carrying import SHOWN, VALUE, Carried, carrying
from tests.egress.inspecting import inspecting, leave, server, tunnel

from ringfence.egress.websocket_frames import Control, FrameReader, Message, Opcode, frame

OTHER = "sk-ant-api03-attackerattackerattackerattackerattacker"


def _policy(port: int, host: str = "a.test") -> str:
    return f"""
[[credentials]]
id = "key"
source = {{ environment = "K" }}
form = "bearer"
hosts = ["{host}:{port}"]
paths = ["/ours/**"]
"""


class Repeating:
    """A server that answers with the head that it got, and keeps it."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.got.append(head)
            body = head + b"x" * 70_000 + head
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nX-Saw: ".encode())
            writer.write(_line(head, b"authorization") + b"\r\nSet-Cookie: session=1\r\n\r\n")
            for start in range(0, len(body), 1000):
                writer.write(body[start : start + 1000])
                await writer.drain()


def _line(head: bytes, name: bytes) -> bytes:
    found = [line.partition(b": ")[2] for line in head.split(b"\r\n") if line.lower().startswith(name + b":")]
    return found[0] if found else b"-"


async def _asks(carried: Carried | None, port: int, *written: str) -> bytes:
    amendments = () if carried is None else (carried.wallet,)
    async with inspecting(amendments=amendments) as gateway:
        reader, writer = await tunnel(gateway.port, port)
        answers = b""
        for one in written:
            writer.write(one.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            answers += head + await reader.readexactly(int(_line(head, b"content-length")))
        await leave(writer)
    return answers


def _get(path: str, shown: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer {shown}\r\n\r\n"


async def test_the_server_gets_the_value_and_the_client_never_does() -> None:
    repeating = Repeating()
    async with server(repeating) as port:
        carried = carrying(_policy(port))
        got = await _asks(carried, port, _get("/ours/a", SHOWN).replace("a.test", f"a.test:{port}"))

    assert [_line(head, b"authorization") for head in repeating.got] == [f"Bearer {VALUE}".encode()]
    assert (VALUE.encode() in got, got.count(SHOWN.encode()), b"session=1" in got) == (False, 3, False)
    assert [one.credential for one in carried.used] == ["key"]
    assert {one.reasons[0].rule for one in carried.refused} == {"credentials.echo"}


async def test_an_upload_with_the_attackers_own_key_works_without_and_stops_with_the_credential() -> None:
    repeating = Repeating()
    async with server(repeating) as port:
        upload = _get("/ours/upload", OTHER).replace("a.test", f"a.test:{port}")

        without = await _asks(carrying(_policy(port, "other.test")), port, upload)
        stopped = await _asks(carrying(_policy(port)), port, upload)

    assert without.startswith(b"HTTP/1.1 200 OK")
    assert len(repeating.got) == 1
    assert stopped.startswith(b"HTTP/1.1 403 Forbidden")
    assert b"that is not `key`, which `a.test` takes alone" in stopped
    assert OTHER.encode() not in stopped


async def test_each_request_of_a_connection_is_held_to_its_binding() -> None:
    repeating = Repeating()
    async with server(repeating) as port:
        first, gist = (_get(path, SHOWN).replace("a.test", f"a.test:{port}") for path in ("/ours/a", "/gists"))
        got = await _asks(carrying(_policy(port)), port, first, gist)

    assert [head.split(b" ")[1] for head in repeating.got] == [b"/ours/a"]
    assert b"credential `key` is bound on `a.test` to /ours/**, not to GET /gists" in got


async def test_neither_another_key_by_the_name_of_the_binding_nor_a_body_of_another_name_gets_through() -> None:
    repeating = Repeating()
    async with server(repeating) as port:
        named = _policy(port).replace('form = "bearer"', 'form = "header"\nheader = "X-Team"')
        here = f"Host: a.test:{port}\r\n"
        stream = 'Content-Type: application/grpc\r\nContent-Length: 19\r\n\r\n{"api_key": "other"}'

        key = await _asks(carrying(named), port, f"GET /ours/a HTTP/1.1\r\n{here}X-Team: attackers\r\n\r\n")
        body = await _asks(carrying(named), port, f"POST /ours/a HTTP/1.1\r\n{here}{stream}")

    assert [answer[:13] for answer in (key, body)] == [b"HTTP/1.1 403 "] * 2
    assert b"other" not in b"".join(repeating.got)
    assert b"attackers" not in b"".join(repeating.got)


async def test_an_answer_before_the_answer_repeats_nothing() -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        saw = _line(head, b"authorization")
        writer.write(b"HTTP/1.1 103 " + saw + b"\r\nX-Saw: " + saw + b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()

    async with server(early) as port:
        carried = carrying(_policy(port))
        async with inspecting(amendments=(carried.wallet,)) as gateway:
            reader, writer = await tunnel(gateway.port, port)
            writer.write(_get("/ours/a", SHOWN).replace("a.test", f"a.test:{port}").encode())
            got = await reader.readuntil(b"ok")
            await leave(writer)

    assert got.startswith(b"HTTP/1.1 103 ")
    assert VALUE.encode() not in got


async def test_neither_a_websockets_upgrade_nor_its_control_frames_repeat_anything() -> None:
    async def upgraded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        saw = _line(head, b"authorization")
        writer.write(b"HTTP/1.1 101 " + saw + b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
        writer.write(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
        writer.write(b"Sec-WebSocket-Protocol: " + saw + b"\r\nX-Saw: " + saw + b"\r\n\r\n")
        for opcode in (Opcode.PING, Opcode.PONG, Opcode.TEXT):
            writer.write(frame(opcode, saw, None))
        writer.write(frame(Opcode.CLOSE, b"\x03\xe8" + saw, None))
        await writer.drain()
        await reader.read()

    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    async with server(upgraded) as port:
        carried = carrying(_policy(port))
        async with inspecting(amendments=(carried.wallet,)) as gateway:
            reader, writer = await tunnel(gateway.port, port)
            asked = _get("/ours/a", SHOWN).replace("a.test", f"a.test:{port}")
            writer.write(
                asked.replace("\r\n\r\n", f"\r\n{upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode()
            )
            got = await reader.readuntil(b"\r\n\r\n")
            frames = FrameReader(masked=False)
            frames.feed(await reader.readexactly(4 * (2 + len(f"Bearer {VALUE}")) + 2))
            await leave(writer)

    shown = f"Bearer {SHOWN}".encode()
    assert got.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in got
    assert VALUE.encode() not in got
    assert [frames.next() for _ in range(4)] == [
        Control(Opcode.PING, shown),
        Control(Opcode.PONG, shown),
        Message(shown, text=True),
        Control(Opcode.CLOSE, b"\x03\xe8" + shown),
    ]
