"""Commands with a plan of their own, and every way to get a wider plan that is not one's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

import ringfence
from ringfence.model.action import CommandAction, ConnectAction
from ringfence.model.decision import Placement, Verdict
from ringfence.model.event import DecisionMade, NoticeGiven
from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.probe import require
from ringfence.session.command_plans import Plans
from ringfence.session.sources import places
from ringfence.telemetry.reader import LedgerReader, Wanted

pytestmark = pytest.mark.slow

SECRET = "only the profile sees this"
POLICY = """
[[commands.profile]]
id = "git-remote"
prefix = ["git", ["config", "push", "version", "status", "log"]]
write = ["~/keys"]
keep = ["MY_TOKEN"]
reason = "pushes with a token"

[[commands.profile]]
id = "quiet"
prefix = ["cat"]
deny = ["**/hidden.txt"]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "project").mkdir(parents=True)
    (home / "keys").mkdir()
    (home / "keys" / "config").write_text(f"[secret]\n\tvalue = {SECRET}\n")
    (home / ".config" / "ringfence").mkdir(parents=True)
    (home / ".config" / "ringfence" / "policy.toml").write_text(POLICY)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("MY_TOKEN", "t-123")
    monkeypatch.setenv("PATH", f"{home}/project/bin:/usr/local/bin:/usr/bin:/bin")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    subprocess.run(["/usr/bin/git", "init", "-q", str(home / "project")], check=True)
    return home / "project"


@pytest.fixture
async def session(project: Path) -> AsyncIterator[ringfence.Session]:
    async with ringfence.Session(workspace=project) as session:
        yield session


def reading(project: Path) -> list[str]:
    """What reads the file that only the profile shows."""
    return ["git", "config", "-f", str(project.parent / "keys" / "config"), "secret.value"]


async def test_a_command_with_a_profile_sees_what_the_others_do_not(session: ringfence.Session, project: Path) -> None:
    inside = await session.exec(["cat", str(project.parent / "keys" / "config")])
    own = await session.exec(reading(project))

    assert (inside.exit_code, SECRET in inside.stdout) == (1, False)
    assert (own.exit_code, own.stdout) == (0, f"{SECRET}\n")
    assert [reason.rule for reason in own.decision.reasons if reason.rule.startswith("profile.")] == [
        "profile.git-remote"
    ]


async def test_a_profile_takes_away_as_well(session: ringfence.Session, project: Path) -> None:
    (project / "hidden.txt").write_text("x")

    assert (await session.exec(["cat", "hidden.txt"])).denied
    assert (await session.exec(["head", "hidden.txt"])).stdout == "x"


async def test_another_program_of_that_name_has_the_plan_of_every_other_command(
    session: ringfence.Session, project: Path
) -> None:
    steal = f"#!/bin/sh\ncat {project.parent}/keys/config; echo token=$MY_TOKEN\n"
    for place in (project / "git", project / "bin" / "git"):
        place.parent.mkdir(exist_ok=True)
        place.write_text(steal)
        place.chmod(0o755)

    for words in (["./git", "status"], [str(project / "git"), "status"], ["git", "status"], ["bin/git", "log"]):
        result = await session.exec(words)
        assert (SECRET in result.stdout, "t-123" in result.stdout) == (False, False), words
        assert result.denied or "token=" in result.stdout
        assert not any(reason.rule.startswith("profile.") for reason in result.decision.reasons)


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (["git", "push", "--receive-pack=./evil", "."], {}),
        (["git", "push", "--exec", "./evil", "."], {}),
        (["git", "push", "ext::./evil"], {}),
        (["git", "config", "core.fsmonitor", "./evil"], {}),
        (["git", "status"], {"GIT_SSH_COMMAND": "./evil"}),
        (["git", "status"], {"GIT_EXEC_PATH": "."}),
        (["git", "status"], {"GIT_DIR": "evil.git"}),
        (["git", "status"], {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": "x"}),
        (["git", "status"], {"LD_PRELOAD": "./evil.so"}),
        (["git", "status"], {"NODE_OPTIONS": "--require ./evil"}),
        (["git", "status"], {"HOME": "."}),
    ],
)
async def test_what_would_make_the_program_do_other_work_is_denied(
    session: ringfence.Session, project: Path, words: list[str], variables: dict[str, str]
) -> None:
    result = await session.exec(words, env=variables)

    assert result.denied
    assert any(
        reason.rule == "profile.git-remote" and reason.verdict is Verdict.DENY for reason in result.decision.reasons
    )


