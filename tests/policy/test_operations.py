"""What requests do, read off their heads and bodies."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.policy.making import EMPTY, document, judge, policy

from ringfence.model.action import ConnectAction, RequestFacts
from ringfence.model.decision import Verdict
from ringfence.policy.evaluate import Sight
from ringfence.policy.graphql import UNKNOWN, Body, Query, graphql_kinds
from ringfence.policy.layers import Layer
from ringfence.policy.operations import KINDS, covered, operations

BOTH = ("graphql-query", "graphql-mutation")
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {}}


def sent(value: object, *, complete: bool = True, media: str = "application/json") -> Body:
    return Body(content=json.dumps(value).encode(), complete=complete, media=media)


@pytest.mark.parametrize(
    ("method", "path", "query", "done"),
    [
        ("GET", "/a", {}, ("read",)),
        ("POST", "/a", {}, ("write",)),
        ("DELETE", "/a", {}, ("write",)),
        ("GET", "/o/r.git/info/refs", {"service": ("git-upload-pack",)}, ("git-fetch",)),
        ("GET", "/o/r.git/info/refs", {"service": ("git-receive-pack",)}, ("git-push",)),
        ("GET", "/o/r.git/info/refs", {"service": ("git-upload-pack", "git-receive-pack")}, ("git-push",)),
        ("GET", "/o/r.git/info/refs", {"service": ("git-receive-packX",)}, ("git-push",)),
        ("GET", "/o/r.git/info/refs", {}, ("read",)),
        ("POST", "/o/r.git/git-upload-pack", {}, ("git-fetch",)),
        ("POST", "/o/r/git-receive-pack", {}, ("git-push",)),
        ("POST", "/o/r.git%2Fgit-receive-pack", {}, ("git-push",)),
        ("POST", "/o/r.git/git-receive-pack/", {}, ("git-push",)),
        ("POST", "/o/r.git/git-receive-pack;x", {}, ("git-push",)),
        ("POST", "/o/r.git/git%252Dreceive-pack", {}, ("git-push",)),
        ("POST", "/o/r.git/x%2f..%2fgit-receive-pack", {}, ("git-push",)),
        ("GET", "/o/r.git/info%2Frefs", {"service": ("git-receive-pack",)}, ("git-push",)),
        ("POST", "/git-upload-pack%2f..%2fgit-receive-pack", {}, ("git-push",)),
        ("POST", "/git-receive-pack%2f..%2fgit-upload-pack", {}, ("git-fetch", "write")),
        ("POST", "/api/things;/git-upload-pack", {}, ("git-fetch",)),
        ("POST", "/api/things%2Fgit-upload-pack", {}, ("git-fetch", "write")),
        ("POST", "/o/r.git/GIT-UPLOAD-PACK", {}, ("write",)),
        ("POST", "/o/r.git/Git-Receive-Pack", {}, ("git-push",)),
        ("POST", "/o/r.git/git-receive-pack.", {}, ("git-push",)),
        ("POST", "/o/r.git/git-receive-pack%20", {}, ("git-push",)),
        ("POST", "/o/r.git/git-receive-pack%3fx", {}, ("git-push",)),
        ("GET", "/o/r.git/info/Refs", {"service": ("git-receive-pack",)}, ("git-push",)),
        ("POST", "/GraphQL", {}, (UNKNOWN,)),
        ("POST", "/graphql.", {}, (UNKNOWN,)),
        ("POST", "/O/r.git/info/LFS/objects/Batch", {}, (UNKNOWN,)),
        ("POST", "/o/r.git/git-upload-pack;/../git-receive-pack", {}, ("git-push",)),
        ("PUT", "/api%2Fv1/crates/new", {}, ("package-publish",)),
        ("POST", "/graphql;x/", {}, (UNKNOWN,)),
        ("POST", "/o/r.git/info/lfs/locks", {}, ("git-lfs-upload",)),
        ("POST", "/o/r.git/info/lfs/objects/batch", {}, (UNKNOWN,)),
        ("PUT", "/left-pad", {}, ("package-publish",)),
        ("PUT", "/@scope%2Fname", {}, ("package-publish",)),
        ("PUT", "/@scope/name", {}, ("package-publish",)),
        ("POST", "/legacy/", {}, ("package-publish",)),
        ("PUT", "/api/v1/crates/new", {}, ("package-publish",)),
        ("POST", "/v2/team/image/blobs/uploads/", {}, ("package-publish",)),
        ("PUT", "/v2/team/image/manifests/latest", {}, ("package-publish",)),
        ("GET", "/v2/team/image/manifests/latest", {}, ("read",)),
        ("PUT", "/maven2/g/a/1/a-1.pom", {}, ("package-publish",)),
        ("POST", "/-/npm/v1/security/audits/quick", {}, ("package-audit",)),
        ("GET", "/graphql", {"query": ("{ viewer { login } }",)}, ("graphql-query",)),
        ("GET", "/graphql", {"query": ("mutation { x }",)}, ("graphql-mutation",)),
        ("GET", "/graphql", {"query": ("{a}",), "Query": ("mutation { x }",)}, BOTH),
        ("GET", "/graphql", {"extensions": ("{}",)}, (UNKNOWN,)),
        ("POST", "/graphql", {}, (UNKNOWN,)),
    ],
)
def test_what_a_request_does_by_its_head(method: str, path: str, query: Query, done: tuple[str, ...]) -> None:
    assert operations(method, path, query, None) == done


@pytest.mark.parametrize(
    ("path", "body", "done"),
    [
        ("/graphql", sent({"query": "query A { a }"}), ("graphql-query",)),
        ("/api/graphql", sent({"query": "query A {a} mutation B {b}", "operationName": "A"}), BOTH),
        ("/graphql", sent([{"query": "{a}"}, {"query": "mutation{b}"}]), BOTH),
        ("/graphql", sent({"query": "{a}", "Query": "mutation{b}"}), BOTH),
        ("/graphql", sent({"QUERY": "{a}"}), ("graphql-query", UNKNOWN)),
        ("/graphql", sent({"extensions": {"persistedQuery": {"sha256Hash": "0"}}}), (UNKNOWN,)),
        ("/graphql", sent({"query": "{a}"}, complete=False), (UNKNOWN,)),
        ("/graphql", Body(content=b"not json", complete=True, media="application/json"), (UNKNOWN,)),
        ("/graphql", Body(content=b"{a}", complete=True, media="application/graphql"), ("graphql-query",)),
        ("/elsewhere", sent({"query": "mutation { a }"}), ("graphql-mutation",)),
        ("/search", sent({"query": "shoes"}), ("write",)),
        ("/mcp", sent(CALL), ("mcp-call",)),
        ("/mcp", sent([{**CALL, "method": "ping"}, CALL]), ("mcp-other", "mcp-call")),
        ("/o/r.git/info/lfs/objects/batch", sent({"operation": "download"}), ("git-lfs-download",)),
        ("/o/r.git/info/lfs/objects/batch", sent({"operation": "upload"}), ("git-lfs-upload",)),
    ],
)  # fmt: skip
def test_what_a_request_does_by_its_body(path: str, body: Body, done: tuple[str, ...]) -> None:
    assert operations("POST", path, {}, body) == done


@pytest.mark.parametrize(
    ("content", "complete", "media", "done"),
    [
        (b"", False, "application/json", (UNKNOWN,)),
        (b" " * 99, False, "text/plain", (UNKNOWN,)),
        (b'\xef\xbb\xbf\n{"a":"', False, "application/octet-stream", (UNKNOWN,)),
        (b'{"jsonrpc":"2.0","method":"ping","method":"tools/call"}', True, "text/plain", (UNKNOWN,)),
        (b'{"jsonrpc":"2.0","Method":"tools/call"}', True, "application/json", (UNKNOWN,)),
        (b'{"jsonrpc":"2.0","method":"ping","METHOD":"tools/call"}', True, "application/json", (UNKNOWN,)),
        (b'{"JsonRpc":"2.0","Method":"resources/read"}', True, "application/json", (UNKNOWN,)),
        (b'{"method":"tools\\/call"}', True, "application/json", ("mcp-call",)),
        (b'{"Method":"card","Params":{}}', True, "application/json", ("write",)),
        (b'[{"jsonrpc":"2.0","method":"tools/call"},1]', True, "application/json", ("mcp-call",)),
        (' {"jsonrpc":"2.0","method":"tools/call"}'.encode("utf-16-le"), True, "text/plain", (UNKNOWN,)),
        ('{"jsonrpc":"2.0","method":"tools/call"}'.encode("utf-32-be"), True, "", (UNKNOWN,)),
        (b"\x7fELF\0", False, "application/octet-stream", ("write",)),
        (b"--b\r\n{", False, "multipart/form-data", (UNKNOWN,)),
        (b"0032want", True, "application/x-git-upload-pack-request", ("write",)),
        (b"", True, "application/json", ("write",)),
        (b"[1,2]", True, "application/json", ("write",)),
    ],
)  # fmt: skip
def test_a_body_that_may_be_a_call_and_cannot_be_read_is_unknown(
    content: bytes, complete: bool, media: str, done: tuple[str, ...]
) -> None:
    assert operations("POST", "/mcp", {}, Body(content=content, complete=complete, media=media)) == done


def test_a_long_package_is_published_and_nothing_else() -> None:
    body = Body(content=b'{"_id":"p","_attachments":{', complete=False, media="application/json")

    assert operations("PUT", "/p", {}, body) == ("package-publish",)


MUTATION = 'mutation M($a: In = {b: 1}) { drop(id: "x") }'


def form(text: str, *, media: str = "application/x-www-form-urlencoded", complete: bool = True) -> Body:
    return Body(content=text.encode(), complete=complete, media=media, boundary="b" if "multi" in media else "")


def parts(*named: tuple[str, str], between: str = "--b", head: str = "") -> Body:
    said = "".join(
        f'{between}\r\nContent-Disposition: form-data; name="{name}"\r\n{head}\r\n{text}\r\n' for name, text in named
    )
    return form(f"{said}{between}--\r\n", media="multipart/form-data")


JSON_OF_IT = json.dumps({"query": MUTATION})


@pytest.mark.parametrize("path", ["/elsewhere", "/graphql"])
@pytest.mark.parametrize(
    ("body", "done"),
    [
        (form(f"query={quote_plus(MUTATION)}"), "graphql-mutation"),
        (form(f"a=1;query={quote_plus(MUTATION)}"), "graphql-mutation"),
        (form(f"operations={quote_plus(JSON_OF_IT)}&map=%7B%7D"), "graphql-mutation"),
        (form(f"batch[0][query]={quote_plus(MUTATION)}"), "graphql-mutation"),
        (form("query=%7Ba%7D", complete=False), UNKNOWN),
        (form("operationName=Drop&variables=%7B%7D"), UNKNOWN),
        (parts(("operations", JSON_OF_IT), ("map", "{}"), ("0", "file")), "graphql-mutation"),
        (parts(("operations", f"[{JSON_OF_IT}]")), "graphql-mutation"),
        (parts(("operations", JSON_OF_IT.replace("mut", "\\u006dut"))), "graphql-mutation"),
        (parts(("operations", '{"query":"{a}",' + JSON_OF_IT[1:])), UNKNOWN),
        (parts(("query", MUTATION)), "graphql-mutation"),
        (parts(("query", "=6dutation{a}"), head="Content-Transfer-Encoding: quoted-printable\r\n"), UNKNOWN),
        (parts(("query", MUTATION), between="--c"), UNKNOWN),
        (parts(("query", f"{{a}} # --b\n{MUTATION}")), UNKNOWN),
        (parts(("query", "type X { a: Int } mutation { a }")), UNKNOWN),
    ],
)
def test_a_mutation_in_a_form_is_one_on_any_path(path: str, body: Body, done: str) -> None:
    assert operations("POST", path, {}, body) == (done,)


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "done"),
    [
        ("GET", "/elsewhere", {"query": (MUTATION,)}, None, ("graphql-mutation",)),
        ("GET", "/elsewhere", {"q": (JSON_OF_IT,)}, None, ("graphql-mutation",)),
        ("POST", "/elsewhere", {"query": (MUTATION,)}, sent({}), ("graphql-mutation",)),
        ("GET", "/elsewhere", {"extensions": ('{"persistedQuery":{"sha256Hash":"0"}}',)}, None, (UNKNOWN,)),
        ("GET", "/elsewhere", {"queryId": ("7",), "variables": ("{}",)}, None, (UNKNOWN,)),
        ("GET", "/elsewhere", {}, sent({"query": MUTATION}), ("graphql-mutation",)),
        ("GET", "/graphql", {}, sent({"query": MUTATION}), ("graphql-mutation",)),
        ("PATCH", "/graphql", {"query": ("{a}",)}, sent({"query": MUTATION}), BOTH),
        ("POST", "/elsewhere", {}, sent([{"query": "{a}"}, {"query": MUTATION}]), BOTH),
        ("POST", "/elsewhere", {}, sent({"requests": [{"q": MUTATION}]}), ("graphql-mutation",)),
        ("POST", "/elsewhere", {}, sent({"extensions": {}, "operationName": "Drop"}), (UNKNOWN,)),
        ("POST", "/elsewhere", {}, sent({"doc_id": "1", "variables": {}}), (UNKNOWN,)),
    ],
)
def test_a_mutation_is_one_wherever_a_request_says_it(
    method: str, path: str, query: Query, body: Body | None, done: tuple[str, ...]
) -> None:
    assert operations(method, path, query, body) == done


@pytest.mark.parametrize(
    ("method", "query", "body", "done"),
    [
        ("GET", {"query": ("shoes",), "operationName": ("x",)}, None, "read"),
        ("GET", {"q": ("a mutation of genes {1}",)}, None, "read"),
        ("POST", {}, sent({"query": "shoes", "id": 1}), "write"),
        ("POST", {}, sent({"title": "the mutation { fails }", "body": "[x]"}), "write"),
        ("POST", {}, sent({"paths": {"/a": {"operationId": "list"}}}), "write"),
        ("POST", {}, form("title=%5BWIP%5D+mutation&body=x"), "write"),
        ("POST", {}, parts(("file", "class A {}"), ("name", "a")), "write"),
        ("POST", {}, Body(content=b"null", complete=True, media="application/json"), "write"),
    ],
)
def test_what_only_speaks_of_mutations_is_none(method: str, query: Query, body: Body | None, done: str) -> None:
    assert operations(method, "/elsewhere", query, body) == (done,)


def test_a_long_package_in_the_parts_of_a_form_is_published_and_nothing_else() -> None:
    body = Body(content=b"--b\r\n", complete=False, media="multipart/form-data", boundary="b")

    assert operations("POST", "/legacy/", {}, body) == ("package-publish",)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("{a}", ["graphql-query"]),
        ("fragment F on X { a } query { ...F }", ["graphql-query"]),
        ('query { a(text: "} mutation { b }") }', ["graphql-query"]),
        ('query { a(text: """ } mutation { b } """) }', ["graphql-query"]),
        ("# mutation { a }\nquery { b }", ["graphql-query"]),
        ("query { a } # }\nmutation { b }", ["graphql-query", "graphql-mutation"]),
        ('query { a(t: "#") } mutation { b }', ["graphql-query", "graphql-mutation"]),
        ("subscription S($a: Int = 1) { a }", ["graphql-subscription"]),
        ("query Q($f: F = {a: 1}) { a }", ["graphql-query"]),
        ("query { a", [UNKNOWN]),
        ("}{", [UNKNOWN]),
        ("", [UNKNOWN]),
        ("extend type X { a }", [UNKNOWN]),
        ("fragment F on X { a }", [UNKNOWN]),
    ],
)
def test_every_operation_of_a_graphql_document_counts(text: str, kinds: list[str]) -> None:
    assert graphql_kinds(text) == kinds


DEFINITIONS = (
    "{a}",
    'query A($x: In = {s: "}"}) { a(x: $x) { b } }',
    "fragment F on T @d(a: [1, {b: 2}]) { c }",
    "# mutation {\n",
    'query B { a(t: """ # } \\""" """) }',
    "subscription S { s }",
)


