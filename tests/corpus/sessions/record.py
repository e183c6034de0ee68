"""Records the everyday sessions anew: `python -m tests.corpus.sessions.record [NAME ...]`.

Each task is done by the real agent from npm under `ringfence run`, with its model scripted, and what was decided is
read from the record of that session. Names of this machine are replaced, so that the files can be compared, and the
connections to the scripted model are left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.sessions.tasks import TASKS, Task
from tests.e2e.installed import VERSIONS, installed_agents
from tests.e2e.place import Place, made_place
from tests.scripted_model import Read, Say, Turn, Write
from tests.scripted_model.script import Step

FOLDER = Path(__file__).parent
_HOST = re.compile(r'"host": "[^"]*"')
PACKAGES = {"codex": "@openai/codex", "claude": "@anthropic-ai/claude-code"}


async def _record(task: Task, programs: Path) -> list[str]:
    with made_place(programs, os.getuid()) as place:
        _set_up(task, place)
        turns: list[Turn] = [*((_absolute(step, place),) for step in task.steps), (Say("Done."),)]
        outcome = await place.run(task.agent, turns, governed=True)
        if outcome.code != 0:
            raise SystemExit(f"{task.name}: {outcome.stderr}")
        events = place.events()
        version = json.loads(VERSIONS.read_text())[PACKAGES[task.agent]]
        about = {"task": task.name, "agent": task.agent, "version": version, "preset": "workspace"}
        return [json.dumps(about), *_lines(events, place)]


def _set_up(task: Task, place: Place) -> None:
    for name, text in task.files.items():
        path = place.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git = ("git", "-C", str(place.workspace))
    for words in (
        ("symbolic-ref", "HEAD", "refs/heads/main"),
        ("config", "user.name", "Dev"),
        ("config", "user.email", "dev@example.test"),
        ("add", "-A"),
        ("commit", "-qm", "Begin"),
    ):
        subprocess.run((*git, *words), check=True)


def _absolute(step: Step, place: Place) -> Step:
    match step:
        case Write(path, content):
            return Write(str(place.workspace / path), content)
        case Read(path):
            return Read(str(place.workspace / path))
    return step


def _lines(events: list[dict[str, object]], place: Place) -> Iterator[str]:
    for event in events:
        body = event["body"]
        assert isinstance(body, dict)
        if event["event"] == "decision" and not str(body["asked_by"]).startswith("gateway:host_port:"):
            decision = body["decision"]
            rules = [reason["rule"] for reason in decision["reasons"]]
            line = json.dumps(
                {
                    "asked_by": body["asked_by"],
                    "action": decision["action"],
                    "verdict": decision["verdict"],
                    "rules": rules,
                }
            )
            for real, shown in (
                (place.workspace, "/home/dev/project"),
                (place.home, "/home/dev"),
                (place.programs, "/usr/local/bin"),
                (place.programs.parent, "/usr/local/lib/node_modules"),
                (place.root, "/home"),
            ):
                line = line.replace(str(real), shown)
            # Which index a package manager is set up for is this machine's own affair.
            yield _HOST.sub('"host": "index.example"', line)


def main(names: list[str]) -> None:
    programs = installed_agents()
    for task in TASKS:
        if not names or task.name in names:
            lines = asyncio.run(_record(task, programs))
            (FOLDER / f"{task.name}.jsonl").write_text("\n".join(lines) + "\n")
            print(f"{task.name}: {len(lines) - 1} decisions")


if __name__ == "__main__":
    main(sys.argv[1:])
