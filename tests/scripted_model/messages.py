"""Anthropic Messages, streamed or whole, as Claude Code speaks it."""

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
    blocks = [_block(step, f"{number}_{index}") for index, step in enumerate(turn)]
    stop = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    message: JsonObject = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", ""),
        "content": blocks,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    if not body.get("stream"):
        return "application/json", json.dumps(message).encode()
    events: list[JsonObject] = [
        {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}},
        *(event for index, block in enumerate(blocks) for event in _block_events(index, block)),
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": None},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    return "text/event-stream", b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


def results(body: JsonObject) -> dict[str, str]:
    """The outcomes of tool calls in a request, by call id."""
    found = {}
    for message in body.get("messages", []):
        content = message.get("content", [])
        for block in content if isinstance(content, list) else []:
            if block.get("type") == "tool_result":
                inner = block.get("content", "")
                found[str(block.get("tool_use_id"))] = inner if isinstance(inner, str) else json.dumps(inner)
    return found


def _block_events(index: int, block: JsonObject) -> list[JsonObject]:
    if block["type"] == "text":
        start: JsonObject = {"type": "text", "text": ""}
        delta: JsonObject = {"type": "text_delta", "text": block["text"]}
    else:
        start = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        {"type": "content_block_delta", "index": index, "delta": delta},
        {"type": "content_block_stop", "index": index},
    ]


def _block(step: Step, suffix: str) -> JsonObject:
    match step:
        case Say(text):
            return {"type": "text", "text": text}
        case Shell(command):
            name, arguments = "Bash", {"command": command, "description": "run a command"}
        case Write(path, content):
            name, arguments = "Write", {"file_path": path, "content": content}
        case Read(path):
            name, arguments = "Read", {"file_path": path}
        case Call(name, arguments):
            pass
    return {"type": "tool_use", "id": f"toolu_{suffix}", "name": name, "input": arguments}
