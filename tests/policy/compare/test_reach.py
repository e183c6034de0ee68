"""Whatever newly ends at an address that is not public is found, exactly as the gateway would dial it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.policy.compare.pairs import judging, networks
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import ConnectAction
from ringfence.model.addresses import AddressKind, classify
from ringfence.model.decision import Verdict
from ringfence.policy.compare.network import judged
from ringfence.policy.compare.reach import Reached, newly_reached, reach
from ringfence.policy.effective import NetworkPolicy
from ringfence.policy.evaluate import Evaluator

ADDRESSES = st.sampled_from(
    ["10.1.2.3", "10.1.2.4", "10.2.0.1", "127.0.0.1", "::1", "fd00::1", "169.254.169.254", "192.168.0.1", "64:ff9b::1"]
)
HOSTS = st.one_of(ADDRESSES, st.sampled_from(["a.test", "x.a.test", "b.a.test", "other", "host.ringfence.internal"]))
REQUESTS = st.sampled_from([(None, None), ("GET", None), ("PUT", "/a"), ("POST", "/b/a"), ("GET", "/a;b")])


def _ends(host: str, address: str) -> str:
    if host == "host.ringfence.internal":
        return "127.0.0.1"
    return host if host[0].isdigit() or ":" in host else address


def _rule(text: str) -> str:
    return f"[[network.rule]]\n{text}\n"


def _reached(before: Evaluator, after: Evaluator) -> list[Reached]:
    return list(newly_reached(judged(before, after), before, after))


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(
    networks(),
    networks(),
    st.lists(st.tuples(HOSTS, st.sampled_from([443, 80, 81, 82]), REQUESTS, ADDRESSES), min_size=1, max_size=12),
)
def test_what_newly_ends_at_such_an_address_has_a_witness(
    first: NetworkPolicy,
    second: NetworkPolicy,
    tried: list[tuple[str, int, tuple[str | None, str | None], str]],
) -> None:
    before, after = judging(network=first), judging(network=second)

    told = {(one.kind, one.before, one.after) for one in _reached(before, after)}

    for host, port, (method, path), leads in tried:
        action = ConnectAction(host=host, port=port, method=method, path=path)
        address = _ends(host, leads)
        one, other = reach(before, action, address), reach(after, action, address)
        assert other.strictness >= one.strictness or (classify(address).kind, one, other) in told


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(networks(), networks())
def test_a_witness_is_confirmed_by_what_the_gateway_reads(first: NetworkPolicy, second: NetworkPolicy) -> None:
    before, after = judging(network=first), judging(network=second)

    for one in _reached(before, after):
        assert (reach(before, one.action, one.address), reach(after, one.action, one.address)) == (
            one.before,
            one.after,
        )


def test_a_range_that_is_declared_opens_it_to_every_allowed_name() -> None:
    name = _rule("hosts = ['db.corp.test:5432']\nverdict = 'allow'")
    before = judge(policy(document(name), base=EMPTY))
    after = judge(policy(document(name + _rule("hosts = ['10.0.0.0/8:5432']\nverdict = 'allow'")), base=EMPTY))

    found = {(one.action.host, one.action.port, one.address, one.before, one.after) for one in _reached(before, after)}

    assert found == {
        ("10.0.0.1", 5432, "10.0.0.1", Verdict.DENY, Verdict.ALLOW),
        ("db.corp.test", 5432, "10.0.0.1", Verdict.DENY, Verdict.ALLOW),
    }


def test_a_wildcard_over_public_hosts_reaches_nothing_private() -> None:
    before = judge(policy(base=EMPTY))
    after = judge(policy(document(_rule("hosts = ['**.example.test']\nverdict = 'allow'")), base=EMPTY))

    assert _reached(before, after) == []


def test_every_host_means_the_hosts_of_the_network_and_no_private_address() -> None:
    before = judge(policy(base=EMPTY))
    after = judge(policy(document(_rule("hosts = ['*']\nverdict = 'allow'")), base=EMPTY))

    assert _reached(before, after) == []


def test_a_port_of_the_hosts_loopback_is_reached() -> None:
    before = judge(policy(base=EMPTY))
    after = judge(policy(document("[network]\nhost_ports = [5432]\n"), base=EMPTY))

    found = [(one.action.host, one.action.port, one.kind) for one in _reached(before, after)]

    assert found == [("host.ringfence.internal", 5432, AddressKind.LOOPBACK)]


def test_a_name_that_may_lead_into_the_own_network_reaches_that_and_neither_the_metadata_nor_the_link() -> None:
    named = "hosts = ['pkgs.corp.test:443']\nverdict = 'allow'"
    before = judge(policy(document(_rule(named)), base=EMPTY))
    after = judge(policy(document(_rule(f"{named}\nprivate = true")), base=EMPTY))

    found = {(one.action.host, one.action.port, one.kind, one.before, one.after) for one in _reached(before, after)}

    assert found == {
        ("pkgs.corp.test", 443, kind, Verdict.DENY, Verdict.ALLOW)
        for kind in (AddressKind.PRIVATE, AddressKind.SHARED, AddressKind.DOCUMENTATION)
    }
