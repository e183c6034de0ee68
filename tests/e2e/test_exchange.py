"""Imported and native settings against the real agents: they read what we write, and decide as we said they would."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agents.exchange import agents_matching
from tests.agents.exchange.importing import Judge, rules
from tests.agents.exchange.test_native import POLICY, content, made
from tests.e2e.installed import SETTINGS_VERSIONS, Unavailable, installed_agents
from tests.e2e.place import Place, made_place
from tests.scripted_model import Say, ScriptedModel, Shell

from ringfence.agents.exchange.native import NativeAgent
from ringfence.agents.exchange.native_agents import native_settings
from ringfence.model.decision import Verdict
from ringfence.policy.sections.settings import PRESETS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

HERE = Path(__file__).parent
STRICTNESS = {"allow": 0, "prompt": 1, "forbidden": 2}
WITH_ETC = (
    "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work; "
    "mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc; "
    'mkdir -p "$(dirname "$2")"; cp "$1" "$2"; shift 2; exec "$@"'
)
"""Runs a program that sees one more file in /etc: the file, its place, and the program follow."""

RULES = """
prefix_rule(pattern = ["git", ["push", "send-email"]], decision = "prompt", match = ["git push x"])
prefix_rule(pattern = ["git", "push", "--force"], decision = "forbidden", not_match = ["git push"])
prefix_rule(pattern = ["git", ["status", "log"]], decision = "allow")
[prefix_rule(pattern = [tool, ["delete", "apply"]], decision = "forbidden") for tool in ["kubectl", "oc"]]
prefix_rule(pattern = ["rm", "-rf"], decision = "forbidden")
prefix_rule(pattern = ["/opt/x/tool"], decision = "forbidden")
"""
WORDS = ["push", "log", "status", "--force", "-rf", "delete", "x"]
PROGRAMS = ["git", "kubectl", "oc", "rm", "/opt/x/tool", "/usr/bin/git", "ls"]


@pytest.fixture(scope="module")
def codex(programs: Path) -> Path:
    """The program itself, without the launcher, which needs a quarter of a second."""
    return next((programs.parent / "@openai").glob("codex-linux-*/vendor/*/bin/codex"))


@pytest.fixture(scope="module")
def others() -> Path:
    """The folder of packages with Gemini CLI and opencode."""
    try:
        return installed_agents(SETTINGS_VERSIONS).parent
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def place(programs: Path) -> Iterator[Place]:
    if os.getuid() != 0:
        pytest.skip("only root can show an agent another /etc")
    with made_place(programs, 0) as found:
        yield found


def test_imported_rules_are_never_looser_than_what_codex_decides(codex: Path, tmp_path: Path) -> None:
    (tmp_path / "a.rules").write_text(RULES)
    judge = Judge(rules(RULES))
    commands = [[program, *rest] for program in PROGRAMS for rest in _some_words()]

    looser = []
    for argv in commands:
        theirs = STRICTNESS.get(_codex_decides(codex, tmp_path / "a.rules", argv), 0)
        if judge.command(shlex.join(argv)).strictness < theirs:
            looser.append(argv)

    assert looser == []
    assert len(commands) > 300


def _some_words() -> list[list[str]]:
    return [[], *([one] for one in WORDS), *([one, other] for one in WORDS for other in WORDS)]


def _codex_decides(codex: Path, file: Path, argv: list[str]) -> str:
    done = subprocess.run(
        [str(codex), "execpolicy", "check", "--rules", str(file), "--", *argv],
        capture_output=True,
        check=True,
        text=True,
    )
    return str(json.loads(done.stdout).get("decision", "allow"))


@pytest.mark.parametrize("name", PRESETS)
def test_codex_reads_the_rules_and_decides_what_they_say(codex: Path, tmp_path: Path, name: str) -> None:
    policy = made(POLICY, name)
    (tmp_path / "a.rules").write_text(content(native_settings(NativeAgent.CODEX, policy), "ringfence.rules"))

    words = {Verdict.ASK: "prompt", Verdict.DENY: "forbidden"}
    for rule in policy.commands.rules:
        if rule.prefix and rule.verdict in words:
            decided = _codex_decides(codex, tmp_path / "a.rules", [one[0] for one in rule.prefix])
            assert STRICTNESS[decided] >= STRICTNESS[words[rule.verdict]], rule.id


@pytest.mark.parametrize("name", PRESETS)
def test_codex_takes_the_requirements(codex: Path, place: Place, tmp_path: Path, name: str) -> None:
    found = native_settings(NativeAgent.CODEX, made(POLICY, name))
    done = _with_file(found, "requirements.toml", tmp_path, place, [str(codex), "app-server", "--print-startup-config"])

    taken = json.loads(done.stdout)["configRequirements"]["requirements"]
    assert (taken["defaultPermissions"], taken["allowedPermissionProfiles"]) == ("ringfence", {"ringfence": True})
    assert taken["network"]["domains"] == {"api.test": "allow", "*.cdn.test": "allow", "evil.test": "deny"}
    assert taken["network"]["managedAllowedDomainsOnly"] is True


def test_codex_holds_the_paths_of_the_policy(codex: Path, place: Place, tmp_path: Path) -> None:
    extra = f'[filesystem]\nread = ["{codex.parents[1]}"]\nwrite = ["~/out"]\ndeny = ["~/out/no", "**/*.key"]\n'
    found = native_settings(NativeAgent.CODEX, made(extra))
    for path in (place.home / "out" / "no" / "x", place.workspace / "a.key", place.workspace / "a", place.home / "own"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("content\n")

    def tried(command: str) -> bool:
        argv = [str(codex), "sandbox", "-P", "ringfence", "--include-managed-config", "--", "sh", "-c", command]
        return _with_file(found, "requirements.toml", tmp_path, place, argv).returncode == 0

    assert tried("cat a && touch new && touch ~/out/new")
    assert not tried("cat a.key")
    assert not tried("cat ~/out/no/x")
    assert not tried("cat ~/.ssh/id_test")
    assert not tried("cat ~/own")


COMMANDS = ["deploy prod", "/x/deploy -v prod", "wipe disk x -xf", "sudo ls", "deploy test"]
FILES = ["a/b.key", ".env", "src/x.py", "private/x"]
CALLS: list[tuple[str, dict[str, Any]]] = [
    *(("run_shell_command", {"command": command}) for command in COMMANDS),
    *(("read_file", {"file_path": file}) for file in FILES),
]


def test_gemini_takes_every_rule_and_decides_as_said(others: Path, tmp_path: Path) -> None:
    policies = {
        name: content(native_settings(NativeAgent.GEMINI, made(POLICY, name)), "ringfence.toml") for name in PRESETS
    }
    hidden = ("run_shell_command", {"command": "true && deploy prod"})

    answers = _gemini(others, tmp_path, policies, [*CALLS, hidden])

    said = {
        name: [agents_matching.gemini(policy, tool, arguments) or "ask_user" for tool, arguments in CALLS]
        for name, policy in policies.items()
    }
    assert answers == {name: {"errors": [], "decisions": [*decisions, "deny"]} for name, decisions in said.items()}
    assert [decisions[:3] for decisions in said.values()] == [["deny"] * 3] * len(PRESETS)


def _gemini(
    others: Path, folder: Path, policies: dict[str, str], calls: list[tuple[str, dict[str, Any]]]
) -> dict[str, dict[str, Any]]:
    """What it decides about some calls by each policy, and what it finds wrong with it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("`node` is not on PATH")
    asked = []
    for name, policy in policies.items():
        (folder / name).mkdir()
        (folder / name / "ringfence.toml").write_text(policy)
        named = [{"name": tool, "args": arguments} for tool, arguments in calls]
        asked.append({"folder": str(folder / name), "calls": named})
    done = subprocess.run(
        [node, str(HERE / "gemini_decides.mjs"), str(others / "@google" / "gemini-cli" / "bundle")],
        input=json.dumps(asked),
        capture_output=True,
        check=True,
        text=True,
    )
    return dict(zip(policies, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", PRESETS)
def test_opencode_takes_every_permission_in_our_order(others: Path, place: Place, tmp_path: Path, name: str) -> None:
    found = native_settings(NativeAgent.OPENCODE, made(POLICY, name))
    program = next(others.glob("opencode-linux-*/bin/opencode"))

    done = _with_file(found, "opencode.json", tmp_path, place, [str(program), "debug", "agent", "build"])

    taken = json.loads(done.stdout)["permission"]
    ours: dict[str, Any] = json.loads(content(found, "opencode.json"))["permission"]
    for permission in ("bash", "read", "edit"):
        rows = [(one["pattern"], one["action"]) for one in taken if one["permission"] == permission]
        wanted = [(re.sub("^~", str(place.home), pattern), action) for pattern, action in ours[permission].items()]
        assert rows[-len(wanted) :] == wanted


def test_claude_code_decides_as_said(programs: Path, place: Place, tmp_path: Path) -> None:
    """With its sandbox off, because that is not installed everywhere: this is about its rules."""
    found = native_settings(NativeAgent.CLAUDE, made(POLICY))
    settings = json.loads(content(found, "managed-settings.json"))
    file = tmp_path / "managed-settings.json"
    file.write_text(json.dumps({**settings, "sandbox": {"enabled": False}}))
    (place.workspace / "a.key").write_text("SECRET-KEY\n")
    commands = ["echo fine", "deploy prod", "deploy -v prod", "git push", "git -C x push", "cat a.key", "git log -n1"]

    results = asyncio.run(_claude(programs, place, file, commands))

    held = ["permission" in result.lower() for result in results]
    assert dict(zip(commands, held, strict=True)) == {
        "echo fine": False,
        "deploy prod": True,
        "deploy -v prod": True,
        "git push": True,
        "git -C x push": True,
        "cat a.key": True,
        "git log -n1": False,
    }
    assert not any("SECRET-KEY" in result for result in results)


async def _claude(programs: Path, place: Place, file: Path, commands: list[str]) -> list[str]:
    turns = [*((Shell(command),) for command in commands), (Say("done"),)]
    async with ScriptedModel(turns) as scripted:
        argv = [str(programs / "claude"), "-p", "--allowedTools", "Bash", "--", "go on"]
        process = await asyncio.create_subprocess_exec(
            *_in_other_etc(file, "/etc/claude-code/managed-settings.json", argv),
            cwd=place.workspace,
            env=place._environment(scripted.port),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        async with asyncio.timeout(120):
            await process.communicate()
        return list(scripted.tool_results())


def _with_file(found: Any, name: str, folder: Path, place: Place, argv: list[str]) -> subprocess.CompletedProcess[str]:
    file = next(one for one in found.files if one.name == name)
    (folder / name).write_text(file.content)
    # A file, because one of the agents ends before a pipe has taken all that it prints.
    with (folder / "output").open("w+") as output:
        done = subprocess.run(
            _in_other_etc(folder / name, file.place, argv),
            cwd=place.workspace,
            env={**place._environment(0), "CODEX_HOME": str(place.home / ".codex")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        output.seek(0)
        return subprocess.CompletedProcess(argv, done.returncode, output.read(), done.stderr)


def _in_other_etc(file: Path, at: str, argv: list[str]) -> list[str]:
    return ["unshare", "-m", "sh", "-c", WITH_ETC, "sh", str(file), at, *argv]
