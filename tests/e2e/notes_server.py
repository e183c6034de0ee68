"""A server of tools on standard streams: it says its text again, and notes each call that reached it, and a list."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def answer(message: dict[str, object]) -> object:
    match message:
        case {"method": "initialize", "params": {"protocolVersion": version}}:
            about = {"name": "notes", "version": "1"}
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
        case {"method": "tools/list"}:
            (HERE / "listed.txt").touch()
            more = (HERE / "more.txt").read_text() if (HERE / "more.txt").exists() else ""
            schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
            return {"tools": [{"name": "say", "description": f"Says it again.{more}", "inputSchema": schema}]}
        case {"method": "tools/call", "params": {"arguments": {"text": str(text)}}}:
            with (HERE / "calls.txt").open("a") as file:
                file.write(f"{text}\n")
            return {"content": [{"type": "text", "text": f"NOTES SAY {text}"}]}
    return {}


for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answer(asked)}), flush=True)
