"""Claude Code's settings as a policy: deny before ask before allow, and nothing opened that was closed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agents.exchange.importing import HOME, WORKSPACE, Judge, claude

from ringfence.agents.exchange.claude_paths import gitignore_pattern
from ringfence.agents.exchange.policy_text import Imported
from ringfence.agents.exchange.text_file import TextFile
from ringfence.model.decision import Verdict
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.effective import Access


def permissions(**lists: object) -> Imported:
    return claude({"permissions": lists})


def test_each_list_has_its_verdict_and_the_stricter_one_wins() -> None:
    found = permissions(
        allow=["Bash(npm run test:*)", "Bash(git push:*)"], ask=["Bash(git push *)"], deny=["Bash(curl:*)"]
    )

    judge = Judge(found)
    assert judge.command("npm run test -- -x") is Verdict.ALLOW
    assert judge.command("git push origin main") is Verdict.ASK
    assert judge.command("ls && curl http://x.test") is Verdict.DENY
    assert judge.command("env curl x.test") is Verdict.DENY
    assert {rule.id: rule.verdict for rule in judge.document.command_rules} == {
        "claude-curl": Verdict.DENY,
        "claude-git-push": Verdict.ASK,
        "claude-git-push-2": Verdict.ALLOW,
        "claude-npm-run-test": Verdict.ALLOW,
    }


def test_one_exact_command_that_is_allowed_becomes_a_test_not_a_wider_rule() -> None:
    found = permissions(allow=["Bash(npm run build)", "Bash(sudo id)"])

    judge = Judge(found)
    assert judge.document.command_rules == ()
    assert [(test.question, test.expect) for test in judge.document.tests] == [
        ((("shell", "npm run build"),), Verdict.ALLOW)
    ]
    assert [note.item for note in found.stricter] == ["allow `sudo id`"]


@pytest.mark.parametrize(
    ("rule", "denied", "passes"),
    [
        ("Bash(rm)", ["rm", "rm x"], ["ls"]),
        ("Bash(git * --force)", ["git push --force", "git --force x"], ["git log"]),
        ("Bash(npm publish *)", ["npm publish", "npm publish x"], ["npm run publish-docs"]),
        ("Bash(rm*)", ["rm x"], ["ls"]),
        ("Bash(echo \\*)", ["echo '*'"], ["echo x"]),
    ],
)
def test_denied_shapes(rule: str, denied: list[str], passes: list[str]) -> None:
    judge = Judge(permissions(deny=[rule]))

    assert [judge.command(command) for command in denied] == [Verdict.DENY] * len(denied)
    assert [judge.command(command) for command in passes] == [Verdict.ALLOW] * len(passes)


@pytest.mark.parametrize(
    "rule",
    [
        "Bash",
        "Bash(*)",
        "Bash(git * main)",
        "Bash(a && b)",
        "Bash(X=1 make)",
        "Bash(rm*)",
        "Bash('x)",
        "mcp__server?__tool",
        "WebFetch",
        "WebSearch",
        "Task(Explore)",
        "Read",
        "not a rule",
    ],
)
def test_a_denial_that_does_not_fit_whole_is_listed_as_holding_the_agent_back(rule: str) -> None:
    found = permissions(deny=[rule])

    assert [(one.item, one.restricts) for one in found.unmapped] == [(f"deny `{rule}`", True)]


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (".env", "**/.env"),
        ("*.key", "**/*.key"),
        ("./.env", ":workspace/.env"),
        ("/docs/**", ":workspace/docs"),
        ("src/gen/", ":workspace/src/gen"),
        ("a/b.txt", ":workspace/a/b.txt"),
        ("**/x", "**/x"),
        ("**", ":workspace"),
        ("~/.ssh/**", "~/.ssh"),
        ("//etc/passwd", "/etc/passwd"),
        ("//**", "/"),
    ],
)
def test_patterns_in_our_words(text: str, pattern: str) -> None:
    assert gitignore_pattern(text) == pattern


def test_denied_reading_is_closed_and_denied_editing_stays_readable() -> None:
    found = permissions(deny=["Read(./private/**)", "Edit(src/gen/**)", "Edit(package.json)", "Write(/etc/x)"])

    judge = Judge(found)
    assert (judge.reads(f"{WORKSPACE}/private/x"), judge.writes(f"{WORKSPACE}/private/x")) == (False, False)
    assert (judge.reads(f"{WORKSPACE}/src/gen/x"), judge.writes(f"{WORKSPACE}/src/gen/x")) == (True, False)
    assert (judge.reads(f"{WORKSPACE}/a/package.json"), judge.writes(f"{WORKSPACE}/a/package.json")) == (True, False)


def test_denied_editing_opens_no_secret() -> None:
    found = permissions(
        deny=["Edit(config/*)", "Edit(.env)", "Edit(src/gen/**)", "Edit(~/.ssh/config)", "Edit(conf*/secret*)"]
    )

    judge = Judge(found)
    for path in ("config/.env", ".env", "src/gen/.env", "src/gen/a/key.pem", "config/id_rsa"):
        assert judge.reads(f"{WORKSPACE}/{path}") is False, path
    assert judge.reads(f"{HOME}/.ssh/config") is False
    assert (judge.reads(f"{WORKSPACE}/config/a"), judge.writes(f"{WORKSPACE}/config/a")) == (True, False)
    assert [(one.item, one.restricts) for one in found.unmapped] == [("deny `Edit(conf*/secret*)`", True)]


def test_what_is_denied_is_not_reopened_by_something_more_specific() -> None:
    found = permissions(
        deny=["Read(~/closed/**)", "Edit(~/half/no)"], allow=["Read(~/closed/a/b)", "Edit(~/half)", "Read(~/open/x)"]
    )

    judge = Judge(found)
    assert judge.reads(f"{HOME}/closed/a/b") is False
    assert (judge.writes(f"{HOME}/half/yes"), judge.writes(f"{HOME}/half/no")) == (True, False)
    assert judge.reads(f"{HOME}/open/x") is True
    assert [one.item for one in found.unmapped] == ["allow `Read(~/closed/a/b)`"]


def test_all_edits_denied_is_the_preset_that_only_reads() -> None:
    found = permissions(deny=["Edit"])

    judge = Judge(found)
    assert judge.preset == "read-only"


def test_hosts_sandbox_and_variables_come_along() -> None:
    found = claude(
        {
            "permissions": {"allow": ["WebFetch(domain:docs.test)"], "deny": ["WebFetch(domain:evil.test)"]},
            "sandbox": {
                "enabled": True,
                "excludedCommands": ["docker"],
                "network": {"allowedDomains": ["*.npm.test"], "allowManagedDomainsOnly": True},
                "filesystem": {"denyRead": ["~/.aws", "/srv/x"], "allowWrite": ["~/out"]},
            },
            "env": {"A": "1", "MY_TOKEN": "x"},
        }
    )

    judge = Judge(found)
    assert [(rule.hosts, rule.methods, rule.verdict) for rule in judge.document.network.rules] == [
        (("evil.test",), (), Verdict.DENY),
        (("docs.test",), ("GET", "HEAD"), Verdict.ALLOW),
        (("*.npm.test",), (), Verdict.ALLOW),
    ]
    assert [(rule.pattern, rule.access) for rule in judge.document.filesystem] == [
        ("~/out", Access.WRITE),
        ("~/.aws", Access.DENY),
        ("/srv/x", Access.DENY),
    ]
    assert [(name, value) for name, value, _ in judge.document.environment.set] == [("A", "1")]
    assert [one.item for one in found.unmapped] == ["excluded command `docker`", "variable `MY_TOKEN`"]


def test_rules_about_tools_of_servers_come_along() -> None:
    found = permissions(allow=["mcp__git__log"], ask=["mcp__git"], deny=["mcp__db__*", "mcp__git__push_*"])

    assert [(rule.servers, rule.tools, rule.verdict) for rule in Judge(found).document.mcp.rules] == [
        (("db",), ("*",), Verdict.DENY),
        (("git",), ("push_*",), Verdict.DENY),
        (("git",), ("*",), Verdict.ASK),
        (("git",), ("log",), Verdict.ALLOW),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{", "settings.json:1:2"),
        ('{"permissions": {"deny": "Bash"}}', "settings.json:1:18"),
        ('{"a": 1,\n "a": 2}', "settings.json:2:2"),
        ("[]", "settings.json:1:1"),
        ('{"permissions": []}', "settings.json:1:2"),
    ],
)
def test_a_file_that_claude_code_would_not_take_is_told_at_its_place(text: str, place: str) -> None:
    from ringfence.agents.exchange.claude_import import import_claude

    with pytest.raises(PolicyInvalid) as raised:
        import_claude([TextFile(name="settings.json", content=text.encode())])

    assert str(raised.value.diagnostics[0]).startswith(f"{place}: ")


NAMES = st.sampled_from([".env", "*.pem", "a", "b", "*", "**", "id_*", "gen"])
PATTERNS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FOLDERS = st.lists(st.sampled_from(["a", "b", "gen"]), max_size=2)
FILES = st.builds(
    lambda folders, name: "/".join([*folders, name]), FOLDERS, st.sampled_from([".env", "x.pem", "id_rsa"])
)


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.lists(PATTERNS, max_size=3), st.lists(PATTERNS, max_size=3), FILES)
def test_no_denied_edit_and_no_allow_makes_a_file_readable(edits: list[str], reads: list[str], path: str) -> None:
    before = Judge(permissions())
    after = Judge(permissions(deny=[f"Edit({one})" for one in edits], allow=[f"Read({one})" for one in reads]))

    file = f"{WORKSPACE}/{path}"
    assert before.reads(file) or not after.reads(file)


@pytest.mark.parametrize("path", ["~/.ssh/id_rsa", "//root/.ssh/id_rsa", "//home/ada/.aws/credentials"])
def test_a_secret_is_never_opened_by_carrying_settings_over(path: str) -> None:
    imported = permissions(allow=[f"Read({path})", "Read(//opt/data/x)"])

    assert f"Read({path})" in str(imported)
    assert not Judge(imported).reads(path.removeprefix("/").replace("~", HOME))
    assert Judge(imported).reads("/opt/data/x")
