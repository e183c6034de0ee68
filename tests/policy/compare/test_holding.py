"""A rule that counts as held is: no command that it stops passes the other policy less strictly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.compare.pairs import judging

from ringfence.model.action import CommandAction, EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.compare.holding import unheld
from ringfence.policy.effective import CommandPolicy, CommandRule, Origin

_PUBLISH, _DESTROY = EffectKind.PUBLISH, EffectKind.DESTROY
WORDS = ["push", "pull", "-f", "--force", "origin", "."]
POSITIONS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True).map(tuple)
PREFIXES = st.builds(
    lambda programs, rest: (tuple(programs), *rest),
    st.lists(st.sampled_from(["git", "hg"]), min_size=1, max_size=2, unique=True),
    st.lists(POSITIONS, max_size=2),
)
EFFECTS = st.lists(
    st.sampled_from([EffectKind.PUBLISH, EffectKind.DESTROY, EffectKind.CONFIGURE]), max_size=2, unique=True
).map(tuple)
RULES = st.lists(
    st.builds(
        lambda prefix, effects, objects, verdict, number: CommandRule(
            id=f"rule-{number}",
            prefix=prefix if prefix or effects else (("git",),),
            effects=effects,
            objects=tuple(objects) if effects else (),
            verdict=verdict,
            origin=Origin(layer="user", source="f:1"),
        ),
        st.one_of(PREFIXES, st.just(())),
        EFFECTS,
        st.lists(st.sampled_from(["*", "o*", "origin"]), max_size=2),
        st.sampled_from(Verdict),
        st.integers(1, 9),
    ),
    max_size=4,
).map(tuple)
COMMANDS = st.lists(st.sampled_from([*WORDS, "git", "-c", "x", "--forc", "-xf", "--", "$V", "p*"]), max_size=5)


def _policy(rules: tuple[CommandRule, ...]) -> CommandPolicy:
    return CommandPolicy(rules=rules)


def _rule(verdict: str, *prefix: str | tuple[str, ...]) -> CommandRule:
    positions = tuple((position,) if isinstance(position, str) else position for position in prefix)
    return CommandRule(id="r", prefix=positions, verdict=Verdict(verdict), origin=Origin(layer="user", source="f:1"))


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(RULES, RULES, st.sampled_from(["git", "hg", "/usr/bin/git"]), st.lists(COMMANDS, min_size=1, max_size=20))
def test_where_every_rule_is_held_no_command_is_treated_less_strictly(
    first: tuple[CommandRule, ...], second: tuple[CommandRule, ...], program: str, commands: list[list[str]]
) -> None:
    before, after = judging(commands=_policy(first)), judging(commands=_policy(second))
    held = judging(commands=_policy(tuple(rule for rule in first if rule not in unheld(before.policy, after.policy))))

    for words in commands:
        script = " ".join([program, *words])
        action = CommandAction(argv=("bash", "-c", script), shell=script, cwd="/home/u/w")
        assert after.evaluate(action).verdict.strictness >= held.evaluate(action).verdict.strictness


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        (_rule("ask", "git", "push"), [_rule("ask", "git", "push")], True),
        (_rule("ask", "git", "push"), [_rule("deny", "git", "push")], True),
        (_rule("deny", "git", "push"), [_rule("ask", "git", "push")], False),
        (_rule("ask", "git", "push"), [_rule("ask", "git", ("push", "send-email"))], True),
        (_rule("ask", "git", ("push", "send-email")), [_rule("ask", "git", "push")], False),
        (
            _rule("ask", "git", ("push", "send-email")),
            [_rule("ask", "git", "push"), _rule("deny", "git", "send-email")],
            True,
        ),
        (_rule("ask", ("git", "hg"), "push"), [_rule("ask", "git"), _rule("ask", "hg", "push")], True),
        (_rule("deny", "git", "push", "--force"), [_rule("deny", "git", "push")], True),
        (_rule("deny", "git", "push"), [_rule("deny", "git", "push", "--force")], False),
        (_rule("ask", "git", "push"), [_rule("ask", "git", ("push", "-f"))], False),
        (_rule("ask", "git", "push"), [_rule("allow", "git", "push")], False),
    ],
)
def test_a_rule_is_held_by_its_words(before: CommandRule, after: list[CommandRule], held: bool) -> None:
    found = unheld(judging(commands=_policy((before,))).policy, judging(commands=_policy(tuple(after))).policy)

    assert found == (() if held else (before,))


def _about(verdict: str, *effects: EffectKind, objects: tuple[str, ...] = ()) -> CommandRule:
    origin = Origin(layer="user", source="f:1")
    return CommandRule(id="r", effects=effects, objects=objects, verdict=Verdict(verdict), origin=origin)


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        (_about("ask", _PUBLISH), [_about("deny", _PUBLISH, _DESTROY)], True),
        (_about("ask", _PUBLISH, _DESTROY), [_about("ask", _PUBLISH)], False),
        (_about("ask", _PUBLISH, _DESTROY), [_about("ask", _PUBLISH), _about("ask", _DESTROY)], True),
        (_about("ask", _PUBLISH, objects=("x",)), [_about("ask", _PUBLISH)], True),
        (_about("ask", _PUBLISH), [_about("ask", _PUBLISH, objects=("x",))], False),
        (_about("ask", _PUBLISH, objects=("x",)), [_about("ask", _PUBLISH, objects=("x", "y"))], True),
    ],
)
def test_a_rule_about_effects_is_held_by_its_kinds_and_objects(
    before: CommandRule, after: list[CommandRule], held: bool
) -> None:
    found = unheld(judging(commands=_policy((before,))).policy, judging(commands=_policy(tuple(after))).policy)

    assert found == (() if held else (before,))


def test_a_rule_that_may_newly_be_overridden_is_not_held() -> None:
    rule = _rule("deny", "git", "push")
    before = judging(commands=_policy((rule,))).policy
    after = judging(commands=_policy((rule,)), soft=(rule.origin,)).policy

    assert (unheld(before, after), unheld(after, before), unheld(after, after)) == ((rule,), (), ())
