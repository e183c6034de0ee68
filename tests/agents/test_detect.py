"""Which agent a command line starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.agents.disk import DictDisk

from ringfence.agents.agent import AgentRequest
from ringfence.agents.detect import detect
from ringfence.model.shown import Bind


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("codex",), "codex"),
        (("/opt/x/codex", "exec"), "codex"),
        (("node", "/opt/x/bin/codex.js"), "codex"),
        (("claude", "-p"), "claude"),
        (("/opt/claude.exe",), "claude"),
        (("gemini",), "gemini"),
        (("opencode",), "opencode"),
        (("copilot",), "copilot"),
        (("bash", "codex"), "generic"),
        (("node", "server.js"), "generic"),
        (("codex-like",), "generic"),
        (("node",), "generic"),
    ],
    ids=str,
)
def test_an_agent_is_known_by_its_program(argv: tuple[str, ...], name: str) -> None:
    assert detect(argv, {"PATH": "/nonexistent"}, "/h", "/w").name == name


def test_a_link_of_another_name_leads_to_the_agent(tmp_path: Path) -> None:
    program = tmp_path / "codex.js"
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "assistant").symlink_to(program)

    assert detect(("assistant",), {"PATH": str(tmp_path)}, "/h", "/w").name == "codex"


def request(*argv: str) -> AgentRequest:
    return AgentRequest(argv=argv, environ={}, home="/h", workspace="/w", session="s", interpreter="/usr/bin/python3")


def test_a_program_that_is_not_known_gets_what_asks_us_and_nothing_else() -> None:
    setup = detect(("bash",), {}, "/h", "/w").prepare(request("bash"), DictDisk())

    assert (setup.name, setup.argv, setup.hooks) == ("generic", ("bash",), False)
    assert (setup.keep, setup.binds, setup.destinations) == ((), (), ())
    assert [file.path for file in setup.files] == ["/run/ringfence/hook.py", "/run/ringfence/mcp.py"]


def test_an_agent_known_by_name_gets_its_row_and_says_what_is_missing() -> None:
    disk = DictDisk({"/h/.gemini/settings.json": b"{}"})

    setup = detect(("gemini",), {}, "/h", "/w").prepare(request("gemini"), disk)

    assert setup.binds == (Bind(source="/h/.gemini", target="/h/.gemini"),)
    assert "generativelanguage.googleapis.com:443" in setup.destinations
    assert "GEMINI_API_KEY" in setup.keep
    assert not setup.hooks
    assert "only those of servers of tools" in setup.notices[0]


def test_a_program_of_the_workspace_gets_no_login_whatever_it_is_called(tmp_path: Path) -> None:
    workspace = tmp_path.resolve() / "w"
    workspace.mkdir()
    (workspace / "claude").write_text("#!/bin/sh\n")
    (workspace / "claude").chmod(0o755)

    agent = detect((str(workspace / "claude"),), {}, "/h", str(workspace))
    setup = agent.prepare(request("claude"), DictDisk({"/h/.claude/.credentials.json": b"{}"}))

    assert (agent.name, setup.binds, setup.keep) == ("generic", (), ())
    assert "lies in the workspace" in setup.notices[0]
