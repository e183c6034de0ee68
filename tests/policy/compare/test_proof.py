"""The four questions: a yes has a witness that both policies confirm, a no is a proof."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.compare.pairs import HOSTS, METHODS, URL_GLOBS, judging, networks
from tests.policy.compare.test_network import CONNECTIONS
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import CommandAction, ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host
from ringfence.model.host_pattern import HostPattern
from ringfence.policy.compare.credentials import FOREIGN, Binding, Handling
from ringfence.policy.compare.proof import Answer, Proof, Question, Witness, prove
from ringfence.policy.effective import NetworkPolicy
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.globs import Glob, components

NO_NETWORK = "[network]\ndefault = 'deny'\n"
BINDINGS = st.builds(
    Binding,
    credential=st.sampled_from(["key", "login"]),
    hosts=st.lists(HOSTS, max_size=2).map(tuple),
    methods=METHODS.map(tuple),
    paths=st.lists(URL_GLOBS, max_size=1).map(tuple),
)
HANDLINGS = st.builds(
    Handling,
    bindings=st.lists(BINDINGS, max_size=2).map(tuple),
    forbidden=st.lists(HOSTS, max_size=1).map(tuple),
    passed_through=st.lists(HOSTS, max_size=2).map(tuple),
    seen=st.lists(HOSTS, max_size=1).map(tuple),
)


def _of(text: str) -> Evaluator:
    return judge(policy(document(text), base=EMPTY))


def _answers(before: Evaluator, after: Evaluator) -> dict[Question, Answer]:
    return {proof.question: proof.answer for proof in prove(before, after)}


def _only(proofs: tuple[Proof, ...], question: Question) -> Proof:
    return next(proof for proof in proofs if proof.question is question)


def _rule(hosts: str, verdict: str = "allow") -> str:
    return f"[[network.rule]]\nid = 'r'\nhosts = {hosts}\nverdict = '{verdict}'\n"


def _command(rule: str, verdict: str = "ask", prefix: str = "['git', 'push']", more: str = "") -> str:
    return f"[[commands.rule]]\nid = '{rule}'\nprefix = {prefix}\nverdict = '{verdict}'\n{more}"


NO = dict.fromkeys(Question, Answer.NO)


def test_a_policy_against_itself_opens_nothing() -> None:
    evaluator = judge(policy())

    assert _answers(evaluator, evaluator) == NO


@pytest.mark.slow
def test_a_policy_that_only_tightens_opens_nothing() -> None:
    more = _rule("['paste.test']", "deny") + "[filesystem]\ndeny = ['**/*.key']\n" + _command("push", "deny")

    assert _answers(judge(policy()), judge(policy(document(more)))) == NO


@pytest.mark.parametrize(
    ("after", "gained"),
    [
        (_rule("['api.test']"), {Question.CAPABILITY}),
        (_rule("['api.test']", "ask"), {Question.CAPABILITY}),
        (_rule("['10.0.0.0/8']"), {Question.CAPABILITY, Question.PRIVATE}),
        (_rule("['169.254.169.254:80']"), {Question.CAPABILITY, Question.PRIVATE}),
        ("[network]\nhost_ports = [5432]\n", {Question.CAPABILITY, Question.PRIVATE}),
        ("[filesystem]\nwrite = ['~/.cache']\n", {Question.CAPABILITY}),
        ("[filesystem]\nread = ['~/.cache']\n", set()),
        ("[environment]\nkeep = ['DEPLOY_TOKEN']\n", set()),
        (_rule("['api.test']") + "[environment]\nkeep = ['DEPLOY_*']\n", {Question.CAPABILITY, Question.CREDENTIAL}),
        (_rule("['api.test']") + "[environment]\nkeep = ['LANG']\n", {Question.CAPABILITY}),
    ],
)
def test_what_a_change_opens_is_a_yes_to_its_questions(after: str, gained: set[Question]) -> None:
    found = _answers(judge(policy(base=EMPTY)), _of(after))

    assert {question for question, answer in found.items() if answer is Answer.YES} == gained


def test_a_witness_says_what_each_policy_decides() -> None:
    proofs = prove(judge(policy(base=EMPTY)), _of("[filesystem]\nwrite = ['~/.cache']\n"))

    assert _only(proofs, Question.CAPABILITY).witnesses == (
        Witness(
            what="files: write /home/u/.cache",
            before="deny",
            after="allow",
            action=FileAction(operation=FileOperation.WRITE, path="/home/u/.cache"),
        ),
    )


def test_a_command_rule_that_is_gone_is_shown_by_a_command_of_its_words() -> None:
    proof = _only(prove(_of(_command("push")), judge(policy(base=EMPTY))), Question.CAPABILITY)

    assert proof.witnesses == (
        Witness(
            what="commands: git push",
            before="ask",
            after="allow",
            action=CommandAction(argv=("git", "push"), cwd="/w"),
        ),
    )


def test_a_command_rule_that_another_one_holds_as_strictly_is_no_loss() -> None:
    before = _of(_command("push", "ask"))

    assert _answers(before, _of(_command("other-id", "deny"))) == NO
    assert _answers(before, _of(_command("all-of-git", "ask", "['git']"))) == NO


def test_a_command_rule_that_is_gone_without_an_example_is_undecided() -> None:
    # Each word of the rule has a rule of its own now; whether that is all of it cannot be told by the words alone.
    before = _of(_command("narrow", "ask", "['git', ['push', '-f']]"))
    after = _of(_command("push", "ask", "['git', 'push']") + _command("force", "ask", "['git', '-f']"))

    proof = _only(prove(before, after), Question.CAPABILITY)

    assert (proof.answer, proof.witnesses) == (Answer.UNDECIDED, ())
    assert proof.notes[0] == (
        "rule `narrow` (user.toml:1) has no equal in the second policy, and no example shows what passes"
    )


def _means(patterns: tuple[str, ...], action: ConnectAction) -> bool:
    host = parse_host(action.host)
    return any(HostPattern.parse(text).matches(host, action.port) for text in patterns)


def _means_on_any_port(patterns: tuple[str, ...], action: ConnectAction) -> bool:
    host, parsed = parse_host(action.host), [HostPattern.parse(text) for text in patterns]
    return any(one.matches(host, one.port or action.port) for one in parsed)


def _asks_for(one: Binding, action: ConnectAction) -> bool:
    if one.methods and action.method not in one.methods:
        return False
    decoded = unquote(action.path or "")
    fits = decoded.startswith("/") and re.search(r"[;\\]|//|%[0-9a-f]{2}", decoded) is None
    return not one.paths or (fits and any(Glob(text).matches(components(decoded)) for text in one.paths))


def _level(evaluator: Evaluator, action: ConnectAction, handling: Handling, what: str, question: Question) -> Verdict:
    """What a policy lets pass of a connection with a credential, said once more and in other words."""
    passed = _means(handling.passed_through, action) and not _means(handling.seen, action)
    forbidden = _means(handling.forbidden, action)
    bound = [one for one in handling.bindings if _means(one.hosts, action) and not forbidden]
    ours = [one for one in bound if (one.source or one.credential) == what]
    match question:
        case Question.INSPECTION:
            carries = passed and bool(ours)
        case _ if what == FOREIGN:
            web = action.port in (80, 443)
            pinned = [one for one in handling.bindings if web and _means_on_any_port(one.hosts, action)]
            carries = passed or not (bound or pinned or forbidden)
        case _:
            carries = not passed and any(_asks_for(one, action) for one in ours)
    return evaluator.evaluate(action).verdict if carries else Verdict.DENY


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(networks(), networks(), HANDLINGS, HANDLINGS, st.lists(CONNECTIONS, min_size=1, max_size=12))
def test_a_connection_that_newly_carries_a_credential_makes_the_answer_yes(
    first: NetworkPolicy, second: NetworkPolicy, one: Handling, other: Handling, actions: list[ConnectAction]
) -> None:
    before, after = judging(network=first), judging(network=second)

    proofs = prove(before, after, handling=(one, other))

    for question in (Question.CREDENTIAL, Question.INSPECTION):
        proof = _only(proofs, question)
        said = {witness.what.removeprefix("credential ") for witness in proof.witnesses}
        shown = [witness.action for witness in proof.witnesses if isinstance(witness.action, ConnectAction)]
        for credential in ("key", "login"):
            names = {each.credential for each in other.bindings if (each.source or each.credential) == credential}
            for action in (*actions, *shown):
                was = _level(before, action, one, credential, question)
                now = _level(after, action, other, credential, question)
                assert now.strictness >= was.strictness or names & said
        for witness in proof.witnesses:
            assert isinstance(witness.action, ConnectAction)
            name = witness.what.removeprefix("credential ")
            sources = [each.source or name for each in other.bindings if each.credential == name] or [name]
            confirmed = [
                [
                    _level(of, witness.action, handling, source, question).value
                    for of, handling in ((before, one), (after, other))
                ]
                for source in sources
            ]
            assert [witness.before, witness.after] in confirmed


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(networks(), networks(), st.lists(CONNECTIONS, min_size=1, max_size=12))
def test_no_capability_means_that_no_connection_is_treated_less_strictly(
    first: NetworkPolicy, second: NetworkPolicy, actions: list[ConnectAction]
) -> None:
    before, after = judging(network=first), judging(network=second)

    proof = _only(prove(before, after), Question.CAPABILITY)

    for action in actions:
        was, now = before.evaluate(action).verdict, after.evaluate(action).verdict
        assert now.strictness >= was.strictness or proof.answer is Answer.YES


def test_answers_are_values_that_print_as_json() -> None:
    proofs = prove(judge(policy(base=EMPTY)), _of(_rule("['api.test']")))

    assert [msgspec.json.decode(msgspec.json.encode(proof), type=Proof) for proof in proofs] == list(proofs)
