"""A real session whose clients speak HTTP/2 with the gateway, where the policy says so."""

from __future__ import annotations

import asyncio
import datetime
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.debian import program
from tests.egress.http2.speaking import Peer, http2_server
from tests.session.test_inspected_session import BUNDLE

from ringfence.egress.authority import Authority
from ringfence.model.host import HOST_LOOPBACK, parse_host

POLICY = """
extends = "workspace"
[network]
{http2}
[[network.rule]]
hosts = ["{host}:{port}"]
methods = ["POST"]
paths = ["/pkg.Service/Get*"]
verdict = "allow"
"""
HIDING = """
import importlib.util, runpy, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "h2" else found(name, package)
sys.argv = ["ringfence", *sys.argv[1:]]
runpy.run_module("ringfence", run_name="__main__")
"""


async def named(peer: Peer, stream: int) -> None:
    """Answers with the path and the protocol."""
    message = await peer.whole(stream)
    peer.answer(stream, [(b":status", b"200")])
    await peer.send(stream, message.value(b":path") + b" over HTTP/2\n", end=True)


async def ran(
    folder: Path, policy: str, *command: str, module: tuple[str, ...] = ("-m", "ringfence")
) -> tuple[int, str]:
    """How a command in a session ends, and what it and the session say."""
    (folder / "policy.toml").write_text(policy)
    for one in ("home", "w"):
        (folder / one).mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *module, "exec", "--ask", "deny", "--policy", f"{folder}/policy.toml", "--", *command),
        cwd=folder / "w",
        env={**os.environ, "HOME": f"{folder}/home", "SSL_CERT_FILE": f"{folder}/world.pem"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.slow
async def test_methods_of_grpc_are_allowed_and_denied_by_their_paths(tmp_path: Path) -> None:
    curl = program("curl", "curl")
    authority = Authority("world", datetime.datetime.now(datetime.UTC))
    (tmp_path / "world.pem").write_bytes(authority.pem + Path(BUNDLE).read_bytes())
    context = authority.context(parse_host(HOST_LOOPBACK), ("h2",))
    async with http2_server(named, context=context) as (port, peers), asyncio.timeout(60):
        policy = POLICY.format(http2=f'http2 = ["{HOST_LOOPBACK}:{port}"]', host=HOST_LOOPBACK, port=port)
        url = f"https://{HOST_LOOPBACK}:{port}/pkg.Service"
        words = (curl, "-sS", "--http2", "-d", "x", "-w", "%{http_version} %{http_code}\n")
        _, said = await ran(tmp_path, policy, *words, f"{url}/GetIt", f"{url}/DropIt")

    assert [one in said for one in ("/pkg.Service/GetIt over HTTP/2", "2 200", "2 403")] == [True] * 3, said
    assert [one.value(b":path") for peer in peers for one in peer.messages.values()] == [b"/pkg.Service/GetIt"]


@pytest.mark.slow
async def test_a_session_does_not_start_where_nothing_reads_http2(tmp_path: Path) -> None:
    (tmp_path / "world.pem").write_bytes(Path(BUNDLE).read_bytes())
    policy = POLICY.format(http2='http2 = ["grpc.test"]', host="grpc.test", port=443)

    code, said = await ran(tmp_path, policy, "touch", "it-ran", module=("-c", HIDING))

    assert code != 0
    assert "pip install 'ringfence[inspect]'" in said
    assert not (tmp_path / "w" / "it-ran").exists()
