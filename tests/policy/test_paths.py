"""Which path rule decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.effective import Access, Origin, PathRule
from ringfence.policy.globs import Glob, components
from ringfence.policy.paths import PathTable, anchored, check_pattern, covers

HOME, WORKSPACE = "/home/u", "/w"


def rule(pattern: str, access: str, layer: str = "user") -> PathRule:
    return PathRule(pattern=pattern, access=Access(access), origin=Origin(layer=layer, source="p.toml:1"))


def decides(rules: list[PathRule], path: str) -> str | None:
    match = PathTable(rules, home=HOME, workspace=WORKSPACE).match(path)
    return None if match is None else f"{match.rule.access.value} {match.rule.pattern}"


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ([rule(":workspace", "write")], "/w/a/b", "write :workspace"),
        ([rule(":workspace", "write")], "/w2/a", None),
        ([rule(":workspace", "write")], "/w/../etc/passwd", None),
        ([rule("~/x", "read")], "/home/u/x", "read ~/x"),
        ([rule("~/x", "read")], "/home/u/xy", None),
        ([rule("~", "deny"), rule("~/x", "read")], "/home/u/x/y", "read ~/x"),
        ([rule("~/x", "read"), rule("~/x", "write")], "/home/u/x", "write ~/x"),
        ([rule("~/x", "write"), rule("~/x", "deny"), rule("~/x", "read")], "/home/u/x", "deny ~/x"),
        ([rule(":workspace", "write"), rule("**/.env", "deny")], "/w/a/b/.env", "deny **/.env"),
        ([rule(":workspace", "write"), rule("**/.env", "deny")], "/w/.env", "deny **/.env"),
        ([rule(":workspace", "write"), rule("**/.env", "deny")], "/w/.env/inside", "deny **/.env"),
        ([rule(":workspace", "write"), rule("**/.env", "deny")], "/w/.envrc", "write :workspace"),
        ([rule("**/.env.*", "deny"), rule("**/.env.example", "write")], "/w/.env.example", "write **/.env.example"),
        ([rule("**/.env", "deny"), rule("a/.env", "read")], "/w/a/.env", "read a/.env"),
        ([rule("/", "read"), rule(":tmp", "write")], "/var/tmp/x", "write :tmp"),
        ([rule("/", "read")], "//etc//passwd", "read /"),
        ([rule("/etc/*.key", "deny"), rule("/", "read")], "/etc/a.key", "deny /etc/*.key"),
    ],
)
def test_the_most_specific_rule_decides_then_deny_then_write(
    rules: list[PathRule], path: str, expected: str | None
) -> None:
    assert decides(rules, path) == expected
    assert decides(rules[::-1], path) == expected


@pytest.mark.parametrize("layer", ["managed", "requirements"])
def test_no_rule_of_a_person_opens_what_the_administrator_denies(layer: str) -> None:
    rules = [rule("~/.ssh", "deny", layer), rule("~/.ssh/known_hosts", "read"), rule("~/.ssh/*.pub", "read")]

    assert decides(rules, "/home/u/.ssh/known_hosts") == "deny ~/.ssh"
    assert decides(rules, "/home/u/.ssh/x.pub") == "deny ~/.ssh"


def test_the_administrator_may_open_a_part_of_what_he_denies() -> None:
    rules = [rule("~/.ssh", "deny", "managed"), rule("~/.ssh/known_hosts", "read", "managed")]

    assert decides(rules, "/home/u/.ssh/known_hosts") == "read ~/.ssh/known_hosts"


@pytest.mark.parametrize(
    ("deny", "pattern", "expected"),
    [
        ("~/.ssh", "~/.ssh", True),
        ("~/.ssh", "~/.ssh/a/b", True),
        ("~/.ssh", ":home/.ssh/*.pub", True),
        ("~/.ssh", "~", False),
        ("~/.ssh", "~/.ss*", False),
        ("**/*.pem", "certs/a.pem", True),
        ("**/*.pem", "**/*.pem", True),
        ("**/*.pem", "certs", False),
        ("/tmp", ":tmp", False),
    ],
)
def test_a_denied_path_covers_what_lies_at_or_below_it(deny: str, pattern: str, expected: bool) -> None:
    assert covers(deny, pattern, home=HOME, workspace=WORKSPACE) is expected


def test_tokens_stand_for_places() -> None:
    assert anchored(":tmp/x", home=HOME, workspace=WORKSPACE) == ("/tmp/x", "/var/tmp/x")
    assert anchored("~", home=HOME, workspace=WORKSPACE) == ("/home/u",)
    assert anchored("a/b", home=HOME, workspace=WORKSPACE) == ("/w/a/b",)


@pytest.mark.parametrize("pattern", ["a/../b", "~x/y", ":other", "", "a\x00b", "a/[b", "a**/b"])
def test_a_pattern_that_could_be_misread_is_refused(pattern: str) -> None:
    assert check_pattern(pattern) is not None


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("/repos/**", "/repos", True),
        ("/repos/**", "/repos/a/b", True),
        ("/repos/*", "/repos/a/b", False),
        ("**/x/**/y", "/a/x/b/c/y", True),
        ("[!a]x", "/ax", False),
        ("*.pem", "/a.pem\n", False),
    ],
)
def test_a_glob_matches_whole_components(glob: str, path: str, expected: bool) -> None:
    assert Glob(glob).matches(components(path)) is expected


def test_a_glob_of_many_stars_takes_no_longer_than_its_length() -> None:
    glob = Glob("/".join(["**", "*a*a*a*a*a*a*a*b"] * 30))

    assert not glob.matches(("a" * 200,) * 60)


@given(st.text(max_size=80), st.text(alphabet="/a.~*[]:e nv", max_size=20))
def test_any_path_and_any_accepted_pattern_have_an_answer(path: str, pattern: str) -> None:
    if check_pattern(pattern) is None:
        decides([rule(pattern, "deny")], path)
