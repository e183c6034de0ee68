"""What is not judged because nothing that decides about it differs, judged all the same: it never differs."""

from __future__ import annotations

import msgspec
import pytest
from bench.command_lists import ATTACKS, EVERYDAY, own
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.compare.pairs import BASE, CONTEXT, LAYERS, PATH_RULES, judging, networks
from tests.policy.making import WORKSPACE, document, judge, policy

from ringfence.model.action import CommandAction, EffectKind, FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.policy.compare.alike import Suspects, files_alike, tools_alike
from ringfence.policy.compare.commands import command_differences, examples
from ringfence.policy.compare.difference import Area, Difference, compared
from ringfence.policy.compare.files import path_kinds
from ringfence.policy.compare.mcp import mcp_differences
from ringfence.policy.effective import CommandPolicy, CommandRule, McpPolicy, McpRule, Origin, PathRule
from ringfence.policy.evaluate import Evaluator

ORIGINS = st.builds(lambda layer, line: Origin(layer=layer, source=f"f:{line}"), LAYERS, st.integers(1, 3))
PREFIXES = st.sampled_from(
    [
        (("git",), ("push", "clean")),
        (("git",),),
        (("curl", "wget"),),
        (("curl",), ("https://a.test/x", "http://10.1.2.3")),
        (("rm",), ("-r", "-f"), ("/home/u/w/a", ".git", "~/x")),
        (("ssh",), ("b.a.test",)),
        (("cat",), ("x.pem", "/etc/null")),
    ]
)
SCRIPTS = st.sampled_from(
    [
        "curl https://a.test | tee a",
        "git push https://b.a.test/x",
        "rm -r .git/hooks",
        "cat < ~/x.pem",
        "echo x > /dev/tcp/10.1.2.3/80",
        "git clean -fd && ls",
        "find / -name x.pem",
        "unknown-tool ~/a/b",
        "for f in ~/*; do cat $f; done; echo /etc/null",
        "python3 -c 'open(\"/home/u/x.pem\")'",
        "tar --file=~/x.pem -x",
        "ln -s ~/a b; cat b/x.pem",
    ]
)
COMMAND_RULES = st.lists(
    st.one_of(
        st.builds(
            CommandRule,
            id=st.sampled_from(["one", "two"]),
            prefix=PREFIXES,
            verdict=st.sampled_from(Verdict),
            unless=st.sampled_from([(), ((("git",), ("push",)),)]),
            match=st.lists(SCRIPTS, max_size=2).map(tuple),
            origin=ORIGINS,
        ),
        st.builds(
            CommandRule,
            id=st.just("effect"),
            effects=st.sampled_from([(EffectKind.DELETE,), (EffectKind.PUBLISH, EffectKind.CONNECT)]),
            verdict=st.sampled_from(Verdict),
            undoable=st.sampled_from([(), ("*",)]),
            match=st.lists(SCRIPTS, max_size=2).map(tuple),
            origin=ORIGINS,
        ),
    ),
    max_size=4,
)


def _changed(draw: st.DrawFn, values: st.SearchStrategy[object]) -> tuple[object, object]:
    """Two values, which are often the same."""
    first = draw(values)
    return first, first if draw(st.booleans()) else draw(values)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Evaluator, Evaluator]:
    """Two policies that differ in some parts only."""
    parts = {
        "filesystem": _changed(draw, PATH_RULES.map(tuple)),
        "network": _changed(draw, networks()),
        "commands": _changed(draw, COMMAND_RULES.map(lambda rules: CommandPolicy(rules=tuple(rules)))),
        "soft": _changed(draw, st.lists(ORIGINS, max_size=2).map(tuple)),
    }
    before, after = ({name: values[at] for name, values in parts.items()} for at in (0, 1))
    return (
        Evaluator(msgspec.structs.replace(BASE, **before), CONTEXT),
        Evaluator(msgspec.structs.replace(BASE, **after), CONTEXT),
    )


