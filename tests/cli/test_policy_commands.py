"""`ringfence policy` and `ringfence trust`, as one types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = "import sys; from ringfence.cli.entry import main; sys.exit(main())"


class Shell:
    """Runs `ringfence` in a project, in a home of its own."""

    def __init__(self, folder: Path) -> None:
        self.home, self.project = folder / "home", folder / "project"
        for one in (self.home, self.project):
            one.mkdir()

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environ = {"HOME": str(self.home), "PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", PROGRAM, *words]
        return subprocess.run(command, cwd=self.project, env=environ, input=stdin, capture_output=True, check=False)

    def json(self, *words: str) -> dict[str, object]:
        done = self("policy", "explain", "--json", *words)
        assert (done.returncode, done.stderr) == (0, b"")
        answer: dict[str, object] = json.loads(done.stdout)
        return answer


@pytest.fixture
def ringfence(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_explain_shows_verdict_rule_place_reason_and_next_step(ringfence: Shell) -> None:
    done = ringfence("policy", "explain", "--", "git", "push")

    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0
    assert lines[0] == "needs an answer: git push"
    assert "publish (preset:workspace, workspace.toml:" in lines[1]
    assert "publishes under your name" in lines[1]
    assert lines[2].startswith("  next    ")


@pytest.mark.parametrize(
    ("words", "verdict", "kind"),
    [
        (("--", "git", "push"), "ask", "command"),
        (("--", "ls", "--json"), "allow", "command"),
        (("--shell", "sudo ls"), "deny", "command"),
        (("--read", "~/.ssh/id_rsa"), "deny", "file"),
        (("--write", "src/x"), "allow", "file"),
        (("--connect", "x.test:22"), "ask", "connect"),
        (("--connect", "x.test", "--method", "get", "--path", "/a"), "ask", "connect"),
        (("--mcp", "server", "tool", '{"b": 1, "a": 2}'), "allow", "mcp"),
    ],
)
def test_each_kind_of_question_has_an_answer_in_json(
    ringfence: Shell, words: tuple[str, ...], verdict: str, kind: str
) -> None:
    answer = ringfence.json(*words)

    action = answer["action"]
    assert isinstance(action, dict)
    assert (answer["schema"], answer["verdict"], answer["placement"], action["kind"]) == (1, verdict, "inside", kind)
    assert str(action["digest"]).startswith("sha256:")
    assert answer["reasons"]


def test_a_stream_answers_each_line_and_never_stops_for_a_bad_one(ringfence: Shell) -> None:
    lines = [
        b'{"shell": "git push", "cwd": "/w"}',
        b"not json",
        b"[]",
        b'{"argv": []}',
        b'{"connect": "a b"}',
        b'{"shell": 3}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"shell": "' + b"x" * 1_100_000 + b'"}',
        b'{"connect": "x.test:443", "method": "GET"}',
        b'{"read": "/usr/bin/env"}',
        b'{"shell": "echo \\ud800"}',
        b'{"argv": ["ls"]}',
    ]

    done = ringfence("policy", "explain", "--stdin", stdin=b"\n".join(lines))

    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["verdict"] for answer in answers] == ["ask", *["deny"] * 8, "ask", "allow", "deny", "allow"]
    assert [index for index, answer in enumerate(answers) if "error" in answer] == [1, 2, 3, 4, 5, 6, 7, 8, 11]
    assert done.returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("explain",),
        ("explain", "--shell", "ls", "--", "ls"),
        ("explain", "--method", "GET", "--", "ls"),
        ("explain", "--mcp", "server"),
        ("explain", "--mcp", "server", "tool", "{"),
        ("explain", "--connect", "a b"),
        ("explain", "--no-such", "x"),
        ("nothing",),
        ("show", "--policy", "nothing"),
    ],
)
def test_wrong_usage_is_64_with_a_remedy(ringfence: Shell, words: tuple[str, ...]) -> None:
    done = ringfence("policy", *words)

    assert (done.returncode, done.stdout) == (64, b"")
    assert done.stderr


def test_check_lists_every_fault_of_every_file_and_leaves_with_78(ringfence: Shell) -> None:
    (ringfence.project / "a.toml").write_text("[network]\ndefalt = 'ask'\n")
    (ringfence.project / "b.toml").write_text("x = \n")

    done = ringfence("policy", "check", "a.toml", "b.toml", "c.toml")

    assert done.returncode == 78
    assert done.stderr.decode().splitlines() == [
        "a.toml:2:1: unknown key `defalt`; did you mean `default`?",
        "b.toml:1:5: not valid TOML: invalid value",
        "c.toml:1:1: there is no such file",
        "ringfence: nothing ran: the policy is invalid (3 faults)",
        "  what to do: correct the file and check it with `ringfence policy check`",
    ]


def test_check_without_files_checks_what_applies_here(ringfence: Shell) -> None:
    assert ringfence("policy", "check").returncode == 0

    (ringfence.project / "ringfence.toml").write_text("x = 1\n")
    assert ringfence("policy", "check").returncode == 78
    assert ringfence("policy", "explain", "--", "ls").returncode == 78


def test_show_says_who_wrote_each_value_and_what_does_not_apply(ringfence: Shell) -> None:
    (ringfence.project / "ringfence.toml").write_text("[filesystem]\nread = ['~/x']\ndeny = ['private']\n")

    text = ringfence("policy", "show", "--origin").stdout.decode()

    assert f"  deny   private  (project, {ringfence.project}/ringfence.toml:3)" in text
    assert "  deny   ~/.ssh  (preset:workspace, workspace.toml:" in text
    assert "`read` of `~/x` does not apply: an untrusted project only tightens" in text
    shown = json.loads(ringfence("policy", "show", "--json").stdout)
    assert (shown["schema"], shown["preset"]) == (1, "workspace")
    assert shown["origins"]["approvals.timeout_seconds"]["layer"] == "preset:workspace"
    assert [(one["what"], one["told"]) for one in shown["inactive"]] == [("`read` of `~/x`", True)]
    assert len(shown["notices"]) == 1


def test_a_preset_by_name_goes_below_your_own_rules_and_a_file_takes_their_place(ringfence: Shell) -> None:
    file = ringfence.project / "other.toml"
    file.write_text("extends = 'workspace'\n")
    own = ringfence.home / ".config" / "ringfence" / "policy.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[[network.rule]]\nhosts = ['mine.example']\nverdict = 'allow'\n")

    below = ringfence.json("--policy", "read-only", "--connect", "mine.example")
    instead = ringfence.json("--policy", str(file), "--connect", "mine.example")

    assert (below["verdict"], instead["verdict"]) == ("allow", "ask")


def test_trust_holds_until_the_content_changes_or_it_is_revoked(ringfence: Shell) -> None:
    path = ringfence.project / "ringfence.toml"
    path.write_text("[filesystem]\nread = ['/srv/x']\n")

    def verdict() -> object:
        return ringfence.json("--read", "/srv/x")["verdict"]

    assert verdict() == "deny"
    assert ringfence("trust").returncode == 0
    assert verdict() == "allow"
    path.write_text("[filesystem]\nread = ['/srv/x', '/srv/y']\n")
    assert verdict() == "deny"
    assert ringfence("trust", ".").returncode == 0
    assert verdict() == "allow"
    assert ringfence("trust", "--revoke").stdout == b"no longer trusted: %b only tightens from now on\n" % bytes(path)
    assert ringfence("trust", "--revoke").stdout == b"not trusted before either: %b only tightens\n" % bytes(path)
    assert verdict() == "deny"


def test_an_invalid_or_missing_project_policy_is_not_trusted(ringfence: Shell) -> None:
    assert ringfence("trust").returncode == 64

    (ringfence.project / "ringfence.toml").write_text("x = 1")
    assert ringfence("trust").returncode == 78


def test_test_runs_the_entries_and_fails_where_a_verdict_differs(ringfence: Shell) -> None:
    path = ringfence.project / "ringfence.toml"
    path.write_text(
        "[[commands.rule]]\nid = 'mine'\nprefix = ['x']\nverdict = 'deny'\n"
        "[[test]]\nshell = 'git push'\nexpect = 'ask'\n"
        "[[test]]\nargv = ['ls', '-l']\nexpect = 'allow'\n"
        "[[test]]\nconnect = 'x.test:443'\nmethod = 'GET'\npath = '/a'\nexpect = 'ask'\n"
    )

    done = ringfence("policy", "test")
    assert done.returncode == 0
    assert done.stdout.decode().startswith("3 of 3 tests passed; ")
    assert "no test  command rule `mine`" in done.stdout.decode()

    path.write_text("[[test]]\nread = '/w/x'\nexpect = 'allow'\n")
    failed = ringfence("policy", "test", "--json")
    assert failed.returncode == 1
    assert json.loads(failed.stdout.splitlines()[0])["verdict"] == "deny"


def test_invisible_characters_are_shown_escaped(ringfence: Shell) -> None:
    text = ringfence("policy", "explain", "--shell", "ls \x1b]0;x\x07 \u202e").stdout.decode()

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\u202e" in text


def test_a_workspace_that_does_not_exist_is_refused_as_a_run_would_be(ringfence: Shell) -> None:
    done = ringfence("policy", "show", "--workspace", "/nonexistent")

    assert (done.returncode, done.stdout) == (125, b"")
    assert b"does not exist" in done.stderr


def test_show_says_who_has_to_answer(ringfence: Shell) -> None:
    text = """
