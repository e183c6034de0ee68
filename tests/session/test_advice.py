"""What a denial says can be done, done: the same action then passes."""

from __future__ import annotations

import re
import shlex

import pytest

from ringfence.model.action import Action, CommandAction, ConnectAction, FileAction, FileOperation, McpAction
from ringfence.model.decision import Decision, Verdict
from ringfence.policy.documents import read_document
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset
from ringfence.session.session_grants import SessionGrants, granted
from ringfence.session.sources import places

WORKSPACE = "/w/project"
PLACES = places({"HOME": "/home/u", "XDG_CONFIG_HOME": "/srv/settings"})
STRICT = """
[network]
default = "deny"
[mcp]
default = "deny"
"""
MANAGED = """
[network]
default = "deny"
limited = ["api.example"]
[mcp]
default = "ask"
[filesystem]
read = ["/srv/data"]
deny = ["~/private"]
"""


def evaluator(user: str = "", managed: str = "", grants: SessionGrants | None = None) -> Evaluator:
    documents = [
        read_document(managed.encode(), file="managed.toml", layer=Layer.MANAGED),
        read_document(user.encode(), file=PLACES.user_policy, layer=Layer.USER),
        granted(grants or SessionGrants()),
    ]
    policy = merge((preset("workspace"), *documents), facts=Facts(home=PLACES.home, workspace=WORKSPACE))
    return Evaluator(policy, PLACES.context(WORKSPACE))


def shell(text: str) -> CommandAction:
    return CommandAction(argv=("bash", "-c", text), shell=text, cwd=WORKSPACE)


def read(path: str) -> FileAction:
    return FileAction(operation=FileOperation.READ, path=path)


def write(path: str) -> FileAction:
    return FileAction(operation=FileOperation.WRITE, path=path)


def connect(host: str, port: int = 443, method: str | None = None) -> ConnectAction:
    return ConnectAction(host=host, port=port, method=method, path=None if method is None else "/")


CASES: tuple[tuple[Action, str], ...] = (
    (shell("curl http://unknown.example"), ""),
    (shell("nc db.example 5432"), ""),
    (shell("curl http://169.254.170.2/x"), ""),
    (shell("dig @8.8.8.8 a.example"), ""),
    (shell("curl https://unknown.example"), STRICT),
    (shell("cat ~/.ssh/config"), ""),
    (shell("cat .env"), ""),
    (shell("cp a.txt /srv/outside/a.txt"), ""),
    (shell("echo x >> /srv/outside/log; curl http://unknown.example"), ""),
    (shell("touch ~/.gitconfig"), ""),
    (connect("unknown.example"), ""),
    (connect("unknown.example"), STRICT),
    (connect("db.example", 5432), ""),
    (connect("fd00::7", 9), ""),
    (connect("10.1.2.3", 80), ""),
    (connect("8.8.8.8", 443), ""),
    (connect("dns.example", 853), ""),
    (connect("unknown.example", 443, "POST"), STRICT),
    (connect("only.example"), "[[network.rule]]\nhosts = ['only.example']\nmethods = ['GET']\nverdict = 'allow'\n"),
    (read("/home/u/.ssh/config"), ""),
    (read("/srv/outside"), ""),
    (write("/home/u/.gitconfig"), ""),
    (write("/srv/outside"), ""),
)
ONLY_FOR_GOOD: tuple[tuple[Action, str, str], ...] = (
    (McpAction(server="files", tool="remove[1]", arguments="{}"), STRICT, ""),
    (McpAction(server="files", tool="remove", arguments="{}"), "", MANAGED),
    (connect("unknown.example"), "", MANAGED),
    (write("/srv/data/x"), "", MANAGED),
    (shell("curl https://unknown.example"), "", MANAGED),
    (
        connect("api.example", 443, "POST"),
        "[[network.rule]]\nhosts = ['api.example']\nverdict = 'allow'\n",
        MANAGED,
    ),
    (shell("git push"), "", ""),
    (shell("git reset --hard && curl http://unknown.example"), "", ""),
    (shell("sudo true"), "", ""),
    (shell("curl http://unknown.example; ssh git@other.example true"), "", ""),
    (shell("curl http://unknown.example; ssh git@github.com"), "", ""),
)


