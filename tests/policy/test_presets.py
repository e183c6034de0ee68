"""The presets that we ship: their own examples hold, and what differs between them is meant."""

from __future__ import annotations

import pytest
from tests.policy.making import HOME, WORKSPACE, connect, file, judge, shell

import ringfence.policy.presets as presets
from ringfence.model.decision import Verdict
from ringfence.policy.effective import Access
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets.compiling import written
from ringfence.policy.questions import action_of
from ringfence.policy.sections.settings import BUNDLES, PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_valid_and_its_rules_do_what_their_examples_say(name: str) -> None:
    document = written(name)

    assert document == presets.preset(name), "run `python -m ringfence.policy.presets.compiling`"
    assert all(rule.match and rule.not_match and rule.reason for rule in document.command_rules)


def test_an_unknown_preset_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="the presets are `read-only`, `workspace`, `full-access`"):
        presets.preset("../x")


def test_every_preset_keeps_the_same_secrets_unreadable() -> None:
    denied = [[rule.pattern for rule in written(name).filesystem if rule.access is Access.DENY] for name in PRESETS]

    assert denied[0] == denied[1] == denied[2]
    assert "~/.ssh" in denied[0]


def test_read_only_and_workspace_ask_for_the_same_commands() -> None:
    rules = [
        [(rule.id, rule.prefix, rule.verdict) for rule in written(name).command_rules]
        for name in ("read-only", "workspace")
    ]

    assert rules[0] == rules[1]


@pytest.mark.parametrize(
    ("name", "write", "home", "push", "host", "sudo"),
    [
        ("read-only", "deny", "deny", "ask", "deny", "deny"),
        ("workspace", "allow", "deny", "ask", "ask", "deny"),
        ("full-access", "allow", "allow", "allow", "ask", "deny"),
    ],
)
def test_presets_differ_in_what_they_open(name: str, write: str, home: str, push: str, host: str, sudo: str) -> None:
    merged = merge((presets.preset(name),), facts=Facts(home=HOME, workspace=WORKSPACE))

    assert file(merged, "read", "/w/x").verdict is Verdict.ALLOW
    assert file(merged, "write", "/w/x").verdict.value == write
    assert file(merged, "write", "/home/u/notes").verdict.value == home
    assert file(merged, "read", "/home/u/.ssh/id_rsa").verdict is Verdict.DENY
    assert file(merged, "read", "/w/sub/.env").verdict is Verdict.DENY
    assert file(merged, "read", "/w/sub/.env.example").verdict is Verdict.ALLOW
    assert shell(merged, "git push").verdict.value == push
    assert connect(merged, "x.test").verdict.value == host
    assert shell(merged, "sudo ls").verdict.value == sudo


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    ("file_name", "readable"),
    [
        (".env", False),
        (".env.local", False),
        (".env.production", False),
        (".env.development", False),
        (".env.staging", False),
        (".env.test", False),
        (".env.secrets", False),
        (".env.encrypted", False),
        (".env.template2", True),
        (".env.example", True),
        (".env.sample", True),
        (".env.template", True),
        (".env.dist", True),
        (".envrc", True),
    ],
)
def test_files_with_variables_are_secret_and_their_templates_are_not(name: str, file_name: str, readable: bool) -> None:
    merged = merge((presets.preset(name),), facts=Facts(home=HOME, workspace=WORKSPACE))

    assert (file(merged, "read", f"/w/sub/{file_name}").verdict is Verdict.ALLOW) is readable


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_only_opens_paths_that_a_sandbox_can_bind(name: str) -> None:
    """A pattern opens nothing by itself; it may only stand as an exception from one that denies more."""
    rules = presets.preset(name).filesystem
    opened = [rule.pattern for rule in rules if rule.access is not Access.DENY]

    assert [pattern for pattern in opened if pattern == "/" or ("*" in pattern and pattern != "**/cacert.pem")] == []
    assert "**/*.pem" in [rule.pattern for rule in rules if rule.access is Access.DENY]


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_is_valid_and_decides_what_its_own_tests_say(name: str) -> None:
    bundle = written(name)
    merged = merge((presets.preset("workspace"), bundle), facts=Facts(home=HOME, workspace=WORKSPACE))
    evaluator = judge(merged)

    asked = [(test, {**dict(test.question), **({"argv": test.argv} if test.argv else {})}) for test in bundle.tests]
    wrong = [
        test.origin.source
        for test, question in asked
        if evaluator.evaluate(action_of(question, cwd=WORKSPACE, home=HOME)).verdict is not test.expect
    ]

    assert bundle == presets.bundle(name), "run `python -m ringfence.policy.presets.compiling`"
    assert bundle.tests
    assert wrong == []


def test_a_bundle_for_packages_names_no_host() -> None:
    named = {name: written(name).network.rules for name in BUNDLES if written(name).network.registries}

    assert set(named) == {"python", "node", "rust", "go", "jvm", "debian"}
    assert set(named.values()) == {()}


def test_an_unknown_bundle_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="`pyhton` is not a bundle; the bundles are `python`"):
        presets.bundle("pyhton")