@given(
    before=st.lists(st.sampled_from(DEFINITIONS), max_size=4),
    after=st.lists(st.sampled_from(DEFINITIONS), max_size=4),
)
def test_a_mutation_is_hidden_by_nothing_in_front_of_or_behind_it(before: list[str], after: list[str]) -> None:
    document = " ".join((*before, "mutation M { m }", *after))

    assert "graphql-mutation" in graphql_kinds(document)


LIMITED = """
[network]
limited = ["*"]
[[network.rule]]
hosts = ["a.test", "b.test"]
verdict = "allow"
[[network.rule]]
hosts = ["b.test"]
methods = ["POST"]
paths = ["/v1/**"]
verdict = "allow"
"""


@pytest.mark.parametrize(
    ("layer", "host", "method", "path", "expected"),
    [
        (Layer.USER, "a.test", "GET", "/", Verdict.ALLOW),
        (Layer.USER, "a.test", "POST", "/v1/x", Verdict.DENY),
        (Layer.USER, "b.test", "POST", "/v1/x", Verdict.ALLOW),
        (Layer.USER, "b.test", "POST", "/other", Verdict.DENY),
        (Layer.USER, "b.test", "DELETE", "/v1/x", Verdict.DENY),
        (Layer.USER, "c.test", "POST", "/", Verdict.DENY),
        (Layer.REQUIREMENTS, "b.test", "HEAD", "/v1/x", Verdict.ALLOW),
        (Layer.REQUIREMENTS, "b.test", "POST", "/v1/x", Verdict.DENY),
    ],
)
def test_limited_hosts_take_what_only_reads_and_what_a_rule_names(
    layer: Layer, host: str, method: str, path: str, expected: Verdict
) -> None:
    limit, _, rules = LIMITED.partition("[[")
    merged = policy(document(limit, layer), document(f"[[{rules}"), base=EMPTY)

    decision = judge(merged).evaluate(ConnectAction(host=host, port=443, method=method, path=path))

    assert decision.verdict is expected
    assert judge(merged).sight(host, 443) is Sight.INSPECTED