def for_the_session(decision: Decision) -> SessionGrants:
    """The options that are named, as the command line reads them."""
    options: dict[str, list[str]] = {"--allow-host": [], "--read": [], "--write": []}
    for step in decision.next_steps:
        if step.startswith("for this session: "):
            option, value = shlex.split(step.removeprefix("for this session: ").strip("`"))
            options[option].append(value)
    return SessionGrants(
        allow_hosts=tuple(options["--allow-host"]), read=tuple(options["--read"]), write=tuple(options["--write"])
    )


def for_good(decision: Decision, files: str) -> str:
    """What is to be written, as a policy has it."""
    tables, opened = [], []
    for step in decision.next_steps:
        if not step.startswith("for good: "):
            continue
        assert "`/srv/settings/ringfence/policy.toml`" in step
        parts = re.findall(r"`([^`]*)`", step)
        if parts[1] == "[filesystem]":
            opened.append(parts[0])
            continue
        lines = [parts[0], *(part for part in parts[1:] if " = " in part)]
        if lines[1].startswith("id = "):  # one's own rule in place of the preset's: here, one that allows
            lines += ['verdict = "allow"', 'prefix = ["some-program"]']
        if "host_keys" in parts:
            lines.append(f'host_keys = ["SHA256:{"A" * 43}"]')
        tables.append("\n".join(lines))
    return "\n".join((files, *(("[filesystem]", *opened) if opened else ()), *tables))


@pytest.mark.parametrize(("action", "user"), CASES, ids=str)
def test_the_option_that_is_named_lets_the_same_action_pass(action: Action, user: str) -> None:
    stopped = evaluator(user).evaluate(action)

    answered = evaluator(user, grants=for_the_session(stopped)).evaluate(action)

    assert stopped.verdict is not Verdict.ALLOW
    assert answered.verdict is Verdict.ALLOW, (stopped.next_steps, answered.reasons)


@pytest.mark.parametrize(
    ("action", "user", "managed"), (*((action, user, "") for action, user in CASES), *ONLY_FOR_GOOD), ids=str
)
def test_the_lines_that_are_named_let_the_same_action_pass(action: Action, user: str, managed: str) -> None:
    stopped = evaluator(user, managed).evaluate(action)

    answered = evaluator(for_good(stopped, user), managed).evaluate(action)

    assert stopped.verdict is not Verdict.ALLOW
    assert answered.verdict is Verdict.ALLOW, (stopped.next_steps, answered.reasons)


@pytest.mark.parametrize(
    ("action", "managed", "steps"),
    [
        (shell("curl x | sh; curl http://a.example"), "", ("do it without this command, or do it yourself, outside the"
         " sandbox",)),
        (shell("$x y"), "", ("answer the question, or write the command so that all of it can be seen before it"
         " runs",)),
        (shell("cat ~/private/a"), MANAGED, ("ask whoever manages this machine: `managed.toml:9` says so, and no"
         " setting of yours changes it",)),
        (read("/home/u/.netrc"), "", ("do it yourself, outside the sandbox: no other rule opens the very path that one"
         " denies",)),
        (write(f"{WORKSPACE}/.git/hooks/pre-commit"), "", ("change it yourself, outside a session",)),
        (shell("echo x > .git/hooks/pre-commit"), "", ("change it yourself, outside a session",)),
    ],
)  # fmt: skip
def test_what_no_setting_opens_is_said(action: Action, managed: str, steps: tuple[str, ...]) -> None:
    assert evaluator(managed=managed).evaluate(action).next_steps == steps


def test_a_server_that_is_another_than_the_policy_says_is_told_where_that_stands() -> None:
    user = '[[mcp.server]]\nname = "files"\ncommand = ["files-mcp"]\n'

    decision = evaluator(user).evaluate(McpAction(server="files", tool="read", arguments="{}"))

    assert decision.next_steps == (
        "start the server that `/srv/settings/ringfence/policy.toml:1` describes, or change its `[[mcp.server]]` there",
    )
