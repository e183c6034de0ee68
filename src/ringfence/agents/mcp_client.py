"""The program that stands between an agent and a server of tools on standard streams (MCP over stdio).

Placed inside the sandbox and run as `python -I -S mcp.py [--name NAME] -- SERVER ARGS`. It starts the server, passes
every line on, and asks outside before a call of a tool goes to the server and before a list of tools is shown to the
agent. It decides nothing, except that any trouble in asking is a denial. Only the standard library; this package is not
there inside.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO, Any

SOCKET = "/run/ringfence/hook.sock"
BESIDE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hook.sock")
"""Where it is where nothing can be shown at that place."""
NAME = "RINGFENCE_MCP_NAME"
_LARGEST = 16 * 1024 * 1024
_MOST_PAGES = 1000
PATIENCE = 5.0
"""Seconds that an agent waits for a list; when somebody has to be asked longer, it has no tools until then. Agents give
up a server that takes much longer."""
GRACE = 1.0
"""Seconds for what is still open once the agent has closed its end: enough for a rule to answer, not for a person. A
server whose agent reads no more has as long to end by itself, and again after it was told to."""
_LOOK = 0.1
_NO_TOOL = -32602
_DENIED = -32001
_OWN = "ringfence-list-"


Message = dict[str, Any]


class Denied(Exception):
    """The session said no, or could not be asked."""


class StandIn:
    """One server and the agent in front of it."""

    def __init__(self, name: str, command: list[str]) -> None:
        self._name = name
        self._command = command
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._server.stdin is not None and self._server.stdout is not None
        self._input, self._output = self._server.stdin, self._server.stdout
        self._to_server = threading.Lock()
        self._to_agent = threading.Lock()
        self._lock = threading.Lock()
        self._asking: dict[str, tuple[socket.socket, float]] = {}
        """Open questions and since when, by the id of the call: a cancelled call is asked about no more."""
        self._pages: dict[str, tuple[Message, list[object], int]] = {}
        """Lists that are being collected, by our own id: the agent's id and the tools so far."""
        self._count = 0
        self._greeting: object = None
        """The id of the agent's first request, whose answer says what the server can do."""
        self._open = 0
        """Messages that are with us, and neither with the server nor answered."""
        self._settled = threading.Condition(self._lock)
        self._withdrawing = False
        """Whether the agent has closed its end while somebody was still asked."""

    def run(self) -> int:
        """Pass messages on until the server ends; its exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda received, frame: self._server.send_signal(received))
        threading.Thread(target=self._from_agent, daemon=True).start()
        try:
            self._from_server()
        except OSError:
            # The agent is gone, and nobody reads what the server says.
            self._server.terminate()
        code = self._server.wait()
        with self._settled:
            for connection, _ in self._asking.values():
                _shut(connection)
            self._settled.notify_all()
        return code if code >= 0 else 128 - code

    def _from_agent(self) -> None:
        try:
            for line in _lines(sys.stdin.buffer):
                self._agent_said(line)
        except (OSError, ValueError) as trouble:
            print(f"ringfence: {trouble}", file=sys.stderr, flush=True)
        self._settle()
        # The end of its input is how a server on standard streams is told to stop.
        with self._to_server, contextlib.suppress(OSError):
            self._input.close()
        self._see_it_end()

    def _settle(self) -> None:
        """Wait for what is open. Nobody waits any more for a person's answer: such questions are withdrawn."""
        closed = time.monotonic()
        with self._settled:
            while self._open and self._server.poll() is None:
                unread = _nobody_reads(sys.stdout.fileno())
                for connection, since in self._asking.values():
                    if unread or time.monotonic() - max(closed, since) > GRACE:
                        self._withdrawing = True
                        _shut(connection)
                if unread and time.monotonic() - closed > GRACE:
                    return
                self._settled.wait(_LOOK)

    def _see_it_end(self) -> None:
        """A server may work on as long as somebody reads what it says; after that it is told, and then made to end."""
        while self._server.poll() is None and not _nobody_reads(sys.stdout.fileno()):
            time.sleep(_LOOK)
        for end in (self._server.terminate, self._server.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(GRACE)
                break
            end()
        # What it started may still hold its output, and nobody is there for whom that would be read.
        time.sleep(GRACE)
        os._exit(1)

    def _agent_said(self, line: bytes) -> None:
        try:
            message = _read(line)
        except (ValueError, RecursionError) as trouble:
            self._tell({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": f"ringfence: {trouble}"}})
            return
        if isinstance(message, list):
            # One answer that denies stands for all of them: no part of it has reached the server.
            self._begin(self._batch, line, message)
            return
        method = message.get("method") if isinstance(message, dict) else None
        if method == "tools/call":
            self._begin(self._call, line, message)
        elif method == "tools/list":
            self._list(message)
        else:
            if method == "initialize":
                self._greeting = message.get("id")
            if method == "notifications/cancelled":
                self._cancel(message)
            self._pass(line)

    def _call(self, line: bytes, message: Message) -> None:
        try:
            self._ask_call(message)
        except Denied as denied:
            result = {"content": [{"type": "text", "text": str(denied)}], "isError": True}
            self._tell({"jsonrpc": "2.0", "id": message.get("id"), "result": result})
        else:
            self._pass(line)

    def _batch(self, line: bytes, messages: list[Any]) -> None:
        try:
            for message in messages:
                method = message.get("method") if isinstance(message, dict) else None
                if method == "tools/list":
                    raise Denied("ringfence: a list of tools is asked for by itself")
                if method == "tools/call":
                    self._ask_call(message)
        except Denied as denied:
            error = {"code": _DENIED, "message": str(denied)}
            asked = [one["id"] for one in messages if isinstance(one, dict) and "id" in one and "method" in one]
            self._tell([{"jsonrpc": "2.0", "id": number, "error": error} for number in asked])
        else:
            self._pass(line)

    def _ask_call(self, message: Message) -> None:
        parameters = message.get("params")
        tool = parameters.get("name") if isinstance(parameters, dict) else None
        if not isinstance(parameters, dict) or not isinstance(tool, str) or not tool:
            raise Denied("ringfence: the call names no tool")
        self._ask("McpCall", {"tool": tool, "arguments": parameters.get("arguments", {})}, message.get("id"))

    def _cancel(self, message: Message) -> None:
        parameters = message.get("params")
        number = parameters.get("requestId") if isinstance(parameters, dict) else None
        with self._lock:
            asking = self._asking.get(json.dumps(number))
        if asking is not None:
            _shut(asking[0])

    def _list(self, message: Message) -> None:
        """Ask the server for the whole list, page by page: it is judged as one, before any of it is shown."""
        parameters = message.get("params")
        if isinstance(parameters, dict) and parameters.get("cursor") is not None:
            error = {"code": _NO_TOOL, "message": "ringfence: there is one page, and no cursor leads to another"}
            self._tell({"jsonrpc": "2.0", "id": message.get("id"), "error": error})
            return
        self._next_page(message, [], 0, None)

    def _next_page(self, message: Message, tools: list[object], pages: int, cursor: str | None) -> None:
        with self._lock:
            self._open += 1
            self._count += 1
            own = f"{_OWN}{self._count}"
            self._pages[own] = (message, tools, pages)
        parameters = dict(message.get("params") or {}) if isinstance(message.get("params"), dict) else {}
        if cursor is not None:
            parameters["cursor"] = cursor
        asked: Message = {"jsonrpc": "2.0", "id": own, "method": "tools/list"}
        if parameters:
            asked["params"] = parameters
        self._pass(json.dumps(asked).encode() + b"\n")

    def _from_server(self) -> None:
        for line in _lines(self._output):
            if self._greeting is not None:
                line = self._greets(line)
            if b"tools" in line or _OWN.encode() in line or b"\\u" in line:
                message: object = None
                with contextlib.suppress(ValueError, RecursionError):
                    message = json.loads(line)
                if isinstance(message, dict) and self._is_page(message):
                    continue
                if _shows_tools(message):
                    # SECURITY: a list that nobody asked for would be one that nobody has judged.
                    number = message.get("id") if isinstance(message, dict) else None
                    error = {"code": _DENIED, "message": "denied by ringfence: a list of tools that was not asked for"}
                    self._tell({"jsonrpc": "2.0", "id": number, "error": error})
                    continue
            with self._to_agent:
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()

    def _is_page(self, message: Message) -> bool:
        number = message.get("id")
        with self._lock:
            page = self._pages.pop(number, None) if isinstance(number, str) else None
        if page is None:
            return False
        asked, tools, pages = page
        result = message.get("result")
        if not isinstance(result, dict):
            self._tell({**message, "id": asked.get("id")})
            self._end()
            return True
        found = result.get("tools")
        tools = [*tools, *(found if isinstance(found, list) else [found])]
        cursor = result.get("nextCursor")
        if isinstance(cursor, str) and pages < _MOST_PAGES:
            self._next_page(asked, tools, pages + 1, cursor)
        else:
            whole = {key: value for key, value in result.items() if key != "nextCursor"}
            whole["tools"] = tools
            self._begin(self._show, asked, whole)
        self._end()
        return True

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        """Do in a thread of its own what may wait for a person."""
        with self._lock:
            self._open += 1

        def run() -> None:
            try:
                work(*arguments)
            finally:
                self._end()

        threading.Thread(target=run, daemon=True).start()

    def _end(self) -> None:
        with self._settled:
            self._open -= 1
            self._settled.notify_all()

    def _show(self, asked: Message, result: Message) -> None:
        answer = {"jsonrpc": "2.0", "id": asked.get("id")}
        told = threading.Lock()
        waiting = threading.Timer(PATIENCE, self._withhold, (answer, told))
        waiting.daemon = True
        waiting.start()
        try:
            self._ask("McpTools", {"tools": result["tools"]}, asked.get("id"))
        except Denied as denied:
            print(f"ringfence: {denied}", file=sys.stderr, flush=True)
            if told.acquire(blocking=False):
                self._tell({**answer, "error": {"code": _DENIED, "message": str(denied)}})
        else:
            if told.acquire(blocking=False):
                self._tell({**answer, "result": result})
            else:
                # The agent went on without tools, and may ask again now.
                self._tell({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
        finally:
            waiting.cancel()

    def _withhold(self, answer: Message, told: threading.Lock) -> None:
        if not told.acquire(blocking=False):
            return
        text = "somebody is asked about its tools; until then it has none (`ringfence approvals`)"
        print(f"ringfence: {self._name}: {text}", file=sys.stderr, flush=True)
        self._tell({**answer, "result": {"tools": []}})

    def _greets(self, line: bytes) -> bytes:
        """The server's first answer, in which it says that its list may change: we may show it later."""
        message: object = None
        with contextlib.suppress(ValueError, RecursionError):
            message = json.loads(line)
        result = message.get("result") if isinstance(message, dict) else None
        if not isinstance(message, dict) or message.get("id") != self._greeting or not isinstance(result, dict):
            return line
        self._greeting = None
        able = result.get("capabilities")
        if isinstance(able, dict) and isinstance(able.get("tools"), dict):
            able["tools"]["listChanged"] = True
            return json.dumps(message).encode() + b"\n"
        return line

    def _ask(self, event: str, content: Message, number: object) -> None:
        """Return where the session allows it; `Denied` with its words otherwise, and where it cannot be asked."""
        question = json.dumps({"server": self._name, "command": self._command, **content}).encode()
        body = event.encode() + b"\n" + question
        if len(body) > _LARGEST:
            raise Denied("denied by ringfence: it is longer than 16 MiB")
        key = json.dumps(number)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                with self._lock:
                    self._asking[key] = (connection, time.monotonic())
                try:
                    connection.connect(SOCKET)
                except FileNotFoundError:
                    connection.connect(BESIDE)
                connection.sendall(b"RFQ1" + len(body).to_bytes(4, "big") + body)
                code, text = _answer(connection)
        except (OSError, ValueError) as trouble:
            if self._withdrawing:
                raise Denied("denied by ringfence: its client closed its end, and the question was withdrawn") from None
            raise Denied(f"denied by ringfence: it could not be asked about this ({trouble}); do not retry") from None
        finally:
            with self._lock:
                self._asking.pop(key, None)
        if code != 0:
            raise Denied(text or "denied by ringfence")

    def _pass(self, line: bytes) -> None:
        with self._to_server, contextlib.suppress(OSError, ValueError):
            self._input.write(line if line.endswith(b"\n") else line + b"\n")
            self._input.flush()

    def _tell(self, message: object) -> None:
        with self._to_agent, contextlib.suppress(OSError, ValueError):
            sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
            sys.stdout.buffer.flush()


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Whole lines; a line that is too long ends it."""
    while line := stream.readline(_LARGEST):
        if len(line) >= _LARGEST and not line.endswith(b"\n"):
            raise ValueError("a message is longer than 16 MiB")
        yield line


def _read(line: bytes) -> Any:
    """A message. SECURITY: a key that stands there twice could be one thing here and another in the server."""
    message = json.loads(line, object_pairs_hook=_once, parse_constant=_no_number)
    for one in message if isinstance(message, list) else [message]:
        _check_keys(one, ("jsonrpc", "id", "method", "params"))
        if isinstance(one, dict) and one.get("method") == "tools/call":
            _check_keys(one.get("params"), ("name", "arguments"))
    return message


def _check_keys(message: object, known: tuple[str, ...]) -> None:
    # SECURITY: a server in Go takes `Method` for `method`, and `param\u017f` too.
    for key in message if isinstance(message, dict) else ():
        if key not in known and key.casefold() in known:
            raise ValueError(f"the key {key!r} is spelled in a way that servers differ on")


def _once(pairs: list[tuple[str, object]]) -> Message:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in a message")
    return found


def _no_number(text: str) -> None:
    raise ValueError(f"`{text}` is no number of JSON")


def _shows_tools(message: object) -> bool:
    """Whether an answer has the form of a list of tools."""
    if isinstance(message, list):
        return any(map(_shows_tools, message))
    result = message.get("result") if isinstance(message, dict) else None
    return isinstance(result, dict) and isinstance(result.get("tools"), list)


def _answer(connection: socket.socket) -> tuple[int, str]:
    header = _receive(connection, 8)
    length = int.from_bytes(header[4:], "big")
    if header[:4] != b"RFA1" or not 5 <= length <= _LARGEST:
        raise ValueError("the answer does not have the form that was agreed")
    answer = _receive(connection, length)
    cut = 5 + int.from_bytes(answer[1:5], "big")
    if answer[0] not in (0, 2) or cut > length:
        raise ValueError("the answer does not have the form that was agreed")
    return answer[0], answer[cut:].decode("utf-8", "replace").strip()


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise ValueError("the session went away before it answered")
        data += part
    return data


def _nobody_reads(stream: int) -> bool:
    """Whether the other end of a pipe or a socket has been closed."""
    watch = select.poll()
    watch.register(stream, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def main(words: list[str]) -> int:
    """Stand in for a server, and return its exit code."""
    name = os.environ.pop(NAME, "")
    if words[:1] == ["--name"]:
        name, words = words[1] if words[1:] else "", words[2:]
    words = words[1:] if words[:1] == ["--"] else words
    if not words:
        print("ringfence: no server was named", file=sys.stderr)
        return 125
    try:
        return StandIn(name or os.path.basename(words[0]), words).run()
    except OSError as error:
        print(f"ringfence: `{words[0]}` cannot be started: {error.strerror}", file=sys.stderr)
        return 127


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
