"""Learning: the narrowest rules for what was needed, marked where a person has to decide."""

from __future__ import annotations

from itertools import count

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.making import HOME, WORKSPACE, document, judge, policy

from ringfence.model.action import Action, CommandAction, ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.policy.amendment import NotAmendable, amended, decided, toml_of, unified
from ringfence.policy.documents import Document
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.layers import Layer
from ringfence.policy.learn import Evidence, Lesson, learn
from ringfence.policy.widening import also_allowed

TITLE = "learned from session s"


def evidence(*actions: Action, refused: bool = False) -> list[Evidence]:
    numbers = count(1)
    return [
        Evidence(
            event=f"e{number}",
            time_ns=number * 1_000_000_000,
            action=action,
            asked=Verdict.ASK,
            final=Verdict.DENY,
            how="denied: nobody could be asked",
            refused=refused,
        )
        for action, number in zip(actions, numbers, strict=False)
    ]


def shell(text: str) -> CommandAction:
    return CommandAction(argv=("bash", "-c", text), shell=text, cwd=WORKSPACE)


def read(path: str) -> FileAction:
    return FileAction(operation=FileOperation.READ, path=path)


def write(path: str) -> FileAction:
    return FileAction(operation=FileOperation.WRITE, path=path)


def https(host: str, port: int = 443, method: str | None = None, path: str | None = None) -> ConnectAction:
    return ConnectAction(host=host, port=port, method=method, path=path)


def learned(*actions: Action, documents: tuple[Document, ...] = ()) -> Lesson:
    return learn(evidence(*actions), judge(policy(*documents)), why="learned")


def after(lesson: Lesson, text: str = "", *, everything: bool = False) -> Evaluator:
    """What judges once the lesson stands in the user's policy."""
    active = (lambda _: True) if everything else decided
    return judge(policy(document(amended(text, lesson.proposals, title=TITLE, active=active))))


def tomls(lesson: Lesson) -> list[str]:
    return [toml_of(one) for one in lesson.proposals]


def test_a_destination_is_named_exactly_with_its_port() -> None:
    lesson = learned(https("a.test"), https("a.test"), https("a.test", 8443))

    assert tomls(lesson) == [
        f'[[network.rule]]\nid = "learned-a.test-{port}"\nhosts = ["a.test:{port}"]\nverdict = "allow"\n'
        'reason = "learned"\n'
        for port in (443, 8443)
    ]
    assert [len(one.evidence) for one in lesson.proposals] == [2, 1]
    assert all(one.decide == () for one in lesson.proposals)


def test_methods_and_paths_are_part_of_the_rule_where_every_request_was_seen() -> None:
    lesson = learned(https("a.test", 80, "GET", "/x?q=1"), https("a.test", 80, "HEAD", "/y[1]"))
    judged = after(lesson)

    assert 'methods = ["GET", "HEAD"]\npaths = ["/x", "/y[[]1]"]\n' in tomls(lesson)[0]
    assert judged.evaluate(https("a.test", 80, "GET", "/x")).verdict is Verdict.ALLOW
    assert judged.evaluate(https("a.test", 80, "GET", "/y[1]")).verdict is Verdict.ALLOW
    assert judged.evaluate(https("a.test", 80, "GET", "/y1")).verdict is Verdict.ASK
    assert judged.evaluate(https("a.test", 80, "POST", "/x")).verdict is Verdict.ASK


