"""`[[credentials]]`: what a document may bind, who wins, and which requests a credential is bound to."""

from __future__ import annotations

import msgspec
import pytest
from tests.policy.making import EMPTY, document, policy

from ringfence.model.host import parse_host
from ringfence.model.situations import PolicyInvalid
from ringfence.policy.credentials import CredentialTable, overlap
from ringfence.policy.documents import Document
from ringfence.policy.effective import (
    Attach,
    CredentialForm,
    CredentialPolicy,
    CredentialRule,
    CredentialSource,
    NoCredentials,
    Origin,
    SourceKind,
)
from ringfence.policy.judges.connect import ConnectJudge
from ringfence.policy.layers import Layer


def _bind(name: str = "key", hosts: str = "['api.test']", more: str = "", form: str = "bearer") -> str:
    return f"""[[credentials]]
id = '{name}'
source = {{ environment = 'KEY' }}
form = '{form}'
hosts = {hosts}
{more}
"""


def _forbid(hosts: str) -> str:
    return f"[[no_credentials]]\nhosts = {hosts}\n"


def _faults(text: str, layer: Layer = Layer.USER) -> list[str]:
    with pytest.raises(PolicyInvalid) as caught:
        document(text, layer)
    return [fault.message for fault in caught.value.diagnostics]


def _bound(*documents: Document) -> dict[str, str]:
    """The credentials that count, each with its place."""
    return {rule.id: rule.origin.source for rule in policy(*documents, base=EMPTY).credentials.rules}


def test_a_binding_is_read_whole() -> None:
    text = """
[[credentials]]
id = "forge"
source = { command = ["pass", "show", "forge"] }
form = "git"
hosts = ["forge.test", "*.forge.test:8443"]
methods = ["get"]
paths = ["/open/**"]
owners = ["acme"]
variables = ["FORGE_TOKEN"]
attach = "always"
reason = "clones of ours"

[[no_credentials]]
hosts = ["files.test"]
"""

    assert policy(document(text), base=EMPTY).credentials == CredentialPolicy(
        rules=(
            CredentialRule(
                id="forge",
                source=CredentialSource(kind=SourceKind.COMMAND, command=("pass", "show", "forge")),
                form=CredentialForm.GIT,
                user="x-access-token",
                hosts=("forge.test:443", "*.forge.test:8443"),
                methods=("GET",),
                paths=("/open/**", "/acme/**"),
                variables=("FORGE_TOKEN",),
                attach=Attach.ALWAYS,
                reason="clones of ours",
                origin=Origin(layer="user", source="user.toml:2"),
            ),
        ),
        forbidden=(NoCredentials(hosts=("files.test",), origin=Origin(layer="user", source="user.toml:14")),),
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[credentials]]\nid = 'x'\n", "`source` is missing here"),
        (_bind(hosts="['*']"), "`*` cannot have a credential: only a name has a certificate that says who gets it"),
        (_bind(hosts="['10.0.0.1']"), "`10.0.0.1` cannot have a credential: only a name"),
        (_bind(hosts="['host.ringfence.internal:80']"), "ports of this machine have no certificate"),
        (_bind(hosts="['*.com']"), "`*.com` cannot have a credential: hosts of everybody lie below it"),
        (_bind(hosts="[]"), "`hosts` is empty"),
        (_bind(more="paths = []"), "`paths` is empty"),
        (_bind(more="paths = ['/a?b=c']"), "is not the path of a URL"),
        (_bind(more="methods = ['GET ']"), "is not an HTTP method"),
        (_bind(more="user = 'me'"), "`user` is only for"),
        (_bind(more="header = 'x-key'"), "`header` is only for"),
        (_bind(more="owners = ['acme']"), "`owners` is for `git`, `npm`, `docker`"),
        (_bind(more="variables = ['A B']"), "`A B` is not the name of a variable"),
        (_bind(more="value = 'secret'"), "unknown key `value`"),
        (_bind(form="basic"), "`user` is missing here"),
        (_bind(form="header"), "`header` is missing here"),
        (_bind(form="header", more="header = 'Host'"), "`Host` cannot be the name of a header"),
        (_bind(form="header", more="header = 'a: b'"), "`a: b` cannot be the name of a header"),
        (_bind(form="aws-sigv4", more="variables = ['A']"), "`variables` is not for `aws-sigv4`"),
        (_bind(form="aws-sigv4", more="attach = 'always'"), "`always` is not for `aws-sigv4`"),
        (_bind() + _bind(), "id `key` is already used at `user.toml:1`"),
        (_bind().replace("environment = 'KEY'", ""), "`source` has exactly one of"),
        (_bind().replace("'KEY'", "'KEY', file = '/k'"), "`source` has exactly one of"),
        (_bind().replace("environment = 'KEY'", "file = 'k'"), "a path that begins with `/` or `~/`"),
        (_bind().replace("environment = 'KEY'", "command = []"), "a list of words, the first of which is a program"),
        (_forbid("['x.test']") + "id = 'x'\n", "unknown key `id`"),
    ],
)
def test_what_is_wrong_with_a_binding_is_said(text: str, fault: str) -> None:
    assert any(fault in message for message in _faults(text))


