"""What may be spoken on a connection: HTTP and TLS, unless a rule names another protocol."""

from __future__ import annotations

import pytest
from tests.policy.making import EMPTY, connect, document, judge, policy

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Sight
from ringfence.policy.host_keys import published
from ringfence.policy.layers import Layer
from ringfence.policy.protocols import usual

KEY = "SHA256:" + "A" * 43
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
GITHUB = """
[[network.rule]]
hosts = ["github.com"]
verdict = "allow"
protocol = "ssh"
"""
FETCH = """
[[network.rule]]
hosts = ["github.com"]
methods = ["GET"]
verdict = "allow"
[[network.rule]]
hosts = ["github.com"]
paths = ["/*/*/git-receive-pack"]
verdict = "ask"
"""


def of(*texts: str, layer: Layer = Layer.USER) -> Policy:
    return policy(*(document(text, layer) for text in texts), base=EMPTY)


def spoken(policy: Policy, host: str, port: int) -> tuple[str, ...] | None:
    return judge(policy).spoken(ConnectAction(host=host, port=port))


def keys(policy: Policy, host: str, port: int = 22) -> tuple[str, ...]:
    return judge(policy).host_keys(ConnectAction(host=host, port=port))


def rule(host: str, *lines: str, verdict: str = "allow") -> str:
    return "\n".join(["[[network.rule]]", f'hosts = ["{host}"]', f'verdict = "{verdict}"', *lines, ""])


def test_a_rule_without_a_protocol_opens_http_and_tls_alone() -> None:
    assert spoken(of(rule("x.test")), "x.test", 5432) == ("http", "tls")


def test_the_port_of_a_protocol_is_meant_where_none_is_written() -> None:
    opened = of(rule("db.test", 'protocol = "postgresql"'))

    assert [connect(opened, "db.test", port).verdict for port in (5432, 443)] == [Verdict.ALLOW, Verdict.DENY]
    assert spoken(opened, "db.test", 5432) == ("postgresql", "tls")


def test_another_port_can_be_written() -> None:
    assert spoken(of(rule("db.test:6432", 'protocol = "postgresql"')), "db.test", 6432) == ("postgresql", "tls")


def test_a_host_whose_requests_are_looked_into_takes_ssh_beside_them() -> None:
    opened = of(FETCH, GITHUB)

    assert connect(opened, "github.com", 22).verdict is Verdict.ALLOW
    assert judge(opened).sight("github.com", 22) is Sight.UNSEEN
    assert spoken(opened, "github.com", 22) == ("ssh",)
    assert judge(opened).sight("github.com", 443) is Sight.INSPECTED
    push = connect(opened, "github.com", 443, "POST", "/us/it/git-receive-pack")
    assert push.verdict is Verdict.ASK


def test_a_rule_for_ssh_opens_no_request() -> None:
    assert connect(of(GITHUB), "github.com", 22, "GET", "/").verdict is Verdict.DENY


def test_whatever_is_looked_into_does_not_leave_through_a_rule_for_tcp() -> None:
    opened = of(FETCH, rule("github.com:9000", 'protocol = "tcp"'))

    assert judge(opened).sight("github.com", 9000) is Sight.INSPECTED


def test_tcp_is_everything_where_nothing_is_looked_into() -> None:
    assert spoken(of(rule("x.test:9000", 'protocol = "tcp"')), "x.test", 9000) == ("http", "tcp", "tls")


def test_a_host_that_requirements_inspect_is_opened_for_no_other_protocol() -> None:
    required = document('[network]\ninspect = ["**.github.com"]\n', Layer.REQUIREMENTS)
    opened = policy(document(GITHUB), required, base=EMPTY)

    assert judge(opened).sight("github.com", 22) is Sight.INSPECTED


def test_a_rule_that_denies_a_host_denies_every_protocol() -> None:
    assert connect(of(GITHUB, rule("github.com", verdict="deny")), "github.com", 22).verdict is Verdict.DENY


def test_a_question_can_be_about_a_protocol() -> None:
    opened = of(rule("github.com", 'protocol = "ssh"', verdict="ask"))

    assert connect(opened, "github.com", 22).verdict is Verdict.ASK
    assert spoken(opened, "github.com", 22) == ("ssh",)


def test_what_a_person_opens_is_opened_for_whatever_listens_there() -> None:
    assert spoken(of("[network]\ndefault = 'ask'\n"), "x.test", 5432) is None


