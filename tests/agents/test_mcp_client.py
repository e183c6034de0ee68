"""The program between an agent and a server of tools, as a real process between real pipes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ringfence.agents import hook_wire
from ringfence.agents.agent import HookAnswer
from ringfence.agents.mcp_wrapping import CLIENT

PYTHON = os.path.realpath(sys.executable)
START = (
    f"import sys; sys.path.insert(0, {os.path.dirname(CLIENT)!r}); import mcp_client; "
    "mcp_client.SOCKET = sys.argv[1]; mcp_client.PATIENCE = 0.2; sys.exit(mcp_client.main(sys.argv[2:]))"
)
SERVER = """
import json, os, sys
def put(message): print(json.dumps(message), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if isinstance(asked, list):
        put([{"jsonrpc": "2.0", "id": one["id"], "result": {"reached": one["method"]}} for one in asked])
        continue
    method, number, given = asked["method"], asked.get("id"), asked.get("params") or {}
    if method == "tools/list":
        page = int(given.get("cursor", 0))
        result = {"tools": [{"name": f"tool{page}"}], **({"nextCursor": str(page + 1)} if page < 2 else {})}
        put({"jsonrpc": "2.0", "id": number, "result": result})
    elif method == "initialize" and given:
        put({"jsonrpc": "2.0", "id": number, "result": {"capabilities": {"tools": {}, "logging": {}}}})
    elif method == "unasked":
        put({"jsonrpc": "2.0", "id": number, "result": {"t\\u006fols": [{"name": "evil"}]}})
    elif number is not None:
        name = os.environ.get("RINGFENCE_MCP_NAME")
        put({"jsonrpc": "2.0", "id": number, "result": {"reached": method, "name": name}})
sys.exit(7)
"""
Answer = Callable[[str, dict[str, Any]], HookAnswer]


class Between:
    """An agent's end of the pipes, and what the session was asked."""

    def __init__(self, process: subprocess.Popen[bytes], asked: list[tuple[str, dict[str, Any]]]) -> None:
        self.process = process
        self.asked = asked

    def send(self, message: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write((message if isinstance(message, str) else json.dumps(message)).encode() + b"\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, method: str, **params: object) -> Any:
        self.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return self.read()


@contextmanager
def between(place: Path, answer: Answer, *words: str) -> Iterator[Between]:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place / "hook.sock"))
    listener.listen(8)
    asked: list[tuple[str, dict[str, Any]]] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=converse, args=(connection,), daemon=True).start()

    def converse(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            length = hook_wire.body_length(stream.read(hook_wire.HEADER), hook_wire.QUESTION)
            event, payload = hook_wire.read_question(stream.read(length))
            asked.append((event, json.loads(payload)))
            connection.sendall(hook_wire.answer(answer(event, asked[-1][1])))

    threading.Thread(target=serve, daemon=True).start()
    argv = [PYTHON, "-I", "-S", "-c", START, str(place / "hook.sock"), *(words or ("--name", "notes", "--"))]
    argv += [] if words else [PYTHON, "-c", SERVER]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Between(process, asked)
    finally:
        process.kill()
        process.communicate()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def allow(event: str, question: dict[str, Any]) -> HookAnswer:
    return HookAnswer()


def deny(event: str, question: dict[str, Any]) -> HookAnswer:
    return HookAnswer(stderr=b"denied by ringfence (rule r)\n", exit_code=2)


def test_a_call_is_asked_about_with_its_server_and_reaches_it(tmp_path: Path) -> None:
    with between(tmp_path, allow) as server:
        assert server.ask("initialize")["result"] == {"reached": "initialize", "name": None}
        assert server.ask("tools/call", name="say", arguments={"a": 1})["result"]["reached"] == "tools/call"

        [(event, question)] = server.asked
        assert event == "McpCall"
        assert (question["server"], question["tool"], question["arguments"]) == ("notes", "say", {"a": 1})
        assert question["command"] == [PYTHON, "-c", SERVER]


def test_a_call_that_is_denied_never_arrives_and_the_model_is_told_why(tmp_path: Path) -> None:
    with between(tmp_path, deny) as server:
        answer = server.ask("tools/call", name="say")

    assert answer["result"] == {"content": [{"type": "text", "text": "denied by ringfence (rule r)"}], "isError": True}


def test_a_list_is_asked_about_as_a_whole_before_any_of_it_is_shown(tmp_path: Path) -> None:
    with between(tmp_path, allow) as server:
        shown = server.ask("tools/list")

        assert [tool["name"] for tool in shown["result"]["tools"]] == ["tool0", "tool1", "tool2"]
        assert "nextCursor" not in shown["result"]
        assert server.asked[0][1]["tools"] == shown["result"]["tools"]
        assert server.ask("tools/list", cursor="1")["error"]["code"] == -32602


def test_a_list_that_is_denied_is_not_shown(tmp_path: Path) -> None:
    with between(tmp_path, deny) as server:
        assert server.ask("tools/list")["error"] == {"code": -32001, "message": "denied by ringfence (rule r)"}


@pytest.mark.slow
def test_while_somebody_is_asked_about_a_list_there_are_no_tools_and_then_the_agent_may_ask_again(
    tmp_path: Path,
) -> None:
    answered = threading.Event()

    def answer(event: str, question: dict[str, Any]) -> HookAnswer:
        answered.wait(10)
        return HookAnswer()

    with between(tmp_path, answer) as server:
        greeting = server.ask("initialize", protocolVersion="1")
        assert greeting["result"]["capabilities"] == {"tools": {"listChanged": True}, "logging": {}}
        assert server.ask("tools/list")["result"] == {"tools": []}
        answered.set()
        assert server.read() == {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
        assert len(server.ask("tools/list")["result"]["tools"]) == 3


def test_a_list_that_was_not_asked_for_is_not_shown_in_any_spelling(tmp_path: Path) -> None:
    with between(tmp_path, allow) as server:
        answer = server.ask("unasked")

        assert "evil" not in json.dumps(answer)
        assert answer["error"]["message"] == "denied by ringfence: a list of tools that was not asked for"


def test_a_batch_is_judged_call_by_call_and_stopped_as_a_whole(tmp_path: Path) -> None:
    def answer(event: str, question: dict[str, Any]) -> HookAnswer:
        return deny(event, question) if question["tool"] == "bad" else allow(event, question)

    def batch(*tools: str) -> list[dict[str, Any]]:
        calls = [{"jsonrpc": "2.0", "id": tool, "method": "tools/call", "params": {"name": tool}} for tool in tools]
        return [{"jsonrpc": "2.0", "id": "ping", "method": "ping"}, *calls]

    with between(tmp_path, answer) as server:
        server.send(batch("good"))
        assert [one["result"]["reached"] for one in server.read()] == ["ping", "tools/call"]
        server.send(batch("good", "bad"))
        assert [(one["id"], one["error"]["code"]) for one in server.read()] == [
            ("ping", -32001),
            ("good", -32001),
            ("bad", -32001),
        ]


@pytest.mark.parametrize(
    "message",
    [
        '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"bad"}}',
        '{"jsonrpc":"2.0","id":1,"Method":"tools/call","params":{"name":"bad"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"good","NAME":"bad"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"good"},"param\u017f":{"name":"bad"}}',
        '[{"jsonrpc":"2.0","id":1,"METHOD":"tools/call","params":{"name":"bad"}}]',
    ],
)
def test_a_message_that_could_be_read_in_two_ways_does_not_go_on(tmp_path: Path, message: str) -> None:
    with between(tmp_path, allow) as server:
        server.send(message)

        assert server.read()["error"]["code"] == -32700
        assert server.asked == []


def test_while_a_call_waits_others_go_on_and_one_that_is_cancelled_is_dropped(tmp_path: Path) -> None:
    waits = threading.Event()

    def answer(event: str, question: dict[str, Any]) -> HookAnswer:
        if question["tool"] == "slow":
            waits.wait(10)
        return HookAnswer()

    with between(tmp_path, answer) as server:
        server.send({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "slow"}})
        assert server.ask("tools/call", name="fast")["result"]["reached"] == "tools/call"
        server.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}})

        answer_to_slow = server.read()
        waits.set()

    assert answer_to_slow["id"] == 5
    assert answer_to_slow["result"]["isError"]


