"""OpenSSH's client and server, and git, through the gateway: the right key passes, another one never arrives."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.egress.gatewaying import LOOPBACK, answer
from tests.egress.ssh.sshd import Server, Through, run

from ringfence.egress import Authorization, Cancel
from ringfence.model.action import ConnectAction

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

_EXCHANGES = (
    "curve25519-sha256",
    "ecdh-sha2-nistp256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "sntrup761x25519-sha512@openssh.com",
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that is not started, with keys that took time to make."""
    return Server(tmp_path_factory.mktemp("sshd"))


@pytest.fixture
def server(keys: Server) -> Iterator[Server]:
    yield keys
    keys.stop()
    for each in keys.folder.glob("*-cert.pub"):
        each.unlink()


def pinned(*keys: str, protocols: tuple[str, ...] = ("ssh",)) -> Callable[..., Cancel]:
    """Allows SSH to a server that shows one of the keys."""

    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        done(answer(action, declared=LOOPBACK, protocols=protocols, host_keys=keys))
        return lambda: None

    return authorize


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_a_server_with_the_key_that_was_named_is_reached(server: Server, kind: str) -> None:
    server.start(kind)
    through = Through(server, pinned("SHA256:" + "A" * 43, server.fingerprint(kind)))

    status, out, errors = await through.ssh("echo", "hello")

    through.close()
    assert (status, out) == (0, "hello\n"), errors
    assert through.refused == []


async def test_every_key_exchange_of_the_client_is_read(server: Server) -> None:
    server.start("ed25519", KexAlgorithms=",".join(_EXCHANGES))
    through = Through(server, pinned(server.fingerprint("ed25519")))

    ran = {one: await through.ssh("echo", one, options=(f"KexAlgorithms={one}",)) for one in _EXCHANGES}

    through.close()
    assert {one: (status, out) for one, (status, out, _) in ran.items()} == {
        one: (0, f"{one}\n") for one in _EXCHANGES
    }, ran
    assert through.refused == []


@pytest.mark.parametrize("exchange", [_EXCHANGES[0], *_EXCHANGES[-2:]])
async def test_another_key_is_refused_before_the_client_sees_it(server: Server, exchange: str) -> None:
    server.start("ed25519", KexAlgorithms=exchange)
    through = Through(server, pinned(server.fingerprint("rsa")))

    status, out, errors = await through.ssh("echo", "hello")

    through.close()
    shown = server.fingerprint("ed25519")
    assert (status, out) == (255, "")
    assert f"the server shows the host key `{shown}`" in errors
    assert "Permanently added" not in errors
    assert [decision.reasons[0].rule for decision in through.refused] == ["ssh.host-key"]
    assert [event.error.partition(":")[0] for event in through.closed] == ["denied"]


async def test_a_certificate_counts_as_the_key_that_it_is_about(server: Server) -> None:
    server.certify("ed25519")
    server.start("ed25519")
    only = ("HostKeyAlgorithms=ssh-ed25519-cert-v01@openssh.com",)
    right = Through(server, pinned(server.fingerprint("ed25519")))
    wrong = Through(server, pinned(server.fingerprint("rsa")))

    reached = await right.ssh("echo", "hello", options=only)
    refused = await wrong.ssh("echo", "hello", options=only)

    right.close()
    wrong.close()
    assert reached[:2] == (0, "hello\n"), reached
    assert refused[:2] == (255, "")
    assert [decision.reasons[0].rule for decision in wrong.refused] == ["ssh.host-key"]


async def test_the_key_is_checked_as_well_where_anything_may_be_spoken(server: Server) -> None:
    server.start("ed25519")
    through = Through(server, pinned(server.fingerprint("rsa"), protocols=("http", "tcp", "tls")))

    status, _, _ = await through.ssh("echo", "hello")

    through.close()
    assert status == 255
    assert [decision.reasons[0].rule for decision in through.refused] == ["ssh.host-key"]


async def test_git_clones_fetches_and_pushes(server: Server, tmp_path: Path) -> None:
    server.start("ed25519")
    through = Through(server, pinned(server.fingerprint("ed25519")))
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "origin.git")], check=True)
    client = {"GIT_SSH_COMMAND": shlex.join(through.command()), "GIT_CONFIG_GLOBAL": "/dev/null"}
    address = f"ssh://{server.user}@127.0.0.1:{through.port}{tmp_path}/origin.git"
    clone = ("git", "-C", str(tmp_path / "one"), "-c", "user.name=x", "-c", "user.email=x@x.test")

    steps = [
        await run("git", "clone", "-q", address, str(tmp_path / "one"), **client),
        await run(*clone, "commit", "-q", "--allow-empty", "-m", "first", **client),
        await run(*clone, "push", "-q", "origin", "HEAD:refs/heads/main", **client),
        await run("git", "clone", "-q", "--branch", "main", address, str(tmp_path / "two"), **client),
    ]

    through.close()
    assert [status for status, _, _ in steps] == [0, 0, 0, 0], steps
    assert (tmp_path / "two" / ".git" / "HEAD").is_file()


async def test_a_large_transfer_arrives_whole(server: Server) -> None:
    server.start("ed25519")
    through = Through(server, pinned(server.fingerprint("ed25519")))

    status, out, errors = await through.ssh("head -c 20000000 /dev/zero | sha256sum; head -c 20000000 /dev/zero")

    through.close()
    assert status == 0, errors
    assert len(out) == 20_000_000 + len("0" * 64 + "  -\n")
