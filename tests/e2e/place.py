"""A home, a workspace and a user for runs of a real agent, with and without Ringfence around it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.installed import place_folder
from tests.scripted_model import ScriptedModel, Turn

SOURCE = Path(__file__).parents[2] / "src"
NO_NAMESPACES = str(SOURCE / "ringfence" / "verify" / "no_namespaces.py")
UNPRIVILEGED = 54321
"""The user id of another user, which needs no account."""
SECONDS = 90

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
[features]
plugins = false
"""
FREE = {
    "codex": ["--dangerously-bypass-approvals-and-sandbox"],
    "claude": ["--dangerously-skip-permissions"],
}
"""What tells an agent to hold nothing back, for the runs without us."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    code: int
    stdout: str
    stderr: str
    results: tuple[str, ...]
    """What the agent told its model about each tool call."""


@dataclass(frozen=True)
class Place:
    """Folders of one user, and how an agent is run there."""

    root: Path
    programs: Path
    uid: int
    tier: str = "A"
    """In tier B the machine forbids namespaces, as a container does."""

    @property
    def home(self) -> Path:
        """The user's home, with a private key in it."""
        return self.root / "home"

    @property
    def workspace(self) -> Path:
        """A repository."""
        return self.root / "workspace"

    @property
    def outside(self) -> Path:
        """A folder of the same user that is none of the agent's business."""
        return self.root / "outside"

    async def run(
        self,
        agent: str,
        turns: Sequence[Turn],
        *,
        governed: bool,
        model: str = "gpt-5.5",
        policy: str = "",
        settings: str = "",
    ) -> Outcome:
        """Run an agent with a script for its model. `policy` is that of the user, for this run;
        `settings`: more lines for Codex's configuration."""
        with contextlib.ExitStack() as after:
            if policy:
                written = self.home / ".config" / "ringfence" / "policy.toml"
                written.parent.mkdir(parents=True, exist_ok=True)
                written.write_text(policy)
                after.callback(written.unlink)
            return await self._run(agent, turns, governed=governed, model=model, settings=settings)

    async def _run(self, agent: str, turns: Sequence[Turn], *, governed: bool, model: str, settings: str) -> Outcome:
        async with ScriptedModel(turns) as scripted:
            self._configure(scripted.port, model, settings)
            process = await asyncio.create_subprocess_exec(
                *self._argv(agent, governed=governed),
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
            results = tuple(scripted.tool_results())
        return Outcome(process.returncode or 0, stdout.decode(), stderr.decode(), results)

    def ringfence(self, *words: str) -> str:
        """What another command of ours prints, for the same user."""
        done = subprocess.run(
            [sys.executable, "-m", "ringfence", *words],
            cwd=self.workspace,
            env=self._environment(0),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            **self._identity(),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def events(self) -> list[dict[str, Any]]:
        """What stands in the record of the last session."""
        return [json.loads(line) for line in self.ringfence("log", "--json").splitlines()]

    def own(self) -> None:
        """Give everything to the user."""
        for path in (self.root, *self.root.rglob("*")):
            os.chown(path, self.uid, self.uid, follow_symlinks=False)

    def _argv(self, agent: str, *, governed: bool) -> list[str]:
        tier = ["--min-tier", self.tier]
        before = [sys.executable, "-m", "ringfence", "run", *tier, "--ask", "deny", "--"] if governed else []
        if governed and self.tier == "B":
            before = [sys.executable, NO_NAMESPACES, *before]
        words = ["exec", "--json"] if agent == "codex" else ["-p"]
        return [*before, str(self.programs / agent), *words, *([] if governed else FREE[agent]), "go on"]

    def _identity(self) -> dict[str, Any]:
        return {} if self.uid == os.getuid() else {"user": self.uid, "group": self.uid, "extra_groups": []}

    def _environment(self, port: int) -> dict[str, str]:
        # A proxy that nobody runs keeps an agent without us from talking to anybody but its model.
        return {
            "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": str(SOURCE),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "SCRIPTED_KEY": "scripted-key",
            "ANTHROPIC_API_KEY": "sk-ant-scripted",
            "ANTHROPIC_BASE_URL": f"http://127.0.0.1:{port}",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        }

    def _configure(self, port: int, model: str, settings: str) -> None:
        (self.home / ".codex" / "config.toml").write_text(CODEX_CONFIG.format(port=port, model=model) + settings)
        self.own()


@contextmanager
def made_place(programs: Path, uid: int) -> Iterator[Place]:
    """A place beside the agents: another user has to get there, and below /tmp nothing is outside."""
    root = Path(tempfile.mkdtemp(prefix="place-", dir=place_folder()))
    place = Place(root, programs, uid)
    try:
        for folder in (".ssh", ".codex/sessions", ".claude/projects"):
            (place.home / folder).mkdir(parents=True)
        (place.home / ".ssh" / "id_test").write_text("PRIVATE-KEY-OF-THE-TEST\n")
        (place.home / "diary.txt").write_text("DEAR-DIARY\n")
        (place.home / ".claude" / "settings.json").write_text("{}")
        place.workspace.mkdir()
        place.outside.mkdir()
        subprocess.run(["git", "init", "-q", str(place.workspace)], check=True)
        place.own()
        yield place
    finally:
        shutil.rmtree(root)
