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


def test_to_say_less_about_what_a_server_of_tools_has_to_be_loosens() -> None:
    digest = "sha256:" + "0" * 64
    server = "[[mcp.server]]\nname = 'a'\nurl = 'https://a.test/'\n"
    free, any_list, one_list = (
        policy(*([document(text)] if text else [])) for text in ("", server, f"{server}tools = ['{digest}']\n")
    )
    key, held = "mcp.server: a", f"https://a.test/ with the tools {digest}"

    assert [*value_differences(free, any_list)] == [
        ValueDifference(key=key, before="anything", after="https://a.test/", loosens=False)
    ]
    assert [*value_differences(any_list, free)] == [
        ValueDifference(key=key, before="https://a.test/", after="anything", loosens=True)
    ]
    assert [*value_differences(one_list, any_list)] == [
        ValueDifference(key=key, before="anything", after="https://a.test/", loosens=False),
        ValueDifference(key=key, before=held, after="anything", loosens=True),
    ]


def test_to_let_sessions_begin_with_servers_that_start_unseen_loosens() -> None:
    refuses, tells = (policy(document(f"[mcp]\nunseen = '{value}'\n")) for value in ("deny", "allow"))

    assert [*value_differences(refuses, tells)] == [
        ValueDifference(key="mcp.unseen", before="deny", after="allow", loosens=True)
    ]


def test_to_take_other_tools_without_a_question_loosens() -> None:
    asks, takes = (policy(document(f"[mcp]\nchanged = '{verdict}'\n")) for verdict in ("ask", "allow"))

    assert [*value_differences(asks, takes)] == [
        ValueDifference(key="mcp.changed", before="ask", after="allow", loosens=True)
    ]
