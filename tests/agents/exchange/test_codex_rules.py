"""Rules of Codex as a policy: no verdict gets looser, examples come along, and whatever differs is said."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.agents.exchange.importing import Judge, rules

from ringfence.agents.exchange.codex_rules import PrefixRule, carry_prefix
from ringfence.agents.exchange.draft import Draft, Note, Unmapped
from ringfence.agents.exchange.policy_text import imported
from ringfence.model.decision import Verdict
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.effective import CommandRule, HostRule, Origin


def test_a_rule_keeps_its_words_verdict_reason_and_examples() -> None:
    found = rules(
        'prefix_rule(pattern = ["git", ["push", "send-email"]], decision = "prompt", justification = "leaves us",\n'
        '    match = ["git push origin", ["git", "send-email"]], not_match = ["git log"])\n'
    )

    judge = Judge(found)
    assert judge.document.command_rules == (
        CommandRule(
            id="codex-git-push",
            prefix=(("git",), ("push", "send-email")),
            verdict=Verdict.ASK,
            reason="leaves us",
            match=("git push origin", "git send-email"),
            not_match=("git log",),
            origin=Origin(layer="user", source="policy.toml:3"),
        ),
    )
    assert "# a.rules:1\n" in found.policy
    assert (found.unmapped, found.stricter, found.covered) == ((), (), ())


def test_allow_stays_inside_the_sandbox_and_says_so() -> None:
    found = rules('prefix_rule(pattern = ["ls"])')

    text = "runs inside the sandbox without a question; Codex runs it outside"
    assert found.stricter == (Note(origin="a.rules:1", item="allow `ls`", text=text),)
    assert Judge(found).command("ls -l") is Verdict.ALLOW


def test_an_allow_that_a_preset_still_asks_for_is_told_with_the_rule() -> None:
    found = rules('prefix_rule(pattern = ["sudo", "ls"])')

    assert Judge(found).command("sudo ls") is Verdict.DENY
    assert [note.item for note in found.stricter] == ["allow `sudo ls`", "allow `sudo ls`"]
    assert "still" in found.stricter[1].text


def test_an_example_that_only_codex_lets_through_is_left_out_and_told() -> None:
    found = rules('prefix_rule(pattern = ["git", "push"], decision = "forbidden", not_match = ["git -C x push"])')

    assert Judge(found).document.command_rules[0].not_match == ()
    assert "`git -C x push`" in found.stricter[0].text
    assert Judge(found).command("git -C x push") is Verdict.DENY


@pytest.mark.parametrize(("decision", "carried"), [("forbidden", True), ("prompt", True), ("allow", False)])
def test_a_program_named_with_its_folder_is_carried_where_that_is_stricter(decision: str, carried: bool) -> None:
    found = rules(f'prefix_rule(pattern = ["/opt/x/tool"], decision = "{decision}")')

    assert bool(Judge(found).document.command_rules) is carried
    assert bool(found.stricter) is carried
    assert bool(found.unmapped) is not carried


def test_what_holds_the_agent_back_and_does_not_fit_is_marked() -> None:
    found = rules('prefix_rule(pattern = ["--x"], decision = "forbidden")\nprefix_rule(pattern = ["--x"])')

    reason = "`--x` is not the name of a program"
    assert found.unmapped == (
        Unmapped(origin="a.rules:1", item="forbidden `--x`", reason=reason, restricts=True),
        Unmapped(origin="a.rules:2", item="allow `--x`", reason=reason, restricts=False),
    )


def test_host_rules_open_one_port_and_close_all() -> None:
    found = rules(
        'network_rule(host = "a.test", protocol = "https", decision = "allow")\n'
        'network_rule(host = "b.test", protocol = "http", decision = "deny", justification = "no")\n'
        'network_rule(host = "c.test", protocol = "socks5_udp", decision = "allow")\n'
    )

    network = Judge(found).document.network.rules
    assert [(rule.hosts, rule.verdict, rule.reason) for rule in network] == [
        (("a.test:443",), Verdict.ALLOW, ""),
        (("b.test",), Verdict.DENY, "no"),
    ]
    assert isinstance(network[0], HostRule)
    assert [one.item for one in found.unmapped] == ["network_rule allow `c.test` for socks5_udp"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("prefix_rule(pattern = [])", "`pattern` is a list of words, and not empty"),
        ('prefix_rule(pattern = ["a", []])', "each element of `pattern`"),
        ('prefix_rule(pattern = ["a"], decision = "deny")', "`decision` is one of"),
        ('prefix_rule(pattern = ["a"], decison = "deny")', "no parameter `decison`"),
        ('prefix_rule(["a"], pattern = ["a"])', "`pattern` twice"),
        ('prefix_rule(pattern = ["a"], match = ["b"])', "does not hit its `match` example `b`"),
        ('prefix_rule(pattern = ["a"], not_match = ["a b"])', "hits its `not_match` example `a b`"),
        ('prefix_rule(pattern = ["a"], match = ["\'a"])', "not complete"),
        ('prefix_rule(pattern = ["a"], justification = " ")', "`justification` is a text"),
        ('network_rule(host = "*.x", protocol = "https", decision = "allow")', "without `*`"),
        ('network_rule(host = "x", protocol = "ftp", decision = "allow")', "`protocol` is one of"),
    ],
)
def test_what_codex_would_not_load_is_not_imported_either(call: str, said: str) -> None:
    with pytest.raises(PolicyInvalid) as raised:
        rules(f"\n{call}\nprefix_rule(pattern = [])")

    first, second = raised.value.diagnostics
    assert (first.line, second.line) == (2, 3)
    assert said in first.message


def test_hidden_characters_of_a_reason_are_written_as_escapes() -> None:
    found = rules('prefix_rule(pattern = ["a"], decision = "prompt", justification = "x\\u202ey\\n")')

    assert "\u202e" not in found.policy
    assert Judge(found).document.command_rules[0].reason == "x\u202ey\n"


WORDS = st.sampled_from(["git", "push", "log", "-f", "--force", "rm", "-rf", "npm", "run", "x y", "*", "a$b", "'", "~"])
PATTERNS = st.lists(st.lists(WORDS, min_size=1, max_size=3, unique=True).map(tuple), min_size=1, max_size=4).map(tuple)
RULES = st.builds(PrefixRule, pattern=PATTERNS, verdict=st.sampled_from(Verdict))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(RULES, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=6))
def test_no_command_gets_a_looser_verdict_than_codex_gives(written: list[PrefixRule], argv: list[str]) -> None:
    draft = Draft()
    for line, rule in enumerate(written, 1):
        carry_prefix(draft, rule, f"a.rules:{line}")
    found = imported(draft, agent="Codex")
    lost = {one.origin for one in found.unmapped if one.restricts}
    held = [rule for line, rule in enumerate(written, 1) if f"a.rules:{line}" not in lost and rule.hits(argv)]

    verdict = Judge(found).command(shlex.join(argv))

    assert verdict.strictness >= max((rule.verdict.strictness for rule in held), default=0)
