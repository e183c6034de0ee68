"""A home, a workspace and a user for one run of a real agent, with and without Ringfence around it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.scripted_model import ScriptedModel, Turn

SOURCE = Path(__file__).parents[2] / "src"
UNPRIVILEGED = 54321
SECONDS = 60

CODEX_CONFIG = """
model = "{model}"
model_provider = "scripted"
check_for_update_on_startup = false
[model_providers.scripted]
name = "scripted"
base_url = "http://127.0.0.1:{port}/v1"
env_key = "SCRIPTED_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
[analytics]
enabled = false
"""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    code: int
    stdout: str
    stderr: str
    results: tuple[str, ...]
    """What the agent told its model about each tool call."""
    prompts: int
    """How many requests reached the model."""


@dataclass
class Place:
    """Folders of one user, and how an agent is run there."""

    root: Path
    programs: Path
    uid: int
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    async def run(
        self, agent: str, turns: Sequence[Turn], *, governed: bool, options: Sequence[str] = (), model: str = "gpt-5.5"
    ) -> Outcome:
        """Run an agent with a script for its model."""
        async with ScriptedModel(turns) as scripted:
            self._configure(scripted.port, model)
            argv = self._argv(agent, options, governed=governed)
            process = await asyncio.create_subprocess_exec(
                *argv,
                cwd=self.workspace,
                env=self._environment(scripted.port),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                **self._identity(),
            )
            try:
                async with asyncio.timeout(SECONDS):
                    stdout, stderr = await process.communicate()
            except BaseException:
                process.kill()
                await process.communicate()
                raise
            return Outcome(
                process.returncode or 0,
                stdout.decode(),
                stderr.decode(),
                tuple(scripted.tool_results()),
                len(scripted.requests),
            )

    def ringfence(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command of ours, as the same user."""
        return subprocess.run(
            [sys.executable, "-m", "ringfence", *words],
            cwd=self.workspace,
            env=self._environment(0),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            **self._identity(),
        )

    def events(self) -> list[dict[str, object]]:
        """What stands in the record of the last session."""
        done = self.ringfence("log", "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _argv(self, agent: str, options: Sequence[str], *, governed: bool) -> list[str]:
        before = [sys.executable, "-m", "ringfence", "run", "--ask", "deny", *options, "--"] if governed else []
        return [*before, str(self.programs / agent), *_words(agent, governed=governed)]

    def _identity(self) -> dict[str, object]:
        return {} if self.uid == os.getuid() else {"user": self.uid, "group": self.uid, "extra_groups": []}

    def _environment(self, port: int) -> dict[str, str]:
        return {
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "SCRIPTED_KEY": "scripted-key",
            "ANTHROPIC_API_KEY": "sk-ant-scripted",
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            **self.environ,
        }

    def _configure(self, port: int, model: str) -> None:
        config = self.home / ".codex" / "config.toml"
        config.parent.mkdir(exist_ok=True)
        config.write_text(CODEX_CONFIG.format(port=port, model=model))
        self.own()

    def own(self) -> None:
        """Give everything to the user."""
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, self.uid, self.uid, follow_symlinks=False)


def _words(agent: str, *, governed: bool) -> list[str]:
    """The agent's own arguments; without us around it, it is told to hold nothing back."""
    if agent == "codex":
        return ["exec", "--json", *([] if governed else ["--dangerously-bypass-approvals-and-sandbox"]), "go on"]
    return ["-p", "go on", *([] if governed else ["--dangerously-skip-permissions"])]


@contextmanager
def made_place(programs: Path, uid: int) -> Iterator[Place]:
    """A place below /var/tmp: another user has to get there, and Codex mistrusts settings below /tmp."""
    root = Path(tempfile.mkdtemp(prefix="ringfence-e2e-", dir="/var/tmp"))
    place = Place(root, programs, uid)
    try:
        for folder in (place.home / ".ssh", place.home / ".codex" / "sessions", place.workspace, place.outside):
            folder.mkdir(parents=True)
        (place.home / ".ssh" / "id_test").write_text("PRIVATE-KEY-OF-THE-TEST\n")
        subprocess.run(["git", "init", "-q", str(place.workspace)], check=True)
        place.own()
        yield place
    finally:
        shutil.rmtree(root)
