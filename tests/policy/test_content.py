"""What policies say about what leaves: every layer may want more, and only those who may loosen less."""

from __future__ import annotations

import pytest
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.host import HOST_LOOPBACK
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.compare.values import value_differences
from ringfence.policy.effective import ContentBudget, ContentPolicy, OnSecret, Origin
from ringfence.policy.layers import Layer

STRICT = "[content]\non_secret = 'deny'\ncanaries = true\nunreadable = 'deny'\n"
LOOSE = "[content]\non_secret = 'off'\ncanaries = false\nunreadable = 'allow'\nrecord_only = ['mine.test']\n"


def test_nothing_is_looked_for_where_nobody_says_so() -> None:
    said = policy(base=EMPTY)

    assert said.content == ContentPolicy()
    assert not judge(said).inspects


@pytest.mark.parametrize("layer", [Layer.MANAGED, Layer.REQUIREMENTS])
def test_what_an_administrator_wants_is_loosened_by_nobody_below(layer: Layer) -> None:
    said = policy(document(STRICT, layer), document(LOOSE), base=EMPTY)

    assert said.content == ContentPolicy(on_secret=OnSecret.DENY, canaries=True, unreadable=Verdict.DENY)
    assert sum("content" in text or "mine.test" in text for text in said.notices) == 4


def test_a_person_may_loosen_what_a_preset_says_and_a_repository_only_tightens() -> None:
    repository = document(LOOSE.replace("'off'", "'ask'"), Layer.PROJECT)
    untrusted = type(repository)(
        **{name: getattr(repository, name) for name in repository.__struct_fields__} | {"trusted": False}
    )

    assert policy(document(LOOSE), base=STRICT).content.on_secret is OnSecret.OFF
    assert policy(untrusted, base=STRICT).content == ContentPolicy(
        on_secret=OnSecret.DENY, canaries=True, unreadable=Verdict.DENY
    )
    assert policy(untrusted, base=EMPTY).content.on_secret is OnSecret.ASK
    assert policy(untrusted, base=EMPTY).content.record_only == ()