@pytest.mark.parametrize(
    ("rule", "limited", "expected"),
    [
        ("", False, Verdict.ALLOW),
        ("", True, Verdict.DENY),
        ('methods = ["GET"]', False, Verdict.DENY),
        ('methods = ["GET", "POST"]', False, Verdict.ALLOW),
        ('methods = ["GET", "POST"]', True, Verdict.DENY),
        ('methods = ["GET"]\noperations = ["websocket"]', True, Verdict.ALLOW),
        ('operations = ["read"]', False, Verdict.DENY),
    ],
)
def test_a_websocket_is_more_than_the_request_it_begins_with(rule: str, limited: bool, expected: Verdict) -> None:
    limits = "[network]\nlimited = ['a.test']\n" if limited else ""
    merged = policy(document(f'{limits}[[network.rule]]\nhosts = ["a.test"]\nverdict = "allow"\n{rule}\n'), base=EMPTY)
    asks = ConnectAction(
        host="a.test",
        port=443,
        method="GET",
        path="/",
        facts=RequestFacts(operations=("websocket",), query=(), headers=()),
    )

    assert judge(merged).evaluate(asks).verdict is expected


def test_a_host_with_http2_is_inspected_and_no_other_one_speaks_it() -> None:
    merged = policy(document('[network]\nhttp2 = ["**.grpc.test:443"]\npass_through = ["b.grpc.test"]\n'), base=EMPTY)
    evaluator = judge(merged)

    seen = [(name, evaluator.sight(name, 443).value, evaluator.speaks_http2(name, 443)) for name in NAMES]

    assert seen == [
        ("a.grpc.test", "inspected", True),
        ("b.grpc.test", "passed through", True),
        ("other.test", "not inspected", False),
        ("..", "not inspected", False),
    ]
    assert not evaluator.speaks_http2("a.grpc.test", 8443)