@pytest.mark.parametrize(
    "words",
    [
        ["git", "-c", "core.fsmonitor=./evil", "status"],
        ["git", "-C", "evil", "status"],
        ["git", "--exec-path=.", "status"],
        ["git", "--git-dir=evil.git", "status"],
        ["env", "git", "status"],
        ["sh", "-c", "git status"],
    ],
)
async def test_words_before_those_of_the_profile_are_another_command(
    session: ringfence.Session, project: Path, words: list[str]
) -> None:
    (project / "evil").write_text(f"#!/bin/sh\ncat {project.parent}/keys/config >&2\n")
    (project / "evil").chmod(0o755)

    result = await session.exec(words)

    assert not any(reason.rule.startswith("profile.") for reason in result.decision.reasons)
    assert SECRET not in result.stdout + result.stderr


async def test_a_repository_that_was_made_inside_does_not_run_its_settings_in_a_wider_plan(
    session: ringfence.Session, project: Path
) -> None:
    # As whoever runs inside can: a folder and files of the workspace, made while the session is open.
    subprocess.run(["/usr/bin/git", "init", "-q", str(project / "sub")], check=True)
    (project / "sub" / "evil").write_text(f"#!/bin/sh\ncat {project.parent}/keys/config > {project}/stolen\n")
    (project / "sub" / "evil").chmod(0o755)
    settings = ["/usr/bin/git", "-C", str(project / "sub"), "config", "core.fsmonitor", str(project / "sub" / "evil")]
    subprocess.run(settings, check=True)

    plain = await session.exec(["sh", "-c", "cd sub && /usr/bin/git status"])
    stolen = (project / "stolen").read_text()
    (project / "stolen").unlink()
    result = await session.exec(["git", "status"], cwd="sub")

    assert (plain.exit_code, stolen) == (0, "")
    assert result.denied
    assert not (project / "stolen").exists()


async def test_a_folder_that_is_swapped_after_the_decision_changes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subprocess.run(["/usr/bin/git", "init", "-q", str(project / "sub")], check=True)
    (project / "sub" / "evil").write_text(f"#!/bin/sh\ncat {project.parent}/keys/config > {project}/stolen\n")
    (project / "sub" / "evil").chmod(0o755)
    settings = ["/usr/bin/git", "-C", str(project / "sub"), "config", "core.fsmonitor", str(project / "sub" / "evil")]
    subprocess.run(settings, check=True)
    # The folder is looked at while it is still a plain one.
    monkeypatch.setattr(Plans, "_has_own_repository", lambda *_: False)

    async with ringfence.Session(workspace=project) as session:
        result = await session.exec(["git", "status"], cwd="sub")

    assert result.exit_code == 0
    assert not (project / "stolen").exists()


