"""Whatever two policies decide differently about a connection is among their differences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.compare.pairs import judging, networks
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.policy.compare.difference import Area, Difference, Side, side
from ringfence.policy.compare.network import judged, network_differences
from ringfence.policy.effective import NetworkPolicy

CONNECTIONS = st.builds(
    ConnectAction,
    host=st.sampled_from(
        [
            *("a.test", "b.a.test", "c.b.a.test", "c.a.test", "test", "x.test", "host.ringfence.internal", "other"),
            *("10.1.2.3", "10.1.2.4", "10.2.0.1", "11.0.0.1", "127.0.0.1", "::1", "fd00::1", "2001:db8::1", "2606::1"),
            *("169.254.169.254", "192.0.0.9", "192.0.0.11", "100.64.0.1", "224.0.0.1", "64:ff9b::1", "::ffff:10.1.2.3"),
        ]
    ),
    port=st.sampled_from([443, 80, 81, 82, 0]),
    method=st.sampled_from([None, "GET", "POST", "get", "PUT"]),
    path=st.one_of(
        st.none(),
        st.sampled_from(["/", "/a", "/a/b", "/b?a", "/a%2fb", "/..", "/a;b", "x", "/a%25b", "/%4a", "/%2541", "/a%b"]),
        st.text("ab/%4.;\\é?", max_size=6).map(lambda text: "/" + text),
    ),
)


@pytest.mark.slow
@settings(deadline=None, max_examples=120)
@given(networks(), networks(), st.lists(CONNECTIONS, min_size=1, max_size=12))
def test_a_connection_that_is_judged_differently_has_a_difference_with_the_same_verdicts(
    first: NetworkPolicy, second: NetworkPolicy, actions: list[ConnectAction]
) -> None:
    before, after = judging(network=first), judging(network=second)

    told = {(one.before, one.after) for one in network_differences(judged(before, after))}

    for action in actions:
        one, other = side(before.evaluate(action)), side(after.evaluate(action))
        assert one.verdict is other.verdict or (one, other) in told


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(networks(), networks())
def test_each_difference_is_confirmed_by_its_own_action(first: NetworkPolicy, second: NetworkPolicy) -> None:
    before, after = judging(network=first), judging(network=second)

    for one in network_differences(judged(before, after)):
        assert (side(before.evaluate(one.action)), side(after.evaluate(one.action))) == (one.before, one.after)


def test_a_difference_names_hosts_ports_methods_and_paths_as_people_do() -> None:
    rule = "hosts = ['api.test:8080']\nmethods = ['GET']\npaths = ['/v1/**']\nverdict = 'allow'\nid = 'api'\n"
    before = judge(policy(base=EMPTY))
    after = judge(policy(document(f"[[network.rule]]\n{rule}"), base=EMPTY))

    found = list(network_differences(judged(before, after)))

    assert found == [
        Difference(
            area=Area.NETWORK,
            what="api.test: port 8080; GET; paths such as /v1",
            action=ConnectAction(host="api.test", port=8080, method="GET", path="/v1"),
            before=Side(verdict=Verdict.DENY, rule="network.default", source="base.toml:2"),
            after=Side(verdict=Verdict.ALLOW, rule="api", source="user.toml:1"),
        )
    ]


def test_a_wildcard_is_shown_by_a_name_that_no_rule_mentions() -> None:
    opened = "[[network.rule]]\nhosts = ['*.a.test']\nverdict = 'allow'\n"
    rules = f"{opened}[[network.rule]]\nhosts = ['x.a.test']\nverdict = 'deny'\n"
    before = judge(policy(base=EMPTY))
    after = judge(policy(document(rules), base=EMPTY))

    found = [(one.what, one.action.host) for one in network_differences(judged(before, after))]

    assert found == [("other names below a.test", "anything.a.test")]
