"""What policy is asked about inspected requests: what they do, keys that rules name, and calls of tools in them."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable

import msgspec
import pytest
from tests.egress.inspecting import Asked, inspecting, leave, server, tunnel
from tests.egress.test_inspected import OK, answer, answering
from tests.egress.test_inspected_steps import Served

from ringfence.egress.request_body import BodyUnread
from ringfence.egress.tool_calls import CallsUnread, tool_calls
from ringfence.model.action import Action, McpAction, RequestFacts
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.policy.judges.connect import FactsWanted

EVERYTHING = FactsWanted(operations=True, body=True, query=("kind",), headers=("x-team",))
GRAPHQL = json.dumps({"query": "mutation { a }"}).encode()
PARTS = b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nmutation { a }\r\n--b--\r\n'


def posted(path: bytes, content: bytes, *fields: bytes) -> bytes:
    head = b"".join(one + b"\r\n" for one in (b"Host: a.test:PORT", b"Content-Length: %d" % len(content), *fields))
    return b"POST " + path + b" HTTP/1.1\r\n" + head + b"\r\n" + content


@pytest.mark.parametrize(
    ("wanted", "sent", "facts"),
    [
        (FactsWanted(), posted(b"/graphql?kind=a", GRAPHQL), msgspec.UNSET),
        (
            EVERYTHING,
            posted(b"/graphql?kind=a&kind=%62;kind=c&other=d", GRAPHQL, b"X-Team: red", b"X-Other: 1"),
            RequestFacts(
                operations=("graphql-mutation",),
                query=(("kind", "a"), ("kind", "b;kind=c"), ("kind", "b"), ("kind", "c")),
                headers=(("x-team", "red"),),
            ),
        ),
        (EVERYTHING, posted(b"/graphql", GRAPHQL, b"Content-Encoding: gzip"), RequestFacts(operations=("unknown",))),
        (EVERYTHING, posted(b"/graphql", b" " * (1 << 21)), RequestFacts(operations=("unknown",))),
        (
            EVERYTHING,
            posted(b"/a", gzip.compress(GRAPHQL, mtime=0), b"Content-Encoding: gzip"),
            RequestFacts(operations=("graphql-mutation",)),
        ),
        (EVERYTHING, posted(b"/a", b"{}", b"Content-Encoding: br"), RequestFacts(operations=("unknown",))),
        (
            EVERYTHING,
            posted(b"/a", b"a", b"Content-Type: text/plain; charset=utf-7"),
            RequestFacts(operations=("unknown",)),
        ),
        *(
            (
                EVERYTHING,
                posted(b"/a", PARTS, b"Content-Type: multipart/form-data; " + kind),
                RequestFacts(operations=done),
            )
            for kind, done in (
                (b"boundary=b", ("graphql-mutation",)),
                (b'boundary="b"; charset=utf-8', ("graphql-mutation",)),
                (b"boundary=c; boundary=b", ("unknown",)),
                (b"boundary*=c; x=b", ("unknown",)),
            )
        ),
        (FactsWanted(operations=True), posted(b"/r.git/git-receive-pack", b""), RequestFacts(operations=("git-push",))),
        (
            FactsWanted(query=("kind",)),
            posted(b"/a?kind=a&%4bIND=b&kind%5b0%5d=c&kinds=d", b"{}"),
            RequestFacts(query=(("kind", "a"), ("KIND", "b"), ("kind[0]", "c"))),
        ),
    ],
)
async def test_policy_is_told_what_its_rules_ask_about_and_nothing_else(
    wanted: FactsWanted, sent: bytes, facts: RequestFacts | msgspec.UnsetType
) -> None:
    asked, served = Asked(), Served()
    async with (
        server(served) as port,
        inspecting(asked, wants=lambda *_: wanted) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(sent.replace(b"PORT", b"%d" % port))
        assert await answer(reader) == OK
        await leave(writer)
    assert [action.facts for action in asked.actions] == [facts]
    assert len(sent) > 1 << 20 or bytes(served.heard).endswith(sent.partition(b"\r\n\r\n")[2])


async def test_policy_is_told_of_a_websocket_whatever_its_rules_ask_about() -> None:
    asked, upgrade = Asked(), b"Connection: Upgrade\r\nUpgrade: WebSocket"
    async with server(answering(OK)) as port, inspecting(asked) as gateway, asyncio.timeout(10):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(b"GET /a HTTP/1.1\r\nHost: a.test:%d\r\n%b\r\n\r\n" % (port, upgrade))
        assert await answer(reader) == OK
        await leave(writer)
    assert [action.facts for action in asked.actions] == [RequestFacts(operations=("websocket",))]


@pytest.mark.parametrize(
    ("connection", "headers"),
    [
        (b"Connection: X-Team", ()),
        (b"Connection: close, x-team, te", ()),
        (b"Connection: keep-alive, Upgrade, HTTP2-Settings, te", (("x-team", "red"),)),
    ],
)
async def test_a_header_that_is_not_sent_satisfies_no_rule(
    connection: bytes, headers: tuple[tuple[str, str], ...]
) -> None:
    asked, served = Asked(), Served()
    async with (
        server(served) as port,
        inspecting(asked, wants=lambda *_: FactsWanted(headers=("x-team",))) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(posted(b"/a", b"{}", b"X-Team: red", connection).replace(b"PORT", b"%d" % port))
        await answer(reader)
        await leave(writer)
    assert [action.facts for action in asked.actions] == [RequestFacts(headers=headers)]
    assert (b"x-team: red" in bytes(served.heard)) == bool(headers)


@pytest.mark.parametrize(("methods", "heard"), [(True, b"HTTP/1.1 403 Forbidden"), (False, b"HTTP/1.1 200 OK")])
async def test_a_form_names_no_other_method_where_rules_are_about_methods(methods: bool, heard: bytes) -> None:
    async with (
        server(answering(OK)) as port,
        inspecting(wants=lambda *_: FactsWanted(methods=methods)) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        kind = b"Content-Type: application/x-www-form-urlencoded"
        writer.write(posted(b"/a", b"a=b&_method=delete", kind).replace(b"PORT", b"%d" % port))
        assert (await reader.readuntil(b"\r\n")).rstrip() == heard
        await leave(writer)


@pytest.mark.parametrize(("name", "heard"), [(b"_method", b"HTTP/1.1 403 Forbidden"), (b"size", b"HTTP/1.1 200 OK")])
async def test_a_long_form_that_names_another_method_behind_its_file_never_arrives_whole(
    name: bytes, heard: bytes
) -> None:
    got = bytearray()

    async def takes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            got.extend(data)
            if got.endswith(b"--b--\r\n"):
                writer.write(OK)

    part = b'\r\n--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\nDELETE\r\n--b--\r\n' % name
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + b"f" * 3_000_000 + part
    async with (
        server(takes) as port,
        inspecting(wants=lambda *_: FactsWanted(methods=True)) as gateway,
        asyncio.timeout(10),
    ):
        reader, writer = await tunnel(gateway.port, port)
        kind = b"Content-Type: multipart/form-data; boundary=b"
        writer.write(posted(b"/a", body, kind).replace(b"PORT", b"%d" % port))
        assert (await reader.readuntil(b"\r\n")).rstrip() == heard
        await leave(writer)
    assert (part in got) == (name == b"size")


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "delete", "arguments": {"b": 1, "a": 2}}}
DELETE = McpAction(server="a.test", tool="delete", arguments='{"a":2,"b":1}')


class Judged:
    """Decides about calls by the tool."""

    def __init__(self) -> None:
        self.actions: list[Action] = []

    def __call__(self, action: McpAction, done: Callable[[Decision], None]) -> Callable[[], None]:
        self.actions.append(action)
        verdict = Verdict.DENY if action.tool == "delete" else Verdict.ALLOW
        reason = Reason(rule="no-delete", layer="user", source="policy.toml:1", verdict=verdict, text="because")
        asyncio.get_running_loop().call_soon(
            done, Decision(verdict=verdict, action=action, reasons=(reason,), policy="sha256:0")
        )
        return lambda: None


@pytest.mark.parametrize(
    ("message", "tools", "passes"),
    [
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, [], True),
        ({**CALL, "params": {"name": "read"}}, ["read"], True),
        (CALL, ["delete"], False),
        ([{**CALL, "params": {"name": "read"}}, CALL], ["read", "delete"], False),
        ({"model": "m", "input": "call tools/call"}, [], True),
    ],
)
async def test_calls_of_tools_over_http_are_judged_one_by_one(message: object, tools: list[str], passes: bool) -> None:
    judged = Judged()
    options = {"judge": judged, "wants": lambda *_: FactsWanted(calls=True)}
    async with server(answering(OK)) as port, inspecting(**options) as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        writer.write(posted(b"/mcp", json.dumps(message).encode()).replace(b"PORT", b"%d" % port))
        heard = await answer(reader)
        await leave(writer)
    assert [one.tool for one in judged.actions if isinstance(one, McpAction)] == tools
    assert (heard == OK) == passes


@pytest.mark.parametrize(
    "content",
    [
        b'{"jsonrpc":"2.0","method":"ping","method":"tools/call","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":1}}',
        b'{"jsonrpc":"2.0","method":"tools/call"}',
        b'{"jsonrpc":"2.0","method":',
        '{"jsonrpc":"2.0"}'.encode("utf-16"),
        '{"jsonrpc":"2.0"}'.encode("utf-16-be"),
        b'{"jsonrpc":"2.0","a":' + b"[" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"Method":"tools/call","params":{"name":"delete"}}',
        b'{"JSONRPC":"2.0","METHOD":"tools\\/call","params":{"name":"delete"}}',
        b'{"jsonrpc":"2.0","method":"ping","Method":"tools/call","params":{"name":"delete"}}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"look","Name":"delete"}}',
        '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"look"},"param\u017f":{"name":"delete"}}'.encode(),
        b'[{"jsonrpc":"2.0","method":"ping"},{"jsonrpc":"2.0","Method":"tools/call"}]',
    ],
)
def test_what_may_call_a_tool_and_cannot_be_read_is_refused(content: bytes) -> None:
    with pytest.raises(CallsUnread):
        tool_calls("a.test", content, complete=True)


PADDED = b" " * (1 << 20)
WRITTEN = json.dumps(CALL)


@pytest.mark.parametrize(
    ("content", "complete", "coding", "kind"),
    [
        (PADDED, False, b"", b"application/json"),
        (PADDED, False, b"", b"text/plain"),
        (b'{"a":"' + PADDED, False, b"", b"application/octet-stream"),
        (gzip.compress(PADDED + WRITTEN.encode(), mtime=0), True, b"gzip", b"text/plain"),
        ((" " + WRITTEN).encode("utf-16-le"), True, b"", b"text/plain"),
        (("\n" + WRITTEN).encode("utf-16-be"), True, b"", b""),
        ((" " + WRITTEN).encode("utf-32-le"), True, b"", b"application/json"),
        (WRITTEN.encode("utf-32-be"), True, b"", b"application/json"),
        (WRITTEN.replace('"', "+ACI-").encode(), True, b"", b"application/json; charset=utf-8; charset=UTF-7"),
        (b"\x0b\x80packed", True, b"br", b"text/plain"),
        (b'{"\\u006asonrpc":"2.0","a":1,"a":2}', True, b"", b"text/plain"),
    ],
    ids=range(11),
)
def test_a_call_is_hidden_by_no_padding_charset_or_compression(
    content: bytes, complete: bool, coding: bytes, kind: bytes
) -> None:
    with pytest.raises(BodyUnread):
        tool_calls("a.test", content, complete=complete, coding=coding, media=kind)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x7fELF" + b"\0" * (1 << 20), b"application/octet-stream"),
        (b"PK\3\4" + b"\0" * (1 << 20), b""),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\n{' + PADDED, b"multipart/form-data; boundary=b"),
        (b"a=b&c=" + PADDED, b"application/x-www-form-urlencoded; charset=UTF-8"),
    ],
    ids=["program", "archive without a type", "form in parts", "form"],
)
def test_a_long_upload_that_is_no_json_calls_no_tool(content: bytes, kind: bytes) -> None:
    assert tool_calls("a.test", content, complete=False, media=kind) == ()


@pytest.mark.parametrize("field", ["Content-Encoding", "Content-Type"])
async def test_what_a_request_says_twice_about_its_body_is_refused(field: str) -> None:
    served = Served()
    async with server(served) as port, inspecting() as gateway, asyncio.timeout(5):
        reader, writer = await tunnel(gateway.port, port)
        twice = [f"{field}: {value}".encode() for value in ("gzip", "identity")]
        writer.write(posted(b"/mcp", b"{}", *twice).replace(b"PORT", b"%d" % port))
        heard = await reader.read()
        await leave(writer)
    assert heard.startswith(b"HTTP/1.1 400 ")
    assert f"`{field.lower()}` more than once".encode() in heard
    assert not served.heard


def test_a_call_is_read_with_its_server_tool_and_arguments() -> None:
    assert tool_calls("a.test", json.dumps(CALL).encode(), complete=True) == (DELETE,)
    escaped = json.dumps(CALL).replace("jsonrpc", "\\u006asonrpc").encode()
    assert tool_calls("a.test", escaped, complete=True) == (DELETE,)
    unversioned = json.dumps({key: value for key, value in CALL.items() if key != "jsonrpc"}).encode()
    assert tool_calls("a.test", unversioned.replace(b"/", b"\\/"), complete=True) == (DELETE,)
    assert tool_calls("a.test", b'{"Method":"card","Params":{"Name":"x"},"x":"\\u0061"}', complete=True) == ()


def _gzip(data: bytes) -> bytes:
    """Without the moment in it: it is part of a test's name."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_call_in_a_compressed_body_is_read(pack: Callable[[bytes], bytes]) -> None:
    coding = b"gzip" if pack is gzip.compress else b"deflate"

    assert tool_calls("a.test", pack(json.dumps(CALL).encode()), complete=True, coding=coding) == (DELETE,)


@pytest.mark.parametrize(
    ("content", "coding", "media"),
    [
        (b"(\xb5/\xfd", b"zstd", b"application/json"),
        (b"(\xb5/\xfd", b"zstd", b""),
        (_gzip(b"{}") + _gzip(json.dumps(CALL).encode()), b"gzip", b"application/json"),
        (b"not gzip", b"gzip", b"application/json"),
        (_gzip(b'{"jsonrpc":"2.0","x":"' + b" " * (2 << 20)), b"gzip", b"application/json"),
    ],
)
def test_a_compressed_body_that_may_call_a_tool_unseen_is_refused(content: bytes, coding: bytes, media: bytes) -> None:
    with pytest.raises(BodyUnread):
        tool_calls("a.test", content, complete=True, coding=coding, media=media)


def test_what_git_compresses_calls_no_tool() -> None:
    packed, media = gzip.compress(b"0032want 0000"), b"application/x-git-upload-pack-request"

    assert tool_calls("a.test", packed, complete=True, coding=b"gzip", media=media) == ()
