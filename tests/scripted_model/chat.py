"""OpenAI Chat Completions, whole or streamed, for agents that somebody wrote themselves."""

from __future__ import annotations

import json
from typing import Any

from tests.scripted_model.script import Call, Read, Say, Shell, Step, Turn, Write

JsonObject = dict[str, Any]


def has_tools(body: JsonObject) -> bool:
    """Whether this request lets the model call tools."""
    return bool(body.get("tools"))


def answer(body: JsonObject, turn: Turn, number: int) -> tuple[str, bytes]:
    """One assistant message, streamed where the request asks for it."""
    calls = [_call(step, index, f"{number}_{index}") for index, step in enumerate(turn) if not isinstance(step, Say)]
    said = "".join(step.text for step in turn if isinstance(step, Say))
    message: JsonObject = {"role": "assistant", "content": said or None}
    if calls:
        message["tool_calls"] = calls
    finish = "tool_calls" if calls else "stop"
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    envelope = {"id": f"chatcmpl_{number}", "created": 0, "model": body.get("model", "")}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": finish}
        whole = {**envelope, "object": "chat.completion", "choices": [choice], "usage": usage}
        return "application/json", json.dumps(whole).encode()
    chunk = {**envelope, "object": "chat.completion.chunk"}
    parts: list[JsonObject] = [
        {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
        {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]},
        {**chunk, "choices": [], "usage": usage},
    ]
    lines = [f"data: {json.dumps(part)}\n\n" for part in parts]
    return "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()


def results(body: JsonObject) -> dict[str, str]:
    """The outcomes of tool calls in a request, by call id."""
    messages = body.get("messages", [])
    return {
        str(message.get("tool_call_id")): str(message.get("content", ""))
        for message in messages
        if message.get("role") == "tool"
    }


def _call(step: Step, index: int, suffix: str) -> JsonObject:
    match step:
        case Shell(command):
            name, arguments = "shell", {"command": command}
        case Write(path, content):
            name, arguments = "write_file", {"path": path, "content": content}
        case Read(path):
            name, arguments = "read_file", {"path": path}
        case Call(name, arguments):
            pass
        case Say():
            raise ValueError("a sentence is not a tool call")
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"index": index, "id": f"call_{suffix}", "type": "function", "function": function}
