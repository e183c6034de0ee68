"""The scripted model speaks each wire format: a script's turn comes out, and a tool's result is found again."""

from __future__ import annotations

import json
import urllib.request
from asyncio import to_thread
from typing import Any

import pytest

from tests.scripted_model import Call, Read, Say, ScriptedModel, Shell, Turn, Write, read_script

TOOLS = [{"name": "t"}]


async def post(model: ScriptedModel, path: str, body: dict[str, Any]) -> str:
    def send() -> str:
        request = urllib.request.Request(model.url + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as response:
            return str(response.read().decode())

    return await to_thread(send)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/messages", "/v1/chat/completions"])
async def test_turns_come_in_order_and_only_to_requests_with_tools(path: str, stream: bool) -> None:
    turns: list[Turn] = [(Shell("echo marker"),), (Say("finished"),)]

    async with ScriptedModel(turns) as model:
        aside = await post(model, path, {"stream": stream})
        first = await post(model, path, {"tools": TOOLS, "stream": stream})
        second = await post(model, path, {"tools": TOOLS, "stream": stream})
        third = await post(model, path, {"tools": TOOLS, "stream": stream})

    assert "echo marker" not in aside
    assert "echo marker" in first
    assert "finished" in second
    assert "the script is over" in third
    assert len(model.requests) == 4


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/responses", {"input": [{"type": "function_call_output", "call_id": "1", "output": "seen"}]}),
        ("/v1/messages", {"messages": [{"content": [{"type": "tool_result", "tool_use_id": "1", "content": "seen"}]}]}),
        ("/v1/chat/completions", {"messages": [{"role": "tool", "tool_call_id": "1", "content": "seen"}]}),
    ],
)
async def test_results_are_found_once(path: str, body: dict[str, Any]) -> None:
    async with ScriptedModel([]) as model:
        await post(model, path, body)
        await post(model, path, body)

    assert model.tool_results() == ["seen"]


async def test_in_code_mode_calls_are_javascript() -> None:
    body = {"input": [{"type": "additional_tools"}], "stream": True}

    async with ScriptedModel([(Shell("ls"),)]) as model:
        answer = await post(model, "/v1/responses", body)

    assert "await tools.exec_command(" in answer


def test_a_script_is_read_from_json() -> None:
    text = '[{"say": "a"}, [{"shell": "b"}, {"write": ["c", "d"]}], {"read": "e"}, {"call": "f", "input": {"g": 1}}]'

    assert read_script(text) == [
        (Say("a"),),
        (Shell("b"), Write("c", "d")),
        (Read("e"),),
        (Call("f", {"g": 1}),),
    ]