NAMES = ("a.grpc.test", "b.grpc.test", "other.test", "..")


def test_what_covers_what_is_closed() -> None:
    assert covered(("read", "write")) >= set(KINDS) - {"package-install"} | {UNKNOWN}


PUBLIC, TEAM = ("kind", "public1"), ("x-team", "a")
RULES = """
[network]
default = "ask"
[[network.rule]]
id = "fetch"
hosts = ["forge.test"]
operations = ["git-fetch"]
paths = ["/acme/**"]
verdict = "allow"
[[network.rule]]
id = "no-mutation"
hosts = ["api.test"]
operations = ["graphql-mutation"]
verdict = "deny"
[[network.rule]]
id = "reads"
hosts = ["api.test"]
operations = ["read"]
verdict = "allow"
[[network.rule]]
id = "search"
hosts = ["find.test"]
query = { kind = "public*" }
headers = { X-Team = "a" }
verdict = "allow"
[[network.rule]]
id = "no-debug"
hosts = ["find.test"]
query = { debug = "*" }
verdict = "deny"
[[network.rule]]
id = "no-raw"
hosts = ["find.test"]
query = { mode = "Raw" }
verdict = "deny"
"""


def verdict(host: str, method: str, path: str, facts: RequestFacts | None) -> Verdict:
    action = ConnectAction(host=host, port=443, method=method, path=path)
    if facts is not None:
        action = ConnectAction(host=host, port=443, method=method, path=path, facts=facts)
    return judge(policy(document(RULES), base=EMPTY)).evaluate(action).verdict