def _judged_whole(before: Evaluator, after: Evaluator) -> list[CommandAction]:
    cases = (("", action) for action in examples(before, after))
    return [one.action for one in compared(Area.COMMANDS, cases, before, after)]


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(pairs())
def test_no_command_that_is_left_out_is_judged_differently(both: tuple[Evaluator, Evaluator]) -> None:
    suspects = Suspects(*both)

    left_out = [action for action in _judged_whole(*both) if not suspects.include(action)]

    assert left_out == []


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(PATH_RULES, PATH_RULES)
def test_no_file_is_judged_differently_where_files_are_alike(first: list[PathRule], second: list[PathRule]) -> None:
    before, after = judging(filesystem=tuple(first)), judging(filesystem=(*second, *first, *second))
    moved = [msgspec.structs.replace(rule, reason="moved", origin=_further_down(rule.origin)) for rule in first]
    alike = judging(filesystem=tuple(reversed(moved)))

    assert (files_alike(before, alike), _differing_files(before, alike)) == (True, [])
    assert not (files_alike(before, after) and _differing_files(before, after))


def _differing_files(before: Evaluator, after: Evaluator) -> list[Difference]:
    cases = [
        ("", FileAction(operation=operation, path=path))
        for path in path_kinds(before, after)
        for operation in FileOperation
    ]
    return list(compared(Area.FILES, cases, before, after))


def _further_down(origin: Origin) -> Origin:
    return Origin(layer=origin.layer, source=f"{origin.source}0")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("", 0),
        ("[[network.rule]]\nid = 'r'\nhosts = ['**.github.com', 'x.test']\nverdict = 'deny'\n", 60),
        ("[[commands.rule]]\nid = 'r'\nprefix = ['kubectl', 'delete']\nverdict = 'deny'\n", 12),
        ("[filesystem]\nwrite = ['~/.cache']\n", 1000),
        ("[network]\nhost_ports = [5432]\n", None),
    ],
)
def test_a_change_of_what_is_shipped_leaves_out_only_commands_that_do_not_change(text: str, asked: int | None) -> None:
    before, after = judge(policy()), judge(policy(document(text)))
    suspects = Suspects(before, after)
    judged = [action for action in examples(before, after) if suspects.include(action)]

    found = command_differences(before, after)

    everything = list(compared(Area.COMMANDS, (("", action) for action in examples(before, after)), before, after))
    assert {(one.before, one.after) for one in found} == {(one.before, one.after) for one in everything}
    assert {one.action for one in everything} <= set(judged)
    assert asked is None or len(judged) <= asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "[filesystem]\ndeny = ['/', '~/', ':workspace', '/etc', '/usr', '**/*']\n",
        "[filesystem]\nwrite = ['/', '~/']\nread = ['~/.ssh', '~/.aws', '~/.netrc']\n",
        "[[network.rule]]\nhosts = ['*']\nverdict = 'deny'\n",
        "[[network.rule]]\nhosts = ['*', '0.0.0.0/0', '::/0']\nverdict = 'allow'\n",
        "[[commands.rule]]\neffects = ['read', 'execute']\nverdict = 'ask'\n",
    ],
)
def test_of_the_commands_of_the_corpora_none_that_is_left_out_is_judged_differently(text: str) -> None:
    before, after = judge(policy()), judge(policy(document(text)))
    suspects = Suspects(before, after)
    rows = [row.command for row in own((*ATTACKS, *EVERYDAY))]
    actions = [CommandAction(argv=("bash", "-c", row), shell=row, cwd=WORKSPACE) for row in rows]

    differing = [one.action for one in compared(Area.COMMANDS, (("", one) for one in actions), before, after)]

    assert differing
    assert [one for one in differing if not suspects.include(one)] == []


def test_a_rule_that_somebody_may_override_is_another_one() -> None:
    rule = CommandRule(
        id="r", prefix=(("git",),), verdict=Verdict.DENY, origin=Origin(layer="managed", source="m.toml:1")
    )
    hard, soft = (judging(commands=CommandPolicy(rules=(rule,)), soft=origins) for origins in ((), (rule.origin,)))

    found = [(one.before.verdict, one.after.verdict) for one in command_differences(hard, soft)]

    assert found == [(Verdict.DENY, Verdict.ASK)]


def test_tools_are_alike_only_with_the_same_rules_and_the_same_who_may_override_them() -> None:
    origin = Origin(layer="managed", source="m.toml:1")
    mcp = McpPolicy(rules=(McpRule(id="r", verdict=Verdict.DENY, origin=origin),))
    hard, soft = judging(mcp=mcp), judging(mcp=mcp, soft=(origin,))

    assert tools_alike(hard, judging(mcp=mcp))
    assert not tools_alike(hard, soft)
    assert {one.after.verdict for one in mcp_differences(hard, soft)} == {Verdict.ASK}
