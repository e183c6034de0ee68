"""Answers of models as their providers send them, one of each interface, whole and streamed."""

from __future__ import annotations

import json

from ringfence.policy.model_endpoints import Interface


def sent(*events: object, named: bool = True) -> bytes:
    """Server-sent events."""
    text = ""
    for one in events:
        if named and isinstance(one, dict) and "type" in one:
            text += f"event: {one['type']}\n"
        text += f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n"
    return text.encode()


_RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "model": "gpt-5.5-2026",
    "status": "completed",
    "usage": {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 60},
        "output_tokens": 40,
        "output_tokens_details": {"reasoning_tokens": 15},
    },
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "exec_command", "arguments": '{"cmd":"ls"}'},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "exec", "input": "await tools.exec_command({})"},
        {"type": "web_search_call", "id": "ws_1"},
    ],
}
RESPONSES = sent(
    {"type": "response.created", "response": {"id": "resp_1", "object": "response", "model": "gpt-5.5-2026"}},
    {"type": "response.output_text.delta", "delta": "I look."},
    *(
        {"type": "response.output_item.done", "output_index": at, "item": item}
        for at, item in enumerate(_RESPONSE["output"])
    ),
    {"type": "response.completed", "response": _RESPONSE},
)
CHAT = sent(
    {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "I "}}]},
    {"id": "c1", "model": "m-1", "choices": [{"index": 0, "delta": {"content": "look."}}]},
    {
        "id": "c1",
        "choices": [
            {
                "index": 0,
                "delta": {"tool_calls": [{"index": 0, "id": "t1", "function": {"name": "sh", "arguments": ""}}]},
            }
        ],
    },
    {
        "id": "c1",
        "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"c":'}}]}}],
    },
    {
        "id": "c1",
        "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": '"ls"}'}}]}}],
    },
    {"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {
        "id": "c1",
        "choices": [],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 15},
        },
    },
    "[DONE]",
)
MESSAGES = sent(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "model": "claude-x",
            "content": [],
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 30,
                "output_tokens": 1,
            },
        },
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "I look."}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"command"'}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ': "ls"}'}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 40}},
    {"type": "message_stop"},
)
_CHUNKS = (
    {"candidates": [{"content": {"parts": [{"text": "I look."}], "role": "model"}}], "modelVersion": "gemini-x"},
    {
        "candidates": [
            {
                "content": {"parts": [{"functionCall": {"id": "g1", "name": "run", "args": {"command": "ls"}}}]},
                "finishReason": "STOP",
            }
        ],
        "modelVersion": "gemini-x",
        "responseId": "r1",
        "usageMetadata": {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 60,
            "candidatesTokenCount": 25,
            "thoughtsTokenCount": 15,
        },
    },
)
GEMINI = sent(*_CHUNKS, named=False)
STREAMS = {
    Interface.RESPONSES: RESPONSES,
    Interface.CHAT: CHAT,
    Interface.MESSAGES: MESSAGES,
    Interface.GEMINI: GEMINI,
}
WHOLE: dict[Interface, object] = {
    Interface.RESPONSES: _RESPONSE,
    Interface.CHAT: {
        "id": "c1",
        "model": "m-1",
        "choices": [
            {
                "message": {
                    "content": "I look.",
                    "tool_calls": [{"id": "t1", "function": {"name": "sh", "arguments": '{"c":"ls"}'}}],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 40,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 15},
        },
    },
    Interface.MESSAGES: {
        "id": "msg_1",
        "type": "message",
        "model": "claude-x",
        "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
        ],
        "stop_reason": "tool_use",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 60,
            "cache_creation_input_tokens": 30,
            "output_tokens": 40,
        },
    },
    Interface.GEMINI: list(_CHUNKS),
}