def test_a_value_is_never_in_a_message() -> None:
    assert not any("hunter2" in message for message in _faults(_bind(more="value = 'hunter2'")))


def test_a_project_binds_nothing_until_it_is_trusted() -> None:
    project = document(_bind() + _forbid("['files.test']"), Layer.PROJECT)

    distrusted = policy(msgspec.structs.replace(project, trusted=False), base=EMPTY)

    assert distrusted.credentials.rules == ()
    assert [one.hosts for one in distrusted.credentials.forbidden] == [("files.test",)]
    assert [str(one) for one in distrusted.inactive] == [
        "project.toml:1: credential `key` does not apply: an untrusted project only tightens; read the file and trust"
        " it with `ringfence trust`"
    ]
    assert _bound(project) == {"key": "project.toml:1"}


def test_who_binds_for_everybody_binds_alone() -> None:
    wide, other = document(_bind("mine", "['**.api.test']")), document(_bind("own", "['own.test']"))

    assert _bound(document(_bind(), Layer.MANAGED), wide, other) == {"key": "managed.toml:1", "own": "user.toml:1"}
    assert _bound(wide, other, document(_bind(), Layer.REQUIREMENTS)) == {
        "own": "user.toml:1",
        "key": "requirements.toml:1",
    }
    assert _bound(document(_bind(), Layer.MANAGED), document(_bind(hosts="['x.test']"))) == {"key": "managed.toml:1"}


def test_of_two_people_the_later_layer_says_what_a_name_means() -> None:
    assert _bound(document(_bind()), document(_bind(), Layer.PROJECT)) == {"key": "project.toml:1"}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a.test", "a.test:443", True),
        ("a.test:80", "a.test:443", False),
        ("*.a.test", "a.test", False),
        ("**.a.test", "a.test", True),
        ("*.a.test", "**.b.a.test", True),
        ("*.a.test", "*.b.test", False),
        ("*", "a.test", True),
        ("10.0.0.0/8", "10.1.0.0/16", True),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "a.test", False),
    ],
)
def test_two_patterns_overlap_where_some_host_is_meant_by_both(first: str, second: str, expected: bool) -> None:
    assert (overlap(first, second), overlap(second, first)) == (expected, expected)


