"""Replay: which verdicts would change, and which rule is why."""

from __future__ import annotations

from tests.policy.making import WORKSPACE, document, judge, policy

from ringfence.model.action import CommandAction, ConnectAction
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.replay import Change, Replay, grouped

PUSH = CommandAction(argv=("git", "push"), cwd=WORKSPACE)
LIST = CommandAction(argv=("ls",), cwd=WORKSPACE)
HOST = ConnectAction(host="a.test", port=443)
ASKED = Reason(rule="publish", layer="preset:workspace", source="workspace.toml:1", verdict=Verdict.ASK, text="x")


class Counting(Evaluator):
    """Counts what it is asked."""

    asked = 0

    def evaluate(self, action):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().evaluate(action)


def test_only_what_is_decided_otherwise_is_a_change_and_each_action_is_judged_once() -> None:
    evaluator = Counting(policy(), judge(policy()).context)
    replay = Replay()

    found = [
        replay.change(action, before=before, reasons=(), evaluator=evaluator)
        for action, before in ((LIST, Verdict.ALLOW), (LIST, Verdict.ALLOW), (LIST, Verdict.DENY), (PUSH, Verdict.ASK))
    ]

    assert found == [
        None,
        None,
        Change(before=Verdict.DENY, decision=evaluator.evaluate(LIST), before_reason=None),
        None,
    ]
    assert evaluator.asked == 3


def test_changes_are_grouped_by_the_rule_that_makes_the_difference() -> None:
    open_all = "[[commands.rule]]\nid = 'publish'\nprefix = ['never']\nverdict = 'ask'\n"
    shut = "[[network.rule]]\nid = 'shut'\nhosts = ['a.test']\nverdict = 'deny'\n"
    evaluator = judge(policy(document(open_all + shut)))
    replay = Replay()

    def change(action: CommandAction | ConnectAction) -> Change:
        found = replay.change(action, before=Verdict.ASK, reasons=(ASKED,), evaluator=evaluator)
        assert found is not None
        return found

    groups = grouped([change(HOST), change(PUSH), change(PUSH), change(HOST), change(PUSH)])

    assert [(one.before, one.after, one.rule.rule if one.rule else "", one.actions, one.times) for one in groups] == [
        (Verdict.ASK, Verdict.ALLOW, "publish", ((PUSH, 3),), 3),
        (Verdict.ASK, Verdict.DENY, "shut", ((HOST, 2),), 2),
    ]
