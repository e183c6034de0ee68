"""Public resolvers over HTTPS and TLS stay shut where a rule does not mean them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from tests.policy.making import EMPTY, connect, document, policy

from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host
from ringfence.policy.compare.address_classes import address_kinds
from ringfence.policy.resolvers import is_public_resolver, resolver_addresses

ALL = "[[network.rule]]\nhosts = ['*', '**.google', '0.0.0.0/0', '::/0']\nverdict = 'allow'\n"


@pytest.mark.parametrize(
    ("host", "port", "verdict"),
    [
        ("dns.google", 443, Verdict.DENY),
        ("mozilla.cloudflare-dns.com", 443, Verdict.DENY),
        ("1.1.1.1", 443, Verdict.DENY),
        ("2001:4860:4860::8888", 443, Verdict.DENY),
        ("8.8.8.8", 80, Verdict.DENY),
        ("any.test", 853, Verdict.DENY),
        ("any.test", 443, Verdict.ALLOW),
        ("cloudflare-dns.com.test", 443, Verdict.ALLOW),
        ("1.1.1.4", 443, Verdict.ALLOW),
    ],
)
def test_a_pattern_for_everything_opens_no_resolver(host: str, port: int, verdict: Verdict) -> None:
    assert connect(policy(document(ALL), base=EMPTY), host, port).verdict is verdict


def test_the_denial_says_what_it_is() -> None:
    decision = connect(policy(document(ALL), base=EMPTY), "dns.google")

    assert (decision.reasons[0].rule, decision.reasons[0].text) == (
        "dns.resolver",
        "`dns.google:443` is a public DNS resolver, and only a rule that names it opens it",
    )


@pytest.mark.parametrize(
    ("hosts", "host", "port"),
    [
        ("dns.google", "dns.google", 443),
        ("**.cloudflare-dns.com", "cloudflare-dns.com", 443),
        ("8.8.8.8", "8.8.8.8", 443),
        ("8.8.8.0/24:443", "8.8.8.8", 443),
        ("*:853", "any.test", 853),
        ("resolver.test:853", "resolver.test", 853),
    ],
)
def test_a_rule_that_names_one_opens_it(hosts: str, host: str, port: int) -> None:
    named = f"[[network.rule]]\nhosts = ['{hosts}']\nverdict = 'allow'\n"

    assert connect(policy(document(named), base=EMPTY), host, port).verdict is Verdict.ALLOW


def test_a_question_about_everything_does_not_come_to_a_resolver() -> None:
    asked = policy(document("[network]\ndefault = 'ask'\n"), base="[network]\ndefault = 'ask'\n")

    assert connect(asked, "dns.google").verdict is Verdict.DENY
    assert connect(asked, "any.test").verdict is Verdict.ASK


def test_every_line_of_the_list_is_a_host() -> None:
    assert all(is_public_resolver(parse_host(one)) for one in resolver_addresses())
    assert len(resolver_addresses()) > 100


def test_what_stands_for_a_kind_of_addresses_is_no_resolver() -> None:
    assert not {kind.example for kind in address_kinds(())} & resolver_addresses()


def test_a_range_that_opens_a_resolver_is_seen_as_a_difference() -> None:
    kinds = [kind for kind in address_kinds((ip_network("8.8.8.0/24"),)) if "8.8.8" in kind.example]

    assert {kind.example in resolver_addresses() for kind in kinds} == {True, False}