def test_every_budget_holds_whoever_wrote_it() -> None:
    one = "[[content.budget]]\nhosts = ['*']\nmegabytes = 5\n"
    other = (
        "[[content.budget]]\nhosts = ['**.files.test']\nexcept = ['a.files.test:443']\nmegabytes = 1\n"
        "each = true\nover = 'ask'\n"
    )

    said = policy(document(one, Layer.MANAGED), document(other), base=EMPTY)

    assert said.content.budgets == (
        ContentBudget(hosts=("*",), megabytes=5, origin=Origin(layer="managed", source="managed.toml:1")),
        ContentBudget(
            hosts=("**.files.test",),
            left_out=("a.files.test:443",),
            megabytes=1,
            each=True,
            over=Verdict.ASK,
            origin=Origin(layer="user", source="user.toml:1"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[content]\non_secret = 'block'\n", "`on_secret` is `block`; it is one of `off`, `record`, `ask`, `deny`"),
        ("[content]\ncanary = true\n", "unknown key `canary`; did you mean `canaries`?"),
        ("[content]\nrecord_only = ['a b']\n", "host `a b` holds white space"),
        ("[[content.budget]]\nhosts = []\nmegabytes = 1\n", "`hosts` is empty; name at least one host"),
        ("[[content.budget]]\nhosts = ['*']\n", "`megabytes` is missing here"),
        ("[[content.budget]]\nhosts = ['*']\nmegabytes = 0\n", "`megabytes` is 0; it lies between 1 and 1000000"),
        ("[[content.budget]]\nhosts = ['*']\nmegabytes = 1\nover = 'allow'\n", "`over` is `allow`"),
    ],
)
def test_faults_are_found_where_they_are_written(text: str, fault: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        document(text)

    (found,) = caught.value.diagnostics
    assert found.message.startswith(fault) and found.line >= 1


def test_requirements_let_secrets_go_nowhere() -> None:
    with pytest.raises(PolicyInvalid, match="requirements only tighten"):
        document("[content]\nrecord_only = ['a.test']\n", Layer.REQUIREMENTS)


def test_what_is_looked_into_is_seen_but_where_a_rule_opens_another_protocol() -> None:
    rules = (
        "[network]\npass_through = ['pinned.test']\n"
        "[[network.rule]]\nhosts = ['db.test:5432']\nprotocol = 'tcp'\nverdict = 'allow'\n"
    )
    evaluator = judge(policy(document(STRICT + rules), base=EMPTY))

    seen = {
        (host, port): evaluator.sight(host, port).value
        for host, port in (
            ("any.test", 443),
            ("any.test", 4444),
            ("db.test", 5432),
            ("db.test", 443),
            ("pinned.test", 443),
            (HOST_LOOPBACK, 5432),
        )
    }

    assert seen == {
        ("any.test", 443): "inspected",
        ("any.test", 4444): "inspected",
        ("db.test", 5432): "not inspected",
        ("db.test", 443): "inspected",
        ("pinned.test", 443): "passed through",
        (HOST_LOOPBACK, 5432): "not inspected",
    }


def test_requirements_look_into_what_a_person_would_pass_through() -> None:
    said = policy(document(STRICT, Layer.REQUIREMENTS), document("[network]\npass_through = ['x.test']"), base=EMPTY)

    assert judge(said).sight("x.test", 443).value == "inspected"


@pytest.mark.parametrize("protocol", ["tcp", "postgresql", "redis"])
@pytest.mark.parametrize("layer", [Layer.MANAGED, Layer.REQUIREMENTS])
@pytest.mark.parametrize("besides", ["", "[[network.rule]]\nhosts = ['x.test:443']\nverdict = 'ask'\n"])
def test_a_persons_rule_for_another_protocol_is_no_way_around_for_requests(
    layer: Layer, protocol: str, besides: str
) -> None:
    opened = f"[[network.rule]]\nhosts = ['x.test:443']\nprotocol = '{protocol}'\nverdict = 'allow'\n"
    alone = policy(document(STRICT, layer), document(opened + besides), base=EMPTY)
    repeated = policy(document(STRICT, layer), document(STRICT + opened + besides), base=EMPTY)

    assert judge(alone).spoken(ConnectAction(host="x.test", port=443)) == (protocol,)
    assert judge(repeated).spoken(ConnectAction(host="x.test", port=443)) == (protocol,)


@pytest.mark.parametrize(("layer", "spoken"), [(Layer.MANAGED, ("tcp", "tls")), (Layer.USER, ("tcp",))])
def test_tls_is_spoken_where_the_administrator_who_looks_passes_it_through(
    layer: Layer, spoken: tuple[str, ...]
) -> None:
    opened = document("[[network.rule]]\nhosts = ['x.test:9000']\nprotocol = 'tcp'\nverdict = 'allow'\n", Layer.USER)
    passing = "[network]\npass_through = ['x.test']\n"
    above = STRICT + (passing if layer is Layer.MANAGED else "")
    own = [document(passing, Layer.USER, "other.toml")] if layer is Layer.USER else []
    said = policy(document(above, Layer.MANAGED), opened, *own, base=EMPTY)

    assert judge(said).spoken(ConnectAction(host="x.test", port=9000)) == spoken


@pytest.mark.parametrize(
    ("content", "spoken"),
    [
        (Layer.REQUIREMENTS, ("postgresql",)),
        (Layer.MANAGED, ("postgresql", "tls")),
        (Layer.USER, ("postgresql", "tls")),
    ],
)
def test_a_database_may_be_in_tls_where_whoever_opens_it_may_say_what_is_looked_into(
    content: Layer, spoken: tuple[str, ...]
) -> None:
    opened = "[[network.rule]]\nhosts = ['x.test:443']\nprotocol = 'postgresql'\nverdict = 'allow'\n"
    said = policy(document(STRICT, content), document(opened, Layer.MANAGED), base=EMPTY)

    assert judge(said).spoken(ConnectAction(host="x.test", port=443)) == spoken


@pytest.mark.parametrize(
    "wish", ["[content]\non_secret = 'deny'\n", "[content]\ncanaries = true\n"]
    + [f"[network]\n{key} = ['**.test']\n" for key in ("inspect", "limited", "http2")],
)  # fmt: skip
def test_a_person_passes_nothing_through_that_an_administrator_wants_to_be_seen(wish: str) -> None:
    passing = "[network]\npass_through = ['x.test']\n"
    bound = policy(document(wish, Layer.MANAGED), document(passing), base=EMPTY)
    own = policy(
        document(wish + ("" if "network" in wish else "[network]\n") + "pass_through = ['x.test']\n"), base=EMPTY
    )

    assert judge(bound).sight("x.test", 443).value == "inspected"
    assert [one.what for one in bound.inactive] == ["passing `x.test` through"]
    assert judge(own).sight("x.test", 443).value == "passed through"


def test_an_administrator_passes_through_what_the_same_policy_would_look_into() -> None:
    said = document("[content]\non_secret = 'deny'\n[network]\npass_through = ['x.test']\n", Layer.MANAGED)

    assert judge(policy(said, base=EMPTY)).sight("x.test", 443).value == "passed through"


def test_a_comparison_says_what_loosens() -> None:
    budget = "[[content.budget]]\nhosts = ['*']\nmegabytes = 5\n"
    before, after = (policy(document(text), base=EMPTY) for text in (STRICT + budget, LOOSE))

    found = {(one.key, one.before, one.after, one.loosens) for one in value_differences(before, after)}

    assert found == {
        ("content to mine.test", "findings count", "findings are only recorded", True),
        ("content.budget: *: 5 MB, then deny", "holds", "not set", True),
        ("content.canaries", "true", "false", True),
        ("content.on_secret", "deny", "off", True),
        ("content.unreadable", "deny", "allow", True),
    }


def test_a_list_of_ones_own_takes_the_place_of_that_of_a_preset() -> None:
    base = "[content]\nrecord_only = ['api.model.test']\n"

    assert policy(base=base).content.record_only == ("api.model.test",)
    assert policy(document(STRICT, Layer.MANAGED), base=base).content.record_only == ("api.model.test",)
    assert policy(document("[content]\nrecord_only = []\n"), base=base).content.record_only == ()
    assert policy(document("[content]\nrecord_only = []\n", Layer.REQUIREMENTS), base=base).content.record_only == ()
    assert policy(document(LOOSE), base=base).content.record_only == ("mine.test",)