@pytest.mark.parametrize(
    ("host", "port", "method", "path", "expected"),
    [
        ("api.test", 443, "GET", "/repos/acme/shop", True),
        ("api.test", 443, "get", "/repos/acme", True),
        ("api.test", 8443, "GET", "/repos/acme/shop", False),
        ("x.api.test", 443, "GET", "/repos/acme/shop", False),
        ("api.test", 443, "POST", "/repos/acme/shop", False),
        ("api.test", 443, "GET", "/repos/other/shop", False),
        ("api.test", 443, "GET", "/repos/acme/../other/shop", False),
        ("api.test", 443, "GET", "/repos/acme/%2e%2e/other", False),
        ("api.test", 443, "GET", "/repos/acme;x/shop", False),
        ("api.test", 443, "GET", "/repos//acme/shop", False),
        ("api.test", 443, "GET", "/repos/acme/%252e%252e/other", False),
        ("api.test", 443, "GET", "/repos/acme\\..\\other", False),
        ("api.test", 443, "GET", "/repos/acme/..%20/other", False),
        ("api.test", 443, "GET", "/repos/acme/.%20./other", False),
        ("api.test", 443, "GET", "/repos/acme/..%09/other", False),
        ("api.test", 443, "GET", "/repos/acme/%25u002e%25u002e/other", False),
        ("api.test", 443, "GET", "/repos/acme/a%20b", True),
        ("api.test", 443, "GET", "", False),
    ],
)
def test_a_credential_is_bound_to_what_every_server_reads_so(
    host: str, port: int, method: str, path: str, expected: bool
) -> None:
    bound = policy(document(_bind(more="methods = ['GET']\npaths = ['/repos/acme/**']")), base=EMPTY).credentials

    assert bool(CredentialTable(bound).of_request(parse_host(host), port, method, path)) is expected


def test_where_none_may_go_nothing_is_bound_and_every_other_is_refused() -> None:
    said = policy(document(_bind(hosts="['*.api.test']") + _forbid("['x.api.test']")), base=EMPTY).credentials
    table = CredentialTable(said)

    assert [len(table.of_host(parse_host(f"{name}.api.test"), 443)) for name in ("x", "y")] == [0, 1]
    assert [table.pins(parse_host(name), 443) for name in ("x.api.test", "y.api.test", "z.test")] == [True, True, False]


def test_hosts_with_a_credential_for_everybody_are_always_looked_into() -> None:
    passing = "[network]\npass_through = ['**.api.test', 'pinned.test']\n"

    own = policy(document(passing + _bind()), base=EMPTY)
    bound = policy(document(_bind(), Layer.MANAGED), document(passing), base=EMPTY)

    assert own.network.pass_through == ("**.api.test", "pinned.test")
    assert bound.network.pass_through == ("pinned.test",)
    assert _faults(passing, Layer.REQUIREMENTS) == [
        "`pass_through` closes our eyes, and requirements only tighten; write it in `policy.toml`"
    ]


@pytest.mark.parametrize(
    ("more", "port", "looked_for"),
    [("methods = ['GET', 'POST']", 443, True), ("", 443, False), ("methods = ['GET']", 8443, False)],
)
def test_where_a_credential_is_bound_to_methods_a_form_names_no_other_one(
    more: str, port: int, looked_for: bool
) -> None:
    judge = ConnectJudge(policy(document(_bind(more=more)), base=EMPTY))

    assert judge.wants("api.test", port).methods is looked_for


def test_a_database_has_its_own_port_and_is_no_host_of_requests() -> None:
    text = _bind(
        "db", hosts="['db.test', 'db.test:6000']", form="postgresql", more="user = 'app'\nvariables = ['PGPASSWORD']\n"
    )
    table = CredentialTable(policy(document(text), base=EMPTY).credentials)
    host = parse_host("db.test")

    assert [rule.id for rule in table.of_database(host, 5432)] == ["db"]
    assert [rule.id for rule in table.of_database(host, 6000)] == ["db"]
    assert table.of_database(host, 443) == ()
    assert not table.pins(host, 5432) and not table.pins(host, 443)
    assert table.saying(host, 5432) == []
    assert not table.is_empty


def test_a_database_where_no_credential_may_go_has_none() -> None:
    text = _bind("db", hosts="['db.test']", form="postgresql") + _forbid("['db.test']")
    table = CredentialTable(policy(document(text), base=EMPTY).credentials)

    assert table.of_database(parse_host("db.test"), 5432) == ()


@pytest.mark.parametrize("more", ["methods = ['GET']", "paths = ['/a']", "owners = ['acme']", "header = 'x-key'"])
def test_a_login_has_no_request(more: str) -> None:
    assert any(
        "is not for `postgresql`" in one or "is for" in one or "is only for" in one
        for one in _faults(_bind(form="postgresql", more=more))
    )