async def test_hooks_of_the_workspace_do_not_run_in_a_wider_plan(project: Path) -> None:
    hook = project / ".git" / "hooks" / "pre-push"
    hook.write_text(f"#!/bin/sh\ncp {project.parent}/keys/config {project}/stolen\n")
    hook.chmod(0o755)
    git = ["git", "-C", str(project), "-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "remote", "add", "origin", "https://127.0.0.1:1/x"], check=True)

    async with ringfence.Session(workspace=project) as session:
        pushed = await session.exec(["git", "push", "origin", "HEAD"])

    assert pushed.denied or pushed.exit_code != 0
    assert not (project / "stolen").exists()


@pytest.mark.parametrize(
    ("variables", "reach"),
    [
        ({"LANGUAGE": "../../../../w/evil", "TZ": ":/w/evil", "LC_ALL": "/w/evil", "TERM": "../evil"}, {}),
        ({"TZ": "../../w/evil"}, {}),
        ({"TZ": "Europe/Berlin", "LANG": "de_DE.UTF-8", "TERM": "xterm-256color"}, None),
        (
            {"GIT_AUTHOR_NAME": "A / B", "PATH": "/w/bin", "SHELL": "/w/sh", "PAGER": "/w/p"},
            {"GIT_AUTHOR_NAME": "A / B"},
        ),
    ],
)
async def test_only_words_of_terminal_language_and_dates_reach_a_plan_of_its_own(
    session: ringfence.Session, variables: dict[str, str], reach: dict[str, str] | None
) -> None:
    result = await session.exec(["git", "version"], env=variables)

    action = result.decision.action
    assert isinstance(action, CommandAction)
    assert (result.exit_code, dict(action.environment)) == (0, variables if reach is None else reach)


async def test_the_record_says_which_profile_held_and_what_was_left_out(
    session: ringfence.Session, project: Path
) -> None:
    result = await session.exec(["git", "log"], env={"FOO": "bar", "GIT_AUTHOR_NAME": "n"})

    texts = [
        one.text for one in _events(project, session.id) if isinstance(one, NoticeGiven) and one.topic == "profile"
    ]
    assert texts == ["`FOO` of whoever starts it do not reach a command with a plan of its own"]
    assert isinstance(result.decision.action, CommandAction)
    assert result.decision.action.environment == (("GIT_AUTHOR_NAME", "n"),)
    made = [one.decision for one in _events(project, session.id) if isinstance(one, DecisionMade)]
    assert made[-1] == result.decision


async def test_placement_outside_takes_a_permission_and_is_on_record(project: Path) -> None:
    outside = POLICY + '\n[[commands.profile]]\nid = "host"\nprefix = ["id"]\nplacement = "outside"\n'
    policy = project.parent / ".config" / "ringfence" / "policy.toml"
    policy.write_text(outside)
    async with ringfence.Session(workspace=project) as session:
        refused = await session.exec(["id", "-u"])
    policy.write_text(outside + "\n[sandbox]\noutside = true\n")
    async with ringfence.Session(workspace=project) as session:
        allowed = await session.exec(["id", "-u"])
        inside = await session.exec(["sh", "-c", "id -u"])
        identity = session.id

    assert refused.denied
    assert (allowed.exit_code, allowed.decision.placement) == (0, Placement.OUTSIDE)
    assert inside.decision.placement is Placement.INSIDE
    recorded = [one.decision for one in _events(project, identity) if isinstance(one, DecisionMade)]
    # The last is what the shell started.
    assert [one.placement for one in recorded] == [Placement.OUTSIDE, Placement.INSIDE, Placement.OUTSIDE]


def _events(project: Path, session: str) -> list[object]:
    ledger = places({"HOME": str(project.parent)}).ledger
    with closing(LedgerReader(ledger)) as reader:
        return [one.body for one in reader.events(Wanted(session=session))]


STEAL = "#!/bin/sh\ncat {0}/keys/config; echo token=$MY_TOKEN; echo stolen=yes\n"


async def test_a_shell_inside_gets_the_plan_for_exactly_the_commands_of_the_profile(
    session: ringfence.Session, project: Path
) -> None:
    (project / "try.sh").write_text(
        f"""
        git config -f {project.parent}/keys/config secret.value
        bash -lc 'git config -f {project.parent}/keys/config secret.value | tr a-z A-Z'
        git -c a.b=c config -f {project.parent}/keys/config secret.value || echo shut
        /usr/bin/git config -f {project.parent}/keys/config secret.value || echo passed by
        GIT_SSH_COMMAND=./evil git status 2>&1 | grep -c 'denied by ringfence'
        GIT_EDITOR=true PAGER=cat git status > status.txt; echo $?
        cd sub 2>/dev/null; git config nothing.there; echo $?
        """
    )

    result = await session.exec(["sh", "try.sh"])

    assert result.stdout.splitlines() == [SECRET, SECRET.upper(), "shut", "passed by", "1", "0", "1"], result.stderr
    shell = [one for one in _events(project, session.id) if isinstance(one, DecisionMade) and one.asked_by == "shell"]
    assert [one.decision.verdict for one in shell] == [*[Verdict.ALLOW] * 2, Verdict.DENY, *[Verdict.ALLOW] * 2]


async def test_a_command_of_a_shell_passes_signals_streams_and_its_end(project: Path) -> None:
    slow = POLICY + '\n[[commands.profile]]\nid = "slow"\nprefix = ["sleep"]\nkeep = ["MY_TOKEN"]\n'
    (project.parent / ".config" / "ringfence" / "policy.toml").write_text(slow)
    (project / "try.sh").write_text(
        "sleep 30 & p=$!; while ! kill -0 $p; do :; done; command sleep 0.5; kill $p; wait $p; echo $?"
    )

    async with ringfence.Session(workspace=project) as session:
        result = await session.exec(["sh", "try.sh"], timeout=20)

    assert (result.stdout, result.timed_out) == ("143\n", False), result.stderr


async def test_whoever_speaks_with_the_session_in_place_of_the_stand_in_gains_nothing(
    session: ringfence.Session, project: Path
) -> None:
    (project / "git").write_text(STEAL.format(project.parent))
    (project / "git").chmod(0o755)
    (project / "lie.py").write_text(
        """
import json, os, socket, sys
def ask(question, descriptors=(0, 1, 2)):
    s = socket.socket(socket.AF_UNIX); s.settimeout(15); s.connect("/run/ringfence-ways/commands")
    data = question if isinstance(question, bytes) else json.dumps(question).encode()
    socket.send_fds(s, [len(data).to_bytes(4, "big") + data], descriptors)
    return s.makefile().readline().strip()[:60]
here, env = os.getcwd(), {}
print(ask({"argv": [here + "/git", "status"], "cwd": here, "env": env}))
print(ask({"argv": ["git", "status"], "cwd": "/etc", "env": env}))
print(ask({"argv": ["git", "status"], "cwd": here, "env": {"LD_PRELOAD": "x"}}))
print(ask({"argv": ["git", "status"], "cwd": here, "env": env}, [os.open("/", os.O_RDONLY)] * 3))
print(ask({"argv": ["git", "status"], "cwd": here, "env": env}, [0]))
print(ask({"argv": ["git", "status"], "cwd": here, "env": env}, [0] * 200))
print(ask({"argv": ["sh", "-c", "id"], "cwd": here, "env": env}))
print(ask({"argv": "git", "cwd": here, "env": env}))
print(ask(bytes([255, 255])), ask(b"[]"), ask(b"{}"))
"""
    )

    result = await session.exec(["python3", "lie.py"])

    assert "stolen" not in result.stdout
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == '{"here": true}'
    assert [line[:12] for line in lines[1:3]] == ['{"exit": 126', '{"exit": 126']
    assert [line[:12] for line in lines[3:6]] == ['{"exit": 125'] * 3
    assert lines[6] == '{"here": true}'
    assert all(line[:12] == '{"exit": 125' for line in lines[7:])
    assert (await session.exec(["git", "status"])).exit_code == 0


async def test_each_plan_has_destinations_of_its_own(project: Path) -> None:
    text = """
    [[commands.profile]]
    id = "fetch"
    prefix = ["curl"]
    hosts = ["fetch.test"]
    only_hosts = true
    [[network.rule]]
    hosts = ["base.test"]
    verdict = "allow"
    [network]
    default = "deny"
    """
    (project.parent / ".config" / "ringfence" / "policy.toml").write_text(text)
    both = ["http://fetch.test", "http://base.test"]
    (project / "past.sh").write_text(f"/usr/bin/curl -sm 5 {' '.join(both)}")

    async with ringfence.Session(workspace=project) as session:
        fetched = await session.exec(["curl", "-sm", "5", both[0]])
        assert not fetched.denied, fetched
        await session.exec(["sh", "past.sh"])
        number = session.id

    made = [one.decision for one in _events(project, number) if isinstance(one, DecisionMade)]
    found = [(one.action.host, one.verdict) for one in made if isinstance(one.action, ConnectAction)]
    assert found == [
        ("fetch.test", Verdict.ALLOW),
        ("fetch.test", Verdict.DENY),
        ("base.test", Verdict.ALLOW),
    ]


async def test_policy_explain_answers_by_the_plan_of_the_command(project: Path) -> None:
    async with ringfence.Session(workspace=project) as session:
        ran = (await session.exec(reading(project))).decision
        steered = (await session.exec(["git", "push", "--exec", "./evil", "."])).decision

    for decision in (ran, steered):
        assert isinstance(decision.action, CommandAction)
        words = [sys.executable, "-m", "ringfence", "policy", "explain", "--json", "--", *decision.action.argv]
        explained = json.loads(subprocess.run(words, cwd=project, capture_output=True, check=True).stdout)
        shown = [(reason["rule"], reason["verdict"]) for reason in explained["reasons"]]
        assert explained["verdict"] == decision.verdict.value
        assert shown == [(reason.rule, reason.verdict.value) for reason in decision.reasons]


async def test_without_namespaces_a_profile_is_a_second_sandbox_of_that_tier(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "B" not in require("C"):
        pytest.skip("this machine's kernel gives no tier B")
    policy = project.parent / ".config" / "ringfence" / "policy.toml"
    policy.write_text(POLICY.replace('deny = ["**/hidden.txt"]', 'remove = ["LANG"]'))
    for module in ("opening", "beside"):
        monkeypatch.setattr(f"ringfence.session.{module}.require", lambda *_: ("B",))
    (project / "shell.sh").write_text(f"git config -f {project.parent}/keys/config secret.value")

    async with ringfence.Session(workspace=project) as session:
        own = await session.exec(reading(project))
        shell = await session.exec(["sh", "shell.sh"])
        notices = session.notices
        policy.write_text(policy.read_text() + '\n[sandbox]\npublish = ["3999"]\n')

    assert (own.exit_code, own.stdout) == (0, f"{SECRET}\n"), own
    # Nothing of ours can stand at a place of the system: a shell starts the program itself.
    assert (shell.exit_code != 0, SECRET in shell.stdout) == (True, False)
    assert any("to ask for each takes tier A" in text for text in notices)
    with pytest.raises(SandboxUnavailable, match=r"`sandbox.publish` cannot be kept without namespaces"):
        async with ringfence.Session(workspace=project):
            pass


async def test_a_hook_is_answered_by_the_plan_of_the_command_that_the_agent_will_start(project: Path) -> None:
    profile = '[[commands.profile]]\nid = "fetch"\nprefix = ["curl"]\nhosts = ["fetch.test"]\n'
    policy = project.parent / ".config" / "ringfence" / "policy.toml"
    policy.write_text(profile + '[network]\ndefault = "deny"\n')
    scripts = [
        "curl http://fetch.test",
        "curl http://fetch.test > out",
        "true; curl http://fetch.test",
        "/usr/bin/curl http://fetch.test",
        "curl http://other.test",
    ]
    for number, script in enumerate(scripts):
        call = {"tool_name": "Bash", "tool_input": {"command": script}, "cwd": str(project)}
        (project / f"{number}.json").write_text(json.dumps(call))
    ask = "for n in 0 1 2 3 4; do python3 -I -S /run/ringfence/hook.py PreToolUse 20 < $n.json; done"
    (project / "ask.sh").write_text(ask)

    async with ringfence.Session(workspace=project) as session:
        await session.exec(["sh", "ask.sh"])
        number_of_session = session.id

    asked = [one for one in _events(project, number_of_session) if isinstance(one, DecisionMade)]
    verdicts = [one.decision.verdict for one in asked if one.asked_by == "hook"]
    assert verdicts == [Verdict.ALLOW, *[Verdict.DENY] * 4]


async def test_in_a_staged_session_a_command_with_a_plan_of_its_own_is_not_started(project: Path) -> None:
    (project / "a").write_text("a")

    async with ringfence.Session(workspace=project, workspace_mode="staged") as session:
        with pytest.raises(SandboxUnavailable, match="cannot run in a staged session"):
            await session.exec(["git", "status"])
        assert (await session.exec(["head", "a"])).stdout == "a"
