"""Real clients and servers of HTTP/2 through the gateway: gRPC with every kind of call, curl, and a load generator."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.debian import needed, program
from tests.egress.http2.speaking import http2_server
from tests.egress.inspecting import Asked, inspecting, session, world

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.host import parse_host

PYTHON = "/usr/bin/python3"

SERVER = """
import grpc, sys
from concurrent import futures

def fail(data, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: 100 %")

def chat(messages, context):
    for message in messages:
        yield message + b"!"
    context.set_trailing_metadata((("x-last", "word"),))

METHODS = {
    "Echo": grpc.unary_unary_rpc_method_handler(lambda data, context: data),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Count": grpc.unary_stream_rpc_method_handler(lambda data, context: (b"%d" % one for one in range(int(data)))),
    "Sum": grpc.stream_unary_rpc_method_handler(lambda all, context: b"%d" % sum(len(one) for one in all)),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
    "Hidden": grpc.unary_unary_rpc_method_handler(lambda data, context: b"was here"),
}
server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.max_receive_message_length", -1),))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Service", METHODS),))
pair = (open(sys.argv[1], "rb").read(), open(sys.argv[2], "rb").read())
port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials((pair,)))
server.start()
print(port, flush=True)
server.wait_for_termination()
"""

CLIENT = """
import grpc, json, sys, hashlib
roots = open(sys.argv[2], "rb").read()
options = (("grpc.max_receive_message_length", -1),)
channel = grpc.secure_channel("a.test:" + sys.argv[1], grpc.ssl_channel_credentials(roots), options)
def named(name):
    return "/test.Service/" + name
big = bytes(range(256)) * 8192
echoed = channel.unary_unary(named("Echo"))(big, timeout=20)
counted = [one.decode() for one in channel.unary_stream(named("Count"))(b"200", timeout=20)]
summed = channel.stream_unary(named("Sum"))((b"x" * 5000 for _ in range(100)), timeout=20)
chat = channel.stream_stream(named("Chat"))((b"%d" % one for one in range(50)), timeout=20)
said = [one.decode() for one in chat]
def failing(name):
    try:
        channel.unary_unary(named(name))(b"", timeout=20)
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
at_once = [channel.unary_unary(named("Echo")).future(b"%d" % one, timeout=20) for one in range(100)]
print(json.dumps({
    "echo": hashlib.sha256(echoed).hexdigest() == hashlib.sha256(big).hexdigest(),
    "count": len(counted), "last": counted[-1], "sum": summed.decode(), "chat": [said[0], said[-1], len(said)],
    "trailing": [list(one) for one in chat.trailing_metadata() if one[0] == "x-last"],
    "fail": failing("Fail"), "hidden": failing("Hidden"),
    "at once": [one.result().decode() for one in at_once] == [str(one) for one in range(100)],
}))
"""


@asynccontextmanager
async def grpc_server(folder: Path) -> AsyncIterator[int]:
    """A server of gRPC's own making; its port."""
    needed("python3-grpcio", lambda: subprocess.run((PYTHON, "-c", "import grpc"), capture_output=True).returncode == 0)
    host = parse_host("a.test")
    (folder / "key.pem").write_bytes(world()._leaf_pem)
    from cryptography.hazmat.primitives.serialization import Encoding

    (folder / "cert.pem").write_bytes(world().leaf(host).public_bytes(Encoding.PEM))
    words = (PYTHON, "-c", SERVER, f"{folder}/key.pem", f"{folder}/cert.pem")
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def output(*words: str, environment: dict[str, str] | None = None) -> str:
    """What a program writes, both ways."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
    )
    written, _ = await process.communicate()
    return written.decode()


def hidden(action: ConnectAction) -> Verdict:
    """Everything may be called but for one method."""
    return Verdict.DENY if action.path == "/test.Service/Hidden" else Verdict.ALLOW


@pytest.mark.e2e
async def test_every_kind_of_grpc_call_arrives_and_a_method_is_denied(tmp_path: Path) -> None:
    asked = Asked(hidden)
    (tmp_path / "roots.pem").write_bytes(session().pem)
    async with (
        grpc_server(tmp_path) as port,
        inspecting(asked, http2=True) as gateway,
        asyncio.timeout(60),
    ):
        proxy = {"https_proxy": f"http://127.0.0.1:{gateway.port}", "no_proxy": ""}
        words = (PYTHON, "-c", CLIENT, str(port), f"{tmp_path}/roots.pem")
        said = await output(*words, environment=proxy)

    assert json.loads(said.splitlines()[-1]) == {
        "echo": True,
        "count": 200,
        "last": "199",
        "sum": "500000",
        "chat": ["0!", "49!", 50],
        "trailing": [["x-last", "word"]],
        "fail": ["NOT_FOUND", "no such thing: 100 %"],
        "hidden": [
            "PERMISSION_DENIED",
            f"ringfence: connection to `a.test:{port}` is denied\n"
            "  rule: test-rule: because\n  what to do: ask for `it`",
        ],
        "at once": True,
    }, said
    assert {(one.method, one.path) for one in asked.actions} == {
        ("POST", f"/test.Service/{name}") for name in ("Echo", "Count", "Sum", "Chat", "Fail", "Hidden")
    }


async def test_curl_speaks_http2_and_falls_back_by_itself(tmp_path: Path) -> None:
    curl = program("curl", "curl")
    (tmp_path / "roots.pem").write_bytes(session().pem)
    async with http2_server(protocols=("h2", "http/1.1")) as (port, _), inspecting(http2=True) as gateway:
        words = (curl, "-sS", "--http2", "--proxy", f"http://127.0.0.1:{gateway.port}", "-d", "posted")
        words += ("--cacert", f"{tmp_path}/roots.pem", "-w", " %{http_version} %{http_code}")
        async with asyncio.timeout(20):
            said = await output(*words, f"https://a.test:{port}/one", f"https://a.test:{port}/two")

    assert said == "posted 2 200posted 2 200"
