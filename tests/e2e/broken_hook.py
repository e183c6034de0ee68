"""A real agent with our hooks and no sandbox, in mount namespace of its own, where one part of the hooks is broken.

Run inside `unshare --mount` as `python -m tests.e2e.broken_hook AGENT PART PLACE PROGRAMS`; prints what the agent told
its model about its one tool call. The files of the agent's profile are put where they belong.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import tomlkit
from tests.e2e.place import CODEX_CONFIG, SECONDS
from tests.scripted_model import Say, ScriptedModel, Shell

from ringfence.agents import HOOK_SOCKET, AgentRequest, AgentSetup, HostDisk, detect, hook_wire
from ringfence.agents.hook_answer import allowed
from ringfence.model.shown import PlacedFile

PARTS = ("nothing", "socket", "client", "interpreter", "answer", "deadline")
"""What is broken; `nothing` is the proof that the call would run."""


async def main(agent: str, part: str, place: Path, programs: Path) -> None:
    """Run the agent once."""
    async with ScriptedModel([(Shell("echo ran > ran.txt"),), (Say("done"),)]) as model:
        environ = _environment(place, model)
        setup = _prepare(agent, part, place, programs, environ)
        _place(setup, part)
        listener = _listener(part)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(_serve(listener, agent, part))
            process = await asyncio.create_subprocess_exec(
                *setup.argv,
                cwd=place / "workspace",
                env={**environ, **dict(setup.set)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            async with asyncio.timeout(SECONDS):
                await process.wait()
            serving.cancel()
        print("\n".join(model.tool_results()))


def _environment(place: Path, model: ScriptedModel) -> dict[str, str]:
    home = place / "home"
    (home / ".codex").mkdir(parents=True)
    (home / ".codex" / "config.toml").write_text(CODEX_CONFIG.format(port=model.port, model="gpt-5.5"))
    (place / "workspace").mkdir()
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(home),
        "SCRIPTED_KEY": "k",
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_BASE_URL": model.url,
        "CLAUDE_CODE_TMPDIR": str(place),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1",
    }


def _prepare(agent: str, part: str, place: Path, programs: Path, environ: dict[str, str]) -> AgentSetup:
    words = ("exec", "--skip-git-repo-check", "go on") if agent == "codex" else ("-p", "go on")
    argv = (str(programs / agent), *words)
    request = AgentRequest(
        argv=argv,
        environ=environ,
        home=str(place / "home"),
        workspace=str(place / "workspace"),
        session="s",
        interpreter="/nonexistent/python" if part == "interpreter" else os.path.realpath(sys.executable),
        answer_seconds=1 if part == "deadline" else 20,
    )
    return detect(argv, environ, str(place / "home"), str(place / "workspace")).prepare(request, HostDisk())


def _place(setup: AgentSetup, part: str) -> None:
    for folder in ("/run", "/mnt"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    layers = "lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work"
    for folder in ("/mnt/upper", "/mnt/work", "/run/ringfence"):
        os.mkdir(folder)
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, "/etc"], check=True)
    for folder in ("/etc/codex", "/etc/claude-code"):
        if os.path.isdir(folder):  # the machine's own, which only its root could write to
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    for file in setup.files:
        if part == "client" and file.path.endswith("hook.py"):
            continue
        os.makedirs(os.path.dirname(file.path), exist_ok=True)
        Path(file.path).write_bytes(_only_before_tools(file))


def _only_before_tools(file: PlacedFile) -> bytes:
    """The file without the other hooks: the one on the prompt would stop the agent before its tool call."""
    if file.path.endswith("managed-settings.json"):
        settings = json.loads(file.content)
        settings["hooks"] = {"PreToolUse": settings["hooks"]["PreToolUse"]}
        return json.dumps(settings).encode()
    if file.path.endswith("requirements.toml"):
        document = tomlkit.parse(file.content)
        for event in ("PostToolUse", "UserPromptSubmit", "SessionStart"):
            del document["hooks"][event]  # type: ignore[union-attr]
        return tomlkit.dumps(document).encode()
    return file.content


def _listener(part: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    if part != "socket":
        listener.bind(HOOK_SOCKET)
        listener.listen()
    listener.setblocking(False)
    return listener


async def _serve(listener: socket.socket, agent: str, part: str) -> None:
    if part == "socket":
        return
    allowance = hook_wire.answer(allowed("PreToolUse", say_so=agent == "claude"))
    answers = {"nothing": allowance, "answer": b"HTTP/1.1 200 OK\r\n\r\n", "deadline": b""}
    loop = asyncio.get_running_loop()
    waiting = []
    while True:
        connection, _ = await loop.sock_accept(listener)
        await loop.sock_sendall(connection, answers.get(part, b""))
        waiting.append(connection)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
