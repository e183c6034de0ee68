"""A sandbox in a container of a real runtime keeps what every sandbox keeps."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.debian import program
from tests.sandbox.boxes import Box, Place
from tests.sandbox.test_image import rootfs

from ringfence.model.situations import SandboxLost, SandboxUnavailable, TierUnavailable
from ringfence.policy.effective import WayPolicy
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import Image, Plan, Runtime
from ringfence.sandbox.strongest import start_strongest
from ringfence.verify.oracles import marked

pytestmark = pytest.mark.slow
SYSTEM = "/usr/sbin:/usr/bin:/sbin:/bin"


def contained(plan: Plan, name: str) -> Plan:
    return msgspec.structs.replace(plan, runtime=Runtime(name=name, program=os.path.realpath(program(name, name))))


@pytest.fixture(params=["crun", "runc"])
async def container(repository: Place, request: pytest.FixtureRequest) -> AsyncIterator[Box]:
    sandbox = await Sandbox.start(contained(repository.plan(), request.param))
    yield Box(sandbox, repository)
    await sandbox.close()


async def test_what_holds_is_on_record(container: Box) -> None:
    facts = dict(container.sandbox.enforcement)

    assert facts.pop("runtime") in ("crun", "runc")
    assert int(facts.pop("landlock")) > 0
    facts.pop("limits", None)
    assert facts.pop("capture").startswith("all tcp")
    assert facts == {"tier": "A", "namespaces": "user net mnt pid ipc uts cgroup", "seccomp": "filter"}


async def test_commands_have_no_rights_and_no_way_to_get_any(container: Box) -> None:
    shown = await container.shell("id -u; grep -E '^(CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status")
    tried = await container.shell("unshare -U true; mount -t tmpfs x /tmp; umount /usr; kill -9 1; echo goes on")

    assert shown.out.split() == [
        *(str(os.getuid() or 1000), "CapPrm:", "0" * 16, "CapEff:", "0" * 16, "CapBnd:", "0" * 16),
        *("NoNewPrivs:", "1", "Seccomp:", "2"),
    ]
    assert tried.out == "goes on\n"
    assert "unshare failed" in tried.err and "mount: " in tried.err and "umount: " in tried.err


async def test_files_are_read_only_writable_and_hidden_as_in_every_sandbox(container: Box) -> None:
    workspace = container.place.workspace
    tried = await container.shell(
        'closed() { eval "$1" 2>/dev/null || echo "closed: $1"; };'
        "closed 'cat sub/.env'; closed 'cat ~/.ssh/id_ed25519'; closed 'echo x > .git/hooks/pre-commit';"
        "closed 'echo x > /usr/x'; closed 'echo x > /.ringfence/program/source/ringfence/x'; closed 'echo x > /x';"
        "closed 'rm /run/ringfence/hook.sock'; closed 'ls /etc/shadow'; echo b > b; cat b"
    )

    assert tried.out.splitlines() == [
        "closed: cat sub/.env",
        "closed: cat ~/.ssh/id_ed25519",
        "closed: echo x > .git/hooks/pre-commit",
        "closed: echo x > /usr/x",
        "closed: echo x > /.ringfence/program/source/ringfence/x",
        "closed: echo x > /x",
        "closed: rm /run/ringfence/hook.sock",
        "closed: ls /etc/shadow",
        "b",
    ]
    assert (workspace / "b").read_text() == "b\n"
    assert (workspace / "sub" / ".env").read_text() == "TOKEN=1\n"
    assert not (workspace / ".git" / "hooks" / "pre-commit").exists()


async def test_what_is_replaced_outside_stays_protected(container: Box) -> None:
    said: list[tuple[str, str]] = []
    container.sandbox.take_guard(lambda what, path: said.append((what, os.path.basename(path))))

    container.place.git("config", "branch.main.description", "mine")
    async with asyncio.timeout(20):
        while not said:
            await asyncio.sleep(0.01)
    await container.shell("git config core.fsmonitor evil; echo evil >> .git/config; mv .git/config x")

    assert said == [("again", "config")]
    assert "evil" not in (container.place.workspace / ".git" / "config").read_text()


async def test_connections_arrive_at_the_listeners_made_before_the_container(container: Box) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        command = tasks.create_task(container.shell("exec 3<>/dev/tcp/192.0.2.1/80; cat <&3"))
        accepted, _ = await loop.sock_accept(container.sandbox.listeners["capture4"])
        await loop.sock_sendall(accepted, b"from outside")
        accepted.close()

    assert command.result().out == "from outside"


async def test_a_terminal_is_the_containers_own(container: Box) -> None:
    pty = await container.sandbox.open_pty(30, 100)
    null = os.open(os.devnull, os.O_RDWR)
    command = await container.sandbox.spawn(
        ["stty", "size"], env={"PATH": SYSTEM}, cwd="/", stdin=pty, stdout=pty, stderr=null
    )
    code = await command.wait()
    shown = os.read(pty.master, 100)
    os.close(pty.master)
    os.close(null)

    assert (code, shown) == (0, b"30 100\r\n")


async def test_everything_ends_with_the_session(container: Box) -> None:
    mark = f"98765{os.getpid()}"
    null = os.open(os.devnull, os.O_RDWR)
    command = await container.sandbox.spawn(
        ["sleep", mark], env={"PATH": SYSTEM}, cwd="/", stdin=null, stdout=null, stderr=null
    )
    os.close(null)

    await container.sandbox.close()

    with pytest.raises(SandboxLost):
        await command.wait()
    assert marked(mark) == []


async def test_an_image_without_an_interpreter_fills_a_container(place: Place, tmp_path: Path) -> None:
    image = Image(name="mine", digest="d", root=str(rootfs(tmp_path / "image")), variables=(("PATH", "/usr/bin"),))
    plan = contained(msgspec.structs.replace(place.plan(), image=image), "crun")

    sandbox = await Sandbox.start(plan)
    shown = await Box(sandbox, place).run("sh", "-c", "cat /etc/os-release; touch /usr/bin/new || ls /usr/bin")
    await sandbox.close()

    assert shown.out.split()[0] == "NAME=image"
    assert "python3" not in shown.out and "new" not in shown.out


async def test_a_runtime_that_starts_nothing_is_the_reason(place: Place) -> None:
    plan = msgspec.structs.replace(place.plan(), runtime=Runtime(name="runc", program="/usr/bin/false"))

    with pytest.raises(TierUnavailable, match="failed at container: `runc` started none: it ended with 1"):
        await Sandbox.start(plan)


async def test_nested_namespaces_and_weaker_tiers_are_refused(place: Place) -> None:
    plan = msgspec.structs.replace(place.plan(), runtime=Runtime(name="crun", program="/usr/bin/crun"))
    nested = msgspec.structs.replace(plan, ways=WayPolicy(nested_namespaces=True))

    with pytest.raises(SandboxUnavailable, match="allows no nested namespaces"):
        await start_strongest(nested, ("A",), on_lost=lambda: None)
    with pytest.raises(SandboxUnavailable, match="takes what tier A takes"):
        await start_strongest(plan, ("B", "C"), on_lost=lambda: None)
