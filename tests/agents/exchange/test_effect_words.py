"""The words that always have an effect: each is tried on the judge that enforces the rule they were made from."""

from __future__ import annotations

import shlex

import pytest

from ringfence.agents.exchange.effect_words import worded
from ringfence.model.action import EffectKind
from ringfence.model.decision import Verdict
from ringfence.policy.commands import hits_rule
from ringfence.policy.effective import CommandRule, Origin
from ringfence.policy.shell.analysis import analyse_shell


def rule(kind: EffectKind, *objects: str) -> CommandRule:
    origin = Origin(layer="user", source="policy.toml:1")
    return CommandRule(id="r", effects=(kind,), objects=objects, verdict=Verdict.ASK, origin=origin)


def hits(by: CommandRule, command: str) -> bool:
    return hits_rule(by, analyse_shell(command, home=None).invocations)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EffectKind.PUBLISH, EffectKind.DESTROY, EffectKind.CONFIGURE, EffectKind.PRIVILEGE])
def test_every_word_is_one_that_the_rule_itself_hits(kind: EffectKind) -> None:
    by_effect = rule(kind)

    made = worded(by_effect)

    commands = [shlex.join([*(words[0] for words in one.prefix[:-1]), word]) for one in made for word in one.prefix[-1]]
    assert [one for one in commands if not any(hits(by_effect, f"{one}{more}") for more in ("", " x", " x y"))] == []
    assert len(commands) > 20
    assert all(not one.effects and not one.objects for one in made)


def test_an_object_that_the_rule_names_leaves_only_what_has_it() -> None:
    made = worded(rule(EffectKind.DESTROY, "all processes*"))

    assert all(hits(rule(EffectKind.DESTROY), shlex.join([words[0] for words in one.prefix] + ["x"])) for one in made)
    assert len(made) < len(worded(rule(EffectKind.DESTROY)))


def test_what_depends_on_an_argument_has_no_words() -> None:
    made = worded(rule(EffectKind.WRITE, "/etc/passwd"))

    assert made == []