[approvals]
self_approval = false
delegate = "low"
[approvals.reviewer]
kind = "features"
[[approvals.quorum]]
who = ["@security"]
approve = 2
risk = "high"
rules = ["publish"]
[[approvals.step]]
who = [":owner"]
[[approvals.step]]
who = ["@ops"]
after_seconds = 60
"""
    (ringfence.project / "own.toml").write_text(text)

    shown = ringfence("policy", "show", "--policy", "own.toml").stdout.decode()

    for line in (
        "whoever runs a session does not approve it",
        "2 of @security have to approve for publish, from high risk, by account or better",
        "asked after 0 seconds: :owner",
        "asked after 60 seconds: @ops",
        "a reviewer (features) may allow low risk at most",
        "`--ask delegated` leaves questions to the agent's own prompt up to low risk",
    ):
        assert line in shown


LED = """
[[mcp.server]]
name = "files"
command = ["npx", "-y", "@acme/files@1.2.3"]
tools = ["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"]

[model]
models = ["gpt-5*"]
[[model.route]]
hosts = ["api.openai.com"]
url = "https://models.corp.example/openai"

[[network.rule]]
hosts = ["models.corp.example"]
methods = ["POST"]
paths = ["/openai/**"]
verdict = "allow"
"""


def test_a_server_that_the_policy_describes_is_taken_to_be_that_one(ringfence: Shell) -> None:
    (ringfence.project / "p.toml").write_text(LED)

    told = ringfence("policy", "explain", "--policy", "p.toml", "--mcp", "Files", "read")
    asked = b'{"mcp": "files", "tool": "read"}\n{"mcp": "others", "tool": "read"}\n'
    streamed = ringfence("policy", "explain", "--policy", "p.toml", "--stdin", stdin=asked)

    lines = told.stdout.decode().splitlines()
    assert lines[0] == "allowed: read of MCP server Files"
    assert lines[2] == (
        "  taken   as if `files` were what the policy says: npx -y @acme/files@1.2.3, with a list of tools that it "
        "names; another one is denied"
    )
    assert [json.loads(line)["verdict"] for line in streamed.stdout.splitlines()] == ["allow", "allow"]


def test_a_request_to_a_model_is_judged_where_a_route_leads_it(ringfence: Shell) -> None:
    (ringfence.project / "p.toml").write_text(LED)
    words = ("policy", "explain", "--policy", "p.toml", "--connect", "api.openai.com", "--method", "POST", "--path")

    led = ringfence(*words, "/v1/responses", "--model", "gpt-5").stdout.decode().splitlines()
    other = ringfence(*words, "/v1/responses", "--model", "gpt-4").stdout.decode().splitlines()

    assert led[0] == "allowed: POST /openai/responses on models.corp.example:443"
    assert "  taken   requests to models at `api.openai.com` are led to https://models.corp.example/openai" in led
    assert other[0] == "denied: POST /openai/responses on models.corp.example:443"
    assert "model.models" in other[1]


def test_tests_see_described_servers_and_routes_as_a_session_does(ringfence: Shell) -> None:
    (ringfence.project / "p.toml").write_text(
        LED + "[[test]]\nmcp = 'files'\ntool = 'read'\nexpect = 'allow'\n"
        "[[test]]\nconnect = 'api.openai.com'\nmethod = 'POST'\npath = '/v1/responses'\nmodel = 'gpt-5'\n"
        "expect = 'allow'\n"
    )

    done = ringfence("policy", "test", "--policy", "p.toml")

    assert done.stdout.decode().startswith("2 of 2 tests passed; "), done.stderr


def test_a_budget_of_money_without_any_price_is_told(ringfence: Shell) -> None:
    (ringfence.home / ".config" / "ringfence").mkdir(parents=True)
    path = ringfence.home / ".config" / "ringfence" / "policy.toml"
    path.write_text("[model]\nbudget_cost = 5.0\n")

    named = ringfence("policy", "check", str(path))
    here = ringfence("policy", "check")
    path.write_text(path.read_text() + "[[model.price]]\nmodels = ['*']\ninput = 1\noutput = 1\n")
    priced = ringfence("policy", "check")

    place = f"`model.budget_cost` ({path}:2)".encode()
    assert (named.returncode, named.stderr) == (
        0,
        b"ringfence: note: " + place + b" has no `[[model.price]]` beside it: where no other file that counts has one, "
        b"every request to a model is denied\n",
    )
    assert (here.returncode, here.stderr) == (
        0,
        b"ringfence: note: " + place + b" denies every request to a model: no `[[model.price]]` that counts says what "
        b"one costs\n",
    )
    assert (priced.returncode, priced.stderr) == (0, b"")
