"""OpenAI Responses, streamed, as Codex speaks it: function calls, the `apply_patch` free-text tool, and code mode.

In code mode the model has a single tool that takes JavaScript, in which the other tools are functions; the tool list
then arrives as an item of the input.
"""

from __future__ import annotations

import json
from typing import Any

from tests.scripted_model.script import Call, Read, Say, Shell, Step, Turn, Write

JsonObject = dict[str, Any]


def has_tools(body: JsonObject) -> bool:
    """Whether this request lets the model call tools."""
    return bool(body.get("tools")) or _is_code_mode(body)


def answer(body: JsonObject, turn: Turn, number: int) -> tuple[str, bytes]:
    """The stream of server-sent events for one turn."""
    code_mode = _is_code_mode(body)
    output = [_item(step, f"{number}_{index}", code_mode=code_mode) for index, step in enumerate(turn)]
    response = {"id": f"resp_{number}", "object": "response", "status": "completed", "model": body.get("model", "")}
    usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "total_tokens": 15,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    if not body.get("stream"):
        return "application/json", json.dumps({**response, "output": output, "usage": usage}).encode()
    events: list[JsonObject] = [{"type": "response.created", "response": {"id": response["id"]}}]
    events += [{"type": "response.output_item.done", "output_index": i, "item": item} for i, item in enumerate(output)]
    events.append({"type": "response.completed", "response": {**response, "output": output, "usage": usage}})
    return "text/event-stream", b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events
    )


def results(body: JsonObject) -> dict[str, str]:
    """The outcomes of tool calls in a request, by call id."""
    found = {}
    for item in body.get("input", []):
        if isinstance(item, dict) and str(item.get("type", "")).endswith("_call_output"):
            output = item.get("output", "")
            found[str(item.get("call_id"))] = output if isinstance(output, str) else json.dumps(output)
    return found


def _is_code_mode(body: JsonObject) -> bool:
    items = body.get("input", [])
    return any(isinstance(item, dict) and item.get("type") == "additional_tools" for item in items)


def _item(step: Step, suffix: str, *, code_mode: bool) -> JsonObject:
    if isinstance(step, Say):
        content = [{"type": "output_text", "text": step.text, "annotations": []}]
        return {"type": "message", "role": "assistant", "id": f"msg_{suffix}", "content": content}
    name, arguments, text = _call(step)
    call = {"id": f"fc_{suffix}", "call_id": f"call_{suffix}"}
    if code_mode:
        argument = json.dumps(arguments if text is None else text)
        source = f"const r = await tools.{name}({argument}); text(typeof r === 'string' ? r : JSON.stringify(r));"
        return {"type": "custom_tool_call", "name": "exec", "input": source, **call}
    if text is not None:
        return {"type": "custom_tool_call", "name": name, "input": text, **call}
    return {"type": "function_call", "name": name, "arguments": json.dumps(arguments), **call}


def _call(step: Shell | Write | Read | Call) -> tuple[str, JsonObject, str | None]:
    match step:
        case Shell(command):
            return "exec_command", {"cmd": command}, None
        case Read(path):
            return "exec_command", {"cmd": f"cat -- '{path}'"}, None
        case Write(path, content):
            lines = "".join(f"+{line}\n" for line in content.splitlines())
            return "apply_patch", {}, f"*** Begin Patch\n*** Add File: {path}\n{lines}*** End Patch"
        case Call(name, arguments, text):
            return name, arguments, text