def test_without_a_session_everything_that_is_asked_about_is_denied(tmp_path: Path) -> None:
    with between(tmp_path, allow) as server:
        (tmp_path / "hook.sock").unlink()

        assert server.ask("tools/call", name="say")["result"]["isError"]
        assert "could not be asked" in server.ask("tools/list")["error"]["message"]


def test_it_ends_as_its_server_does(tmp_path: Path) -> None:
    with between(tmp_path, allow) as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(10) == 7
        server.process.stdin = None


@pytest.mark.slow
def test_a_question_is_withdrawn_once_the_agent_has_closed_its_end(tmp_path: Path) -> None:
    asked, withdrawn = threading.Event(), threading.Event()

    def answer(event: str, question: dict[str, Any]) -> HookAnswer:
        asked.set()
        withdrawn.wait(20)
        return HookAnswer()

    with between(tmp_path, answer) as server:
        server.send({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "slow"}})
        assert asked.wait(10)
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.stdin = None

        answered = server.read()

        assert server.process.wait(10) == 7
        withdrawn.set()
    assert (answered["id"], answered["result"]["isError"]) == (5, True)
    assert "the question was withdrawn" in answered["result"]["content"][0]["text"]


STUBBORN = (
    "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.write(1, b'{}\\n')\n"
    "if not os.fork(): open('child', 'w').write(str(os.getpid()))\n"
    "time.sleep(600)"
)


@pytest.mark.slow
def test_a_server_that_does_not_end_by_itself_is_ended_when_nobody_reads_it(tmp_path: Path) -> None:
    with between(tmp_path, allow, "--", PYTHON, "-c", f"import os; os.chdir({str(tmp_path)!r}); {STUBBORN}") as server:
        assert server.read() == {}
        assert server.process.stdin is not None and server.process.stdout is not None
        server.process.stdin.close()
        server.process.stdout.close()
        server.process.stdin = server.process.stdout = None

        assert server.process.wait(10) is not None
        os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


@pytest.mark.slow
def test_a_server_may_finish_its_work_for_an_agent_that_still_reads(tmp_path: Path) -> None:
    slow = "import sys, time; sys.stdin.read(); time.sleep(2.5); print('{\"late\": true}')"
    with between(tmp_path, allow, "--", PYTHON, "-c", slow) as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        server.process.stdin = None

        assert server.read() == {"late": True}
        assert server.process.wait(10) == 0


def test_a_server_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    with between(tmp_path, allow, "--", str(tmp_path / "missing")) as server:
        assert server.process.wait(10) == 127