def test_the_hosts_own_loopback_takes_any_protocol() -> None:
    opened = of("[network]\nhost_ports = [5432]\n")

    assert spoken(opened, "host.ringfence.internal", 5432) is None


def test_the_keys_of_forges_are_known_and_a_rules_own_keys_come_before_them() -> None:
    assert keys(of(GITHUB), "github.com") == tuple(key.fingerprint for key in published("github.com"))
    assert keys(of(GITHUB + f'host_keys = ["{KEY}"]'), "github.com") == (KEY,)
    assert keys(of(GITHUB + f'host_keys = ["{ED25519} somebody"]'), "github.com") == (
        "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
    )
    assert keys(of(GITHUB + 'host_keys = ["*"]'), "github.com") == ()


def test_the_keys_of_forges_hold_for_connections_that_a_person_opened() -> None:
    assert keys(of("[network]\ndefault = 'ask'\n"), "gitlab.com") == tuple(
        key.fingerprint for key in published("gitlab.com")
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (rule("git.test", 'protocol = "ssh"'), "`host_keys` is missing here, and the keys of `git.test:22`"),
        (rule("*.github.com", 'protocol = "ssh"'), "the keys of `*.github.com:22`"),
        (rule("x.test", 'protocol = "tcp"'), "write `x.test:PORT`"),
        (rule("x.test", 'protocol = "gopher"'), "`protocol` is `gopher`"),
        (rule("x.test:1", 'protocol = "tcp"', verdict="deny"), "a rule that denies is about every protocol"),
        (rule("x.test:1", 'protocol = "tcp"', 'methods = ["GET"]'), "write two"),
        (rule("x.test", 'host_keys = ["*"]'), 'the rule needs `protocol = "ssh"`'),
        (rule("x.test", 'protocol = "ssh"', "host_keys = []"), "`host_keys` is empty"),
        (rule("x.test", 'protocol = "ssh"', 'host_keys = ["SHA256:short"]'), "is not a host key"),
        (rule("x.test", 'protocol = "ssh"', 'host_keys = ["ssh-rsa AAAA"]'), "is damaged"),
        (rule("x.test", 'protocol = "ssh"', f'host_keys = ["{ED25519[:-4]}"]'), "is damaged"),
    ],
)
def test_what_cannot_be_meant_is_said(text: str, part: str) -> None:
    with pytest.raises(PolicyInvalid) as error:
        of(text)

    assert part in str(error.value)


def test_requirements_open_no_protocol() -> None:
    with pytest.raises(PolicyInvalid) as error:
        of(rule("github.com", 'protocol = "ssh"', verdict="ask"), layer=Layer.REQUIREMENTS)

    assert "requirements only tighten" in str(error.value)


def test_where_an_administrators_rules_are_needed_nobody_elses_rule_opens_a_protocol() -> None:
    managed = document(rule("x.test:9000"), Layer.MANAGED)
    required = document("[network]\ndefault = 'deny'\n", Layer.REQUIREMENTS)
    opened = policy(document(rule("x.test:9000", 'protocol = "tcp"')), managed, required, base=EMPTY)

    assert spoken(opened, "x.test", 9000) == ("http", "tls")


def test_a_name_is_chosen_where_only_a_pattern_opens_it() -> None:
    opened = judge(of(rule("**.x.test"), "[network]\ndefault = 'ask'\n" + rule("a.x.test:443")))

    names = ("b.x.test", "a.x.test", "x.test", "y.test")
    assert [opened.is_chosen(ConnectAction(host=name, port=443)) for name in names] == [True, False, False, False]


@pytest.mark.parametrize(
    ("port", "protocol"),
    [
        (None, ""),
        (443, ""),
        (8080, ""),
        (22, "ssh"),
        (5432, "postgresql"),
        (3306, "mysql"),
        (6379, "redis"),
        (9, "tcp"),
    ],
)
def test_whoever_names_a_port_means_what_is_usual_there(port: int | None, protocol: str) -> None:
    assert usual(port) == protocol


def test_a_denial_says_with_which_port_and_protocol_a_host_is_opened() -> None:
    steps = connect(of("[network]\ndefault = 'ask'\n"), "db.test", 5432).next_steps

    assert steps == (
        "for this session: `--allow-host db.test:5432`",
        'for good: a `[[network.rule]]` with `hosts = ["db.test:5432"]`, `protocol = "postgresql"` and '
        '`verdict = "allow"` in `~/.config/ringfence/policy.toml`',
    )