def test_a_connection_that_could_not_be_looked_into_takes_methods_and_paths_away() -> None:
    lesson = learned(https("a.test", 80, "GET", "/x"), https("a.test", 80))

    assert "methods" not in tomls(lesson)[0]
    assert after(lesson).evaluate(https("a.test", 80)).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    "action",
    [
        https("169.254.169.254", 80),
        https("10.1.2.3"),
        https("host.ringfence.internal", 5432),
        read(f"{HOME}/.ssh/id_rsa"),
        write(f"{HOME}/.bashrc"),
        write("/etc/cron.d/x"),
        shell("git push origin main"),
        shell("git reset --hard"),
    ],
)
def test_what_is_grave_is_marked_and_does_not_count_until_somebody_decided(action: Action) -> None:
    lesson = learned(action)

    assert [bool(one.decide) for one in lesson.proposals] == [True]
    assert after(lesson).evaluate(action).verdict is not Verdict.ALLOW
    assert after(lesson, everything=True).evaluate(action).verdict is Verdict.ALLOW


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (shell("sudo ls"), "rule `elevation` at workspace.toml:"),
        (shell("eval $X"), "cannot be seen before it runs"),
        (shell("git push $BRANCH"), "known only when it runs"),
        (shell("ssh host ls"), "runs what its arguments say"),
        (write(f"{WORKSPACE}/.git/hooks/pre-commit"), "is a control file"),
        (https("a b"), "white space"),
    ],
)
def test_what_no_rule_should_open_is_listed_with_the_reason(action: Action, why: str) -> None:
    lesson = learned(action)

    assert lesson.proposals == ()
    assert [why in one.why for one in lesson.uncovered] == [True]


def test_an_exception_is_for_exactly_the_words_that_were_seen() -> None:
    lesson = learned(shell("cd x && git push origin main"))
    judged = after(lesson, everything=True)

    assert 'unless = [\n  ["git", "push", "origin", "main"],\n]\n' in tomls(lesson)[0]
    assert judged.evaluate(shell("git push origin main")).verdict is Verdict.ALLOW
    for text in ("git push", "git push origin main --force", "git push origin other", "git send-email x"):
        assert judged.evaluate(shell(text)).verdict is Verdict.ASK, text


def test_many_spellings_of_a_sub_command_become_one_with_an_open_end() -> None:
    many = [shell(f"git push origin b{number}") for number in range(6)]

    assert 'unless = [\n  ["git", "push", "..."],\n]\n' in tomls(learned(*many))[0]
    assert '"..."' not in tomls(learned(*many[:4]))[0]
    assert '"..."' not in tomls(learned(*many, shell("git push --force")))[0]


def test_paths_are_exact_and_many_in_one_folder_become_the_folder() -> None:
    few = learned(*(read(f"/srv/data/a{number}") for number in range(3)))
    many = learned(*(read(f"/srv/data/a{number}/x") for number in range(6)), read("/srv/other"))
    home = learned(*(read(f"{HOME}/{name}/x") for name in "abcdef"))

    assert [one.splitlines()[1] for one in tomls(few)] == [f'read = ["/srv/data/a{number}"]' for number in range(3)]
    assert [one.splitlines()[1] for one in tomls(many)] == ['read = ["/srv/data"]', 'read = ["/srv/other"]']
    assert [one.splitlines()[1] for one in tomls(home)] == [f'read = ["~/{name}/x"]' for name in "abcdef"]


def test_a_path_with_signs_of_a_glob_means_itself_alone() -> None:
    lesson = learned(read("/srv/a*b"))
    judged = after(lesson)

    assert judged.evaluate(read("/srv/a*b")).verdict is Verdict.ALLOW
    assert judged.evaluate(read("/srv/axb")).verdict is Verdict.DENY


def test_a_path_that_is_written_needs_no_second_rule_to_be_read() -> None:
    lesson = learned(write("/srv/x"), read("/srv/x"))

    assert tomls(lesson) == ['[filesystem]\nwrite = ["/srv/x"]\n']


def test_what_a_person_refused_is_not_proposed_unless_it_was_approved_later() -> None:
    no = evidence(https("a.test"), refused=True)
    yes = msgspec.structs.replace(no[0], event="later", final=Verdict.ALLOW, refused=False, how="approved")
    evaluator = judge(policy())

    assert [one.why for one in learn(no, evaluator, why="x").uncovered] == ["a person said no"]
    assert len(learn([*no, yes], evaluator, why="x").proposals) == 1


def test_what_the_administrator_says_is_not_worked_around() -> None:
    managed = document("[[network.rule]]\nid = 'no'\nhosts = ['a.test']\nverdict = 'deny'", Layer.REQUIREMENTS)

    lesson = learned(https("a.test"), documents=(managed,))

    assert lesson.proposals == ()
    assert "belongs to whoever manages this machine" in lesson.uncovered[0].why


