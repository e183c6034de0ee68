"""Requests to models that go to another address, with a credential of that one and of no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.egress.credentials.carrying import SHOWN, VALUE, carrying
from tests.egress.inspecting import Asked, inspecting, leave, server, tunnel
from tests.egress.model_wire.test_steps import HERE, Session, posted
from tests.egress.test_inspected import OK, Reader, Writer, answer

from ringfence.egress.http_head import parse_head
from ringfence.egress.model_wire.routing import Router
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.event import ConnectionClosed
from ringfence.model.host import Destination, Host
from ringfence.policy.effective import ModelHost, ModelList, ModelPolicy, ModelRoute
from ringfence.policy.judges.model import ModelTable


def to(*hosts: str, base: str = "/corp", port: int = 443) -> ModelRoute:
    """A route to `b.test`."""
    return ModelRoute(hosts=hosts, host="b.test", port=port, base=base, origin=HERE)


def router(*routes: ModelRoute, placeholder: str = "PLACEHOLDER") -> Router:
    """The routes of a policy."""
    return Router(ModelTable(ModelPolicy(routes=routes)), lambda value: placeholder in value)


def led(of: Router, host: str, path: str, *fields: str) -> tuple[str, str, str, dict[bytes, bytes]] | None:
    """Where a request goes: host, path, query and the fields that are left."""
    head = parse_head(
        "\r\n".join((f"POST {path} HTTP/1.1", f"Host: {host}", *fields, "", "")).encode(), default_port=443
    )
    routed = of(head, Destination(host=Host(name=host), port=443))
    if routed is None:
        return None
    kept = {name: value for name, value in routed.head.fields if name != b"host"}
    assert routed.head.destination == routed.destination
    return str(routed.destination), routed.head.path, routed.head.query, kept


@pytest.mark.parametrize(
    ("host", "path", "expected"),
    [
        ("api.openai.com", "/v1/responses", "/corp/responses"),
        ("api.openai.com", "/v1/models", "/corp/models"),
        ("api.anthropic.com", "/v1/messages", "/corp/v1/messages"),
        ("chatgpt.com", "/backend-api/codex/responses", "/corp/responses"),
        ("api.openai.com", "/v2/x", None),
        ("chatgpt.com", "/backend-api/conversation", None),
        ("api.anthropic.com", "/api/event_logging/batch", None),
        ("x.example", "/v1/responses", None),
        ("b.test", "/v1/responses", None),
    ],
)
def test_the_base_address_of_a_provider_is_replaced(host: str, path: str, expected: str | None) -> None:
    found = led(router(to()), host, path)

    assert (None if found is None else found[:2]) == (None if expected is None else ("b.test:443", expected))


def test_only_hosts_of_the_route_are_led() -> None:
    assert led(router(to("api.openai.com")), "api.anthropic.com", "/v1/messages") is None


def test_a_credential_of_the_provider_does_not_go_along_and_a_placeholder_does() -> None:
    shown = ("authorization: Bearer sk-real", "x-api-key: PLACEHOLDER", "cookie: a=b", "openai-organization: o", "x: y")

    found = led(router(to()), "api.openai.com", "/v1/responses?key=real&a=b", *shown)

    assert found is not None
    assert found[2:] == ("?a=b", {b"x-api-key": b"PLACEHOLDER", b"x": b"y"})


def hearing(heard: list[bytes]) -> Callable[[Reader, Writer], object]:
    """A server that keeps what it is sent."""

    async def hears(reader: Reader, writer: Writer) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            heard.append(head + await reader.readexactly(length))
            writer.write(OK)

    return hears


CREDENTIAL = (
    "[[credentials]]\nid = 'gateway'\nsource = {{ environment = 'KEY' }}\nform = 'bearer'\n"
    "hosts = ['b.test:{port}']\nattach = 'always'\n"
)


async def test_a_request_is_judged_and_answered_where_it_goes_and_the_next_one_goes_where_it_was_meant_to() -> None:
    at_a: list[bytes] = []
    at_b: list[bytes] = []
    asked = Asked()
    closed: list[ConnectionClosed] = []
    async with (
        server(hearing(at_a)) as first,
        server(hearing(at_b), name="b.test") as second,
        asyncio.timeout(10),
    ):
        policy = ModelPolicy(
            hosts=(ModelHost(hosts="a.test", origin=HERE),),
            routes=(to("a.test", port=second),),
            allowed=(ModelList(models=("m-*",), origin=HERE),),
        )
        session = Session(policy)
        wallet = carrying(CREDENTIAL.format(port=second))
        route = Router(ModelTable(policy), lambda value: SHOWN in value)
        watched = (session.watch, wallet.wallet)
        async with inspecting(asked, amendments=watched, route=route, on_closed=closed.append) as gateway:
            reader, writer = await tunnel(gateway.port, first)
            writer.write(posted("/v1/messages", {"model": "m-1"}, first, {"x-api-key": "sk-own"}))
            await answer(reader)
            writer.write(posted("/v1/messages", {"model": "x-1"}, first))
            denied = await answer(reader)
            writer.write(posted("/v1/messages", {"model": "m-2"}, first))
            await answer(reader)
            await leave(writer)

    assert at_a == []
    assert [one.partition(b"\r\n")[0] for one in at_b] == [b"POST /corp/v1/messages HTTP/1.1"] * 2
    assert all(f"Host: b.test:{second}".encode() in one and VALUE.encode() in one for one in at_b)
    assert not any(b"sk-own" in one for one in at_b)
    assert b"model.models" in denied
    assert [(one.host, one.path) for one in asked.actions] == [("b.test", "/corp/v1/messages")] * 3
    assert [(one.host, one.reached) for one in closed] == [("a.test", (f"b.test:{second}",))]
    assert [(one.host, one.port, one.model) for one in session.answered] == [
        ("b.test", second, "m-1"),
        ("b.test", second, "m-2"),
    ]


async def test_a_revoked_grant_ends_a_request_that_was_led_to_its_host() -> None:
    async def slow(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nbegun")
        await reader.read()

    async with server(slow, name="b.test") as port, asyncio.timeout(10):
        policy = ModelPolicy(hosts=(ModelHost(hosts="a.test", origin=HERE),), routes=(to("a.test", port=port),))
        async with inspecting(route=Router(ModelTable(policy), lambda _: False)) as gateway:
            reader, writer = await tunnel(gateway.port, port)
            writer.write(posted("/v1/messages", {"model": "m-1"}, port))
            await reader.readuntil(b"begun")

            assert gateway.gateway.close_matching(lambda host, _: host == "b.test") == 1

            with pytest.raises(ConnectionResetError):
                await reader.read()
            await leave(writer)


async def test_a_route_opens_nothing() -> None:
    refused = Asked(lambda action: Verdict.DENY if action.host == "b.test" else Verdict.ALLOW)
    heard: list[bytes] = []
    async with server(hearing(heard)) as port, asyncio.timeout(10):
        policy = ModelPolicy(hosts=(ModelHost(hosts="a.test", origin=HERE),), routes=(to("a.test", port=port),))
        route = Router(ModelTable(policy), lambda _: False)
        async with inspecting(refused, route=route) as gateway:
            reader, writer = await tunnel(gateway.port, port)
            writer.write(posted("/v1/messages", {"model": "m-1"}, port))
            assert (await answer(reader)).startswith(b"HTTP/1.1 403")
            await leave(writer)

    assert heard == []
    assert refused.actions == [ConnectAction(host="b.test", port=port, method="POST", path="/corp/v1/messages")]
