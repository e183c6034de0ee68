"""The server: enough HTTP/1.1 on loopback for a model client, one request per connection.

Turns are taken in order by the requests that offer tools; a request without tools (a title, a summary) gets a fixed
sentence, so that it does not use up a turn. When the script is over, the model says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.scripted_model import chat, messages, responses
from tests.scripted_model.script import Say, Turn

WIRES = {"/responses": responses, "/messages": messages, "/chat/completions": chat}


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class ScriptedModel:
    """An async context manager; inside it `port` is open and `requests` grows."""

    def __init__(self, turns: Sequence[Turn], *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.turns = list(turns)
        self.requests: list[Recorded] = []
        self.host = host
        self.port = port
        self._next = 0
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address without a path."""
        return f"http://{self.host}:{self.port}"

    def tool_results(self) -> list[str]:
        """What the agent reported about its tool calls, in order, each once."""
        found: dict[str, str] = {}
        for request in self.requests:
            for suffix, wire in WIRES.items():
                if request.path.split("?")[0].endswith(suffix):
                    found.update(wire.results(request.body))
        return list(found.values())

    async def __aenter__(self) -> ScriptedModel:
        self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read_request(reader)
            if request is not None:
                self.requests.append(request)
                kind, body = self._answer(request)
                status = "404 Not Found" if kind is None else "200 OK"
                head = f"HTTP/1.1 {status}\r\ncontent-type: {kind or 'application/json'}\r\n"
                head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # an agent that goes away has seen enough
        finally:
            writer.close()

    def _answer(self, request: Recorded) -> tuple[str | None, bytes]:
        path = request.path.split("?")[0]
        if path.endswith("/count_tokens"):
            return "application/json", b'{"input_tokens": 10}'
        if path.endswith("/models"):
            return "application/json", b'{"object": "list", "data": [], "models": []}'
        for suffix, wire in WIRES.items():
            if path.endswith(suffix) and request.method == "POST":
                turn = self._take() if wire.has_tools(request.body) else (Say("a title"),)
                return wire.answer(request.body, turn, len(self.requests))
        return None, b'{"error": {"message": "no such endpoint"}}'

    def _take(self) -> Turn:
        turn = self.turns[self._next] if self._next < len(self.turns) else (Say("the script is over"),)
        self._next += 1
        return turn


async def _read_request(reader: asyncio.StreamReader) -> Recorded | None:
    line = (await reader.readline()).decode("latin-1").split()
    if len(line) != 3:
        return None
    headers: dict[str, str] = {}
    while (raw := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = raw.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = await _read_body(reader, headers)
    return Recorded(line[0], line[1], headers, json.loads(body) if body.strip() else {})


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body
    return await reader.readexactly(int(headers.get("content-length", "0")))