def test_what_passes_already_is_counted_and_nothing_else() -> None:
    lesson = learned(shell("ls"), read("/usr/bin/env"))

    assert lesson == Lesson(proposals=(), uncovered=(), settled=2)


def test_also_allowed_is_checked_and_not_what_was_seen() -> None:
    lesson = learned(https("a.test"))
    before, later = judge(policy()), after(lesson)

    found = also_allowed(lesson.proposals[0].addition, [https("a.test")], before=before, after=later)

    assert found[0] == https("a.test", 443, "POST", "/anything")
    assert https("a.test") not in found
    assert all(later.evaluate(one).verdict is Verdict.ALLOW for one in found)
    assert all(before.evaluate(one).verdict is not Verdict.ALLOW for one in found)


FILES = [
    "",
    "# mine\n",
    '[filesystem]\nread = ["~/x"]\n\n[sandbox]\nmin_tier = "A"',
    '[filesystem]\nread = [\n  "~/x", # why\n]\ndeny = ["private"]\n',
    '[[network.rule]]\nhosts = ["z.test"]\nverdict = "allow"\n[filesystem]\nwrite = []\n',
]


@pytest.mark.parametrize("text", FILES)
def test_a_policy_keeps_every_line_of_its_own_and_gains_what_was_learned(text: str) -> None:
    actions = [https("a.test"), read("/srv/r"), write("/srv/w")]
    lesson = learned(*actions)

    whole = amended(text, lesson.proposals, title=TITLE)
    judged = judge(policy(document(whole)))

    assert [judged.evaluate(one).verdict for one in actions] == [Verdict.ALLOW] * 3
    assert [line for line in text.splitlines() if line.split(",")[0].rstrip("]") not in whole] == []


def test_a_policy_that_cannot_be_added_to_says_so() -> None:
    with pytest.raises(NotAmendable, match="not written as a table"):
        amended("filesystem = { read = [] }\n", learned(read("/srv/x")).proposals, title=TITLE)


def test_the_diff_marks_a_missing_end_of_line_and_a_new_file() -> None:
    assert unified("a", "a\nb\n", file="/p", exists=True) == (
        "--- /p\n+++ /p\n@@ -1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n"
    )
    assert unified("", "b\n", file="/p", exists=False).startswith("--- /dev/null\n+++ /p\n")


_words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
_actions = st.one_of(
    st.builds(https, st.sampled_from(["a.test", "b.a.test", "10.0.0.1", "::1"]), st.sampled_from([80, 443])),
    st.builds(lambda words: read("/srv/" + "/".join(words)), st.lists(_words, min_size=1, max_size=3)),
    st.builds(lambda words: write("/srv/" + "/".join(words)), st.lists(_words, min_size=1, max_size=3)),
    st.builds(lambda words: CommandAction(argv=("git", "push", *words), cwd=WORKSPACE), st.lists(_words, max_size=3)),
    st.builds(lambda text: shell(f"git push {text}"), _words),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(_actions, min_size=1, max_size=12))
def test_whatever_was_recorded_the_lesson_is_valid_and_lets_pass_what_it_covers(actions: list[Action]) -> None:
    lesson = learned(*actions)

    plain, everything = after(lesson), after(lesson, everything=True)

    for one in lesson.proposals:
        for seen in one.evidence:
            assert everything.evaluate(seen.action).verdict is Verdict.ALLOW
    grave = {seen.action for one in lesson.proposals if one.decide for seen in one.evidence}
    assert all(plain.evaluate(one).verdict is not Verdict.ALLOW for one in grave)


def test_a_port_where_no_web_is_expected_is_learned_with_its_protocol() -> None:
    lesson = learned(https("git.test", 22), https("github.com", 22), https("db.test", 5432))
    judged = after(lesson, everything=True)

    spoken = {host: judged.spoken(https(host, port)) for host, port in (("git.test", 22), ("db.test", 5432))}
    assert spoken == {"git.test": ("ssh",), "db.test": ("postgresql", "tls")}
    assert judged.host_keys(https("git.test", 22)) == ()
    assert len(judged.host_keys(https("github.com", 22))) == 3