@pytest.mark.parametrize(
    ("host", "method", "path", "facts", "expected"),
    [
        ("forge.test", "POST", "/acme/r/git-upload-pack", RequestFacts(operations=("git-fetch",)), Verdict.ALLOW),
        ("forge.test", "POST", "/acme/r/git-upload-pack", None, Verdict.ALLOW),
        ("forge.test", "POST", "/other/r/git-upload-pack", RequestFacts(operations=("git-fetch",)), Verdict.ASK),
        ("forge.test", "POST", "/acme/r/git-receive-pack", RequestFacts(operations=("git-push",)), Verdict.ASK),
        ("api.test", "POST", "/graphql", RequestFacts(operations=("graphql-query",)), Verdict.ALLOW),
        ("api.test", "POST", "/graphql", RequestFacts(operations=("graphql-query", "graphql-mutation")), Verdict.DENY),
        ("api.test", "POST", "/graphql", RequestFacts(operations=(UNKNOWN,)), Verdict.DENY),
        ("api.test", "POST", "/graphql", None, Verdict.DENY),
        ("api.test", "POST", "/x", None, Verdict.DENY),
        ("api.test", "GET", "/x", None, Verdict.ALLOW),
        ("api.test", "GET", "/x", RequestFacts(operations=("read",)), Verdict.ALLOW),
        ("api.test", "POST", "/x", RequestFacts(operations=("write",)), Verdict.ASK),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC,), headers=(TEAM,)), Verdict.ALLOW),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC,)), Verdict.ASK),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, ("kind", "x")), headers=(TEAM,)), Verdict.ASK),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, ("debug", "")), headers=(TEAM,)), Verdict.DENY),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, ("Debug", "1")), headers=(TEAM,)), Verdict.DENY),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, (" debug[a]", "1")), headers=(TEAM,)), Verdict.DENY),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, ("mode", "RAW")), headers=(TEAM,)), Verdict.DENY),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, ("mode", "rare")), headers=(TEAM,)), Verdict.ALLOW),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, ("KIND", "secret")), headers=(TEAM,)), Verdict.ASK),
        ("find.test", "GET", "/", RequestFacts(query=(PUBLIC, ("kind", "PUBLIC")), headers=(TEAM,)), Verdict.ASK),
        ("find.test", "GET", "/", None, Verdict.DENY),
    ],
)  # fmt: skip
def test_rules_look_at_what_requests_do_and_at_their_keys(
    host: str, method: str, path: str, facts: RequestFacts | None, expected: Verdict
) -> None:
    assert verdict(host, method, path, facts) is expected
