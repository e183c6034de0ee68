"""`ringfence policy import` and `ringfence policy native`, as one types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.test_policy_commands import Shell

pytestmark = pytest.mark.slow

RULES = 'prefix_rule(pattern = ["git", "push"], decision = "forbidden", justification = "no", match = ["git push x"])\n'
SETTINGS = {"permissions": {"deny": ["Bash(curl:*)", "WebSearch"], "allow": ["Bash(npm test)"]}, "model": "opus"}


@pytest.fixture
def ringfence(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    (shell.project / "default.rules").write_text(RULES)
    (shell.project / "config.toml").write_text('sandbox_mode = "workspace-write"\nmodel = "m"\n')
    (shell.project / "settings.json").write_text(json.dumps(SETTINGS, indent=1))
    return shell


def test_an_imported_policy_is_valid_and_decides(ringfence: Shell) -> None:
    done = ringfence("policy", "import", "--from", "codex", "config.toml", "default.rules", "-o", "mine.toml")
    checked = ringfence("policy", "check", "mine.toml")
    answer = ringfence.json("--policy", "mine.toml", "--", "git", "push", "x")

    assert (done.returncode, done.stdout, checked.returncode) == (0, b"", 0)
    assert (answer["verdict"], answer["reasons"][0]["source"]) == ("deny", "mine.toml:7")  # type: ignore[index]


def test_the_policy_is_on_standard_output_and_what_does_not_fit_on_standard_error(ringfence: Shell) -> None:
    done = ringfence("policy", "import", "--from", "claude", "settings.json")

    assert done.returncode == 0
    assert b'prefix = ["curl"]' in done.stdout
    assert done.stderr.decode().splitlines() == [
        "NOT carried over, and it held the agent back (1):",
        "  settings.json:5  deny `WebSearch`: web search runs at the vendor; keep this in Claude Code",
        "not carried over (1):",
        "  settings.json:11  model: about Claude Code itself, not about what it may do; "
        "Ringfence leaves it to Claude Code",
    ]


def test_json_has_the_policy_and_all_that_was_left_out(ringfence: Shell) -> None:
    done = ringfence("policy", "import", "--json", "--from", "claude", "settings.json")

    answer = json.loads(done.stdout)
    assert (answer["schema"], answer["agent"], done.stderr) == (1, "claude", b"")
    assert [(one["item"], one["restricts"]) for one in answer["unmapped"]] == [
        ("deny `WebSearch`", True),
        ("model", False),
    ]


def test_no_file_is_written_over(ringfence: Shell) -> None:
    imported = ringfence("policy", "import", "--from", "codex", "config.toml", "-o", "default.rules")
    made = ringfence("policy", "native", "--for", "codex", "--out", ".")
    again = (ringfence.project / "default.rules").read_text(), (ringfence.project / "config.toml").read_text()

    assert (imported.returncode, made.returncode) == (64, 64)
    assert b"`default.rules` is there already" in imported.stderr
    assert b"`./config.toml`: there already" in made.stderr
    assert again[0] == RULES
    assert not (ringfence.project / "requirements.toml").exists()


def test_faults_of_the_agents_files_have_their_places_and_nothing_is_printed(ringfence: Shell) -> None:
    (ringfence.project / "bad.rules").write_text("prefix_rule(pattern = [])\nprefix_rule()\n")

    done = ringfence("policy", "import", "--from", "codex", "bad.rules", "missing.toml")
    both = ringfence("policy", "import", "--from", "codex", "bad.rules")

    assert (done.returncode, both.returncode, both.stdout) == (78, 78, b"")
    assert done.stderr.startswith(b"missing.toml:1:1: there is no such file\n")
    assert [line.split(":")[:2] for line in both.stderr.decode().splitlines()[:2]] == [
        ["bad.rules", "1"],
        ["bad.rules", "2"],
    ]


@pytest.mark.parametrize(
    ("agent", "files"),
    [
        ("codex", ["requirements.toml", "ringfence.rules", "config.toml"]),
        ("claude", ["managed-settings.json"]),
        ("gemini", ["settings.json", "ringfence.toml"]),
        ("opencode", ["opencode.json"]),
    ],
)
def test_managed_settings_are_written_and_told(ringfence: Shell, agent: str, files: list[str]) -> None:
    done = ringfence("policy", "native", "--for", agent, "--out", "made")
    printed = ringfence("policy", "native", "--json", "--for", agent)

    answer = json.loads(printed.stdout)
    assert done.returncode == 0
    assert sorted(path.name for path in (ringfence.project / "made").iterdir()) == sorted(files)
    assert [file["name"] for file in answer["files"]] == files
    assert f"written: made/{files[0]}; {agent} reads it at /etc/" in done.stderr.decode()
    assert {"unmapped", "stricter", "limits", "written"} <= set(answer)


def test_one_file_is_printed_as_it_is_and_several_below_their_places(ringfence: Shell) -> None:
    one = ringfence("policy", "native", "--for", "claude", "--policy", "read-only")
    several = ringfence("policy", "native", "--for", "gemini")

    assert "permissions" in json.loads(one.stdout)
    assert several.stdout.startswith(b"==> /etc/gemini-cli/settings.json <==\n")


@pytest.mark.parametrize(
    "words",
    [("import", "config.toml"), ("import", "--from", "gemini", "x"), ("native",), ("native", "--for", "vim")],
)
def test_wrong_words_are_wrong_usage(ringfence: Shell, words: tuple[str, ...]) -> None:
    done = ringfence("policy", *words)

    assert done.returncode == 64
    assert done.stderr.startswith(b"usage: ringfence policy")
