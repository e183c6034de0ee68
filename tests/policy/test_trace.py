"""The trace of a decision: each part that was found, and the rules that were looked at for it."""

from __future__ import annotations

from tests.policy.making import connect, document, file, judge, policy, shell

from ringfence.model.action import Effect, EffectKind, McpAction
from ringfence.model.decision import Decision, Verdict
from ringfence.policy.effective import Origin
from ringfence.policy.trace import Look, Step, trace

TEXT = """
[filesystem]
read = ["/srv", "/srv/a"]
deny = ["/srv/a/b"]
[[commands.rule]]
id = "push"
prefix = ["git", "push"]
verdict = "ask"
[[commands.rule]]
id = "clean"
prefix = ["git", "clean"]
verdict = "deny"
[[network.rule]]
id = "get"
hosts = ["a.test"]
methods = ["GET"]
verdict = "allow"
[[network.rule]]
id = "all"
hosts = ["*.test"]
verdict = "deny"
"""
POLICY = policy(document(TEXT), base="")


def traced(decision: Decision) -> tuple[Step, ...]:
    return trace(decision, judge(POLICY))


def look(rule: str, line: int, verdict: Verdict, *, hits: bool) -> Look:
    return Look(rule=rule, origin=Origin(layer="user", source=f"user.toml:{line}"), verdict=verdict, hits=hits)


def test_a_command_is_taken_apart_and_every_rule_of_its_programs_is_looked_at() -> None:
    steps = traced(shell(POLICY, "git push origin $B > /srv/a/b/x"))

    asked = (look("push", 5, Verdict.ASK, hits=True), look("clean", 9, Verdict.DENY, hits=False))
    assert [(step.kind, step.what, step.looks) for step in steps] == [
        ("runs", "git push origin $B", asked),
        (
            "opens",
            "write /srv/a/b/x",
            (
                look("filesystem.read:/srv", 3, Verdict.ALLOW, hits=False),
                look("filesystem.read:/srv/a", 3, Verdict.ALLOW, hits=False),
                look("filesystem.deny:/srv/a/b", 4, Verdict.DENY, hits=True),
            ),
        ),
    ]


def test_a_file_and_a_host_show_the_rules_that_name_them() -> None:
    assert traced(file(POLICY, "read", "/srv/x")) == (
        Step(
            kind="file",
            what="read /srv/x",
            effects=(Effect(kind=EffectKind.READ, object="/srv/x"),),
            looks=(look("filesystem.read:/srv", 3, Verdict.ALLOW, hits=True),),
        ),
    )
    assert traced(connect(POLICY, "a.test", 80, "POST", "/x"))[0].looks == (
        look("get", 13, Verdict.ALLOW, hits=False),
        look("all", 18, Verdict.DENY, hits=True),
    )


def test_what_is_no_command_file_or_host_has_no_steps_and_nothing_raises() -> None:
    evaluator = judge(POLICY)

    assert trace(evaluator.evaluate(McpAction(server="s", tool="t")), evaluator) == ()
    assert trace(connect(POLICY, "a b"), evaluator)[0].looks == ()
    assert trace(file(POLICY, "read", "not/absolute"), evaluator)[0].looks == ()
    assert [step.kind for step in trace(shell(POLICY, "eval $X"), evaluator)][-1] == "unclear"
