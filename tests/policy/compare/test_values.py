from __future__ import annotations

import pytest
from tests.policy.making import document, policy

from ringfence.policy.compare.difference import ValueDifference
from ringfence.policy.compare.values import value_differences


@pytest.mark.parametrize(
    ("before", "after", "difference"),
    [
        ("memory_mb = 512", "memory_mb = 1024", ("512", "1024", True)),
        ("memory_mb = 1024", "memory_mb = 512", ("1024", "512", False)),
        ("memory_mb = 512", "", ("512", "not set", True)),
        ("", "memory_mb = 512", ("not set", "512", False)),
    ],
)
def test_a_higher_limit_and_none_at_all_loosen(before: str, after: str, difference: tuple[str, str, bool]) -> None:
    first, second = (policy(document(f"[limits]\n{text}\n")) for text in (before, after))

    one, other, loosens = difference
    assert list(value_differences(first, second)) == [
        ValueDifference(key="limits.memory_mb", before=one, after=other, loosens=loosens)
    ]


def test_a_declared_boundary_loosens() -> None:
    first, second = policy(), policy(document("[sandbox]\nboundary = 'the job'\n"))

    assert list(value_differences(first, second)) == [
        ValueDifference(key="boundary", before="not set", after="the job", loosens=True)
    ]


def test_a_protocol_and_any_host_key_loosen_where_the_verdict_is_the_same() -> None:
    texts = (
        "",
        "protocol = 'ssh'",
        "protocol = 'ssh'\nhost_keys = ['*']",
    )
    plain, forge, any_key = (
        policy(document(f"[[network.rule]]\nhosts = ['github.com:22']\nverdict = 'allow'\n{text}\n")) for text in texts
    )
    key = "spoken to github.com:22"

    assert [*value_differences(plain, forge)] == [ValueDifference(key=key, before="not set", after="ssh", loosens=True)]
    assert [*value_differences(forge, any_key)] == [ValueDifference(key=key, before="ssh", after="ssh *", loosens=True)]
    assert [*value_differences(any_key, plain)] == [
        ValueDifference(key=key, before="ssh *", after="not set", loosens=False)
    ]
