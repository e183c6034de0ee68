"""What a policy opens between a sandbox and the host, and what stays shut beside it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest
from tests.debian import program
from tests.sandbox.boxes import Box, Place

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import WayPolicy
from ringfence.sandbox.launch import launch
from ringfence.sandbox.way_places import socket_name

pytestmark = pytest.mark.slow


@asynccontextmanager
async def boxed(place: Place, ways: WayPolicy) -> AsyncIterator[Box]:
    async with launch(msgspec.structs.replace(place.plan(), ways=ways)) as sandbox:
        yield Box(sandbox, place)


async def test_a_socket_appears_at_its_own_place_and_nothing_beside_it(place: Place) -> None:
    path = f"/run/ringfence-test-{os.getpid()}/service.sock"
    async with boxed(place, WayPolicy(sockets=(path,))) as box:
        listener = box.sandbox.listeners[socket_name(path)]
        folder = await box.shell(f"ls -A {os.path.dirname(path)}")
        script = f"import socket; s=socket.socket(socket.AF_UNIX); s.connect({path!r}); s.sendall(b'hello')"
        sent = await box.python(script)
        client, _ = await asyncio.get_running_loop().sock_accept(listener)
        with closing(client):
            received = await asyncio.get_running_loop().sock_recv(client, 100)

    assert (folder.out, sent.code, received) == ("service.sock\n", 0, b"hello")
    assert not os.path.exists(path)


@pytest.mark.parametrize("path", ["/proc/x.sock", "/run/ringfence/hook.sock", "/dev/log", "/usr/lib/x.sock"])
async def test_a_socket_is_never_made_where_the_sandbox_or_the_host_has_something(place: Place, path: str) -> None:
    with pytest.raises(SandboxUnavailable, match="cannot be opened"):
        async with boxed(place, WayPolicy(sockets=(path,))):
            pass


async def test_a_socket_in_the_workspace_is_not_made_on_the_host(place: Place) -> None:
    with pytest.raises(SandboxUnavailable, match="is shown as it is"):
        async with boxed(place, WayPolicy(sockets=(str(place.workspace / "x.sock"),))):
            pass
    assert place.names() == set()


async def test_a_port_of_the_sandbox_is_reached_from_outside(place: Place) -> None:
    loop = asyncio.get_running_loop()
    script = (
        "import socket; s=socket.create_server(('127.0.0.1', 3000)); print('up', flush=True);"
        "c, a = s.accept(); c.sendall(b'from inside ' + c.recv(10))"
    )
    async with boxed(place, WayPolicy()) as box, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(box.python(script))
        with closing(await _until_up(box)) as made:
            await loop.sock_sendall(made, b"hello")
            answer = await loop.sock_recv(made, 100)
        with pytest.raises(ConnectionRefusedError, match="nothing listens on port 3001"):
            await box.sandbox.connect(3001)
        await serving

    assert (answer, serving.result().code) == (b"from inside hello", 0)


async def _until_up(box: Box) -> socket.socket:
    async with asyncio.timeout(10):
        while True:
            try:
                return await box.sandbox.connect(3000)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)


async def test_a_device_is_there_by_name_only(place: Place) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a device node takes root")
    folder = Path("/dev/dri")
    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    # The null device under the name of one that computes, and another that nobody opened.
    for name in ("renderD990", "renderD991"):
        os.mknod(folder / name, 0o20666, os.makedev(1, 3))
    try:
        async with boxed(place, WayPolicy(devices=("/dev/dri/renderD990",))) as box:
            listed = await box.shell("ls /dev/dri; echo x > /dev/dri/renderD990; echo $?")
    finally:
        for name in ("renderD990", "renderD991"):
            (folder / name).unlink()
        if made:
            folder.rmdir()

    assert listed.out == "renderD990\n0\n"


async def test_a_disk_under_the_name_of_a_device_that_computes_is_refused(place: Place) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a device node takes root")
    Path("/dev/kfd").symlink_to("/dev/zero")
    try:
        with pytest.raises(SandboxUnavailable, match="no character device"):
            async with boxed(place, WayPolicy(devices=("/dev/kfd",))):
                pass
    finally:
        Path("/dev/kfd").unlink()


@pytest.fixture
def bwrap() -> str:
    return program("bwrap", "bubblewrap")


_BWRAP = "bwrap --bind / / --dev /dev --unshare-all --die-with-parent"


@pytest.mark.usefixtures("bwrap")
async def test_namespaces_are_not_made_inside_unless_a_rule_says_so(place: Place) -> None:
    async with boxed(place, WayPolicy()) as box:
        shut = await box.shell(f"{_BWRAP} true; unshare -Ur true")
    async with boxed(place, WayPolicy(nested_namespaces=True)) as box:
        opened = await box.shell(f"{_BWRAP} --ro-bind {place.home} {place.home} id -u && unshare -Urm true && echo yes")
        moved = await box.shell("mkdir a b && echo x > a/f && ln a/f b/g && mv a/f b/f && stat -c %h b/f")

    assert shut.code != 0
    assert (opened.code, opened.out, opened.err) == (0, f"{os.getuid() or 1000}\nyes\n", "")
    assert (moved.out, moved.err) == ("2\n", "")


@pytest.mark.usefixtures("bwrap")
async def test_a_sandbox_within_the_sandbox_opens_nothing(place: Place) -> None:
    (place.workspace / ".env").write_text("SECRET=1")
    (place.home / ".ssh" / "id").write_text("KEY")
    place.host("git", "init", "-q", ".")
    config = place.workspace / ".git" / "config"
    before = config.read_bytes()
    attacks = f"""
    umount -l {place.workspace}/.env; cat {place.workspace}/.env
    mount -o remount,rw,bind {config}; echo x >> {config}
    umount -l {config}; echo x >> {config}
    mkdir -p /tmp/a && mount --bind {place.workspace} /tmp/a && cat /tmp/a/.env; echo x >> /tmp/a/.git/config
    mount --rbind {place.workspace} /tmp/a && cat /tmp/a/.env; echo x >> /tmp/a/.git/config
    mount -t tmpfs none /tmp/a && mkdir /tmp/a/n && mount --bind / /tmp/a/n && cat /tmp/a/n{place.workspace}/.env
    cat {place.home}/.ssh/id /tmp/a/n{place.home}/.ssh/id
    mount -t proc proc /tmp/a; echo h > /proc/sysrq-trigger; echo x > /proc/sys/kernel/core_pattern
    mount -t sysfs s /tmp/a; mount -t cgroup2 c /tmp/a
    touch /usr/planted /etc/planted
    nsenter -t 1 -m true && echo entered
    mount -t overlay o -o lowerdir={place.workspace},upperdir=/tmp,workdir=/tmp /tmp/a && cat /tmp/a/.env
    """
    async with boxed(place, WayPolicy(nested_namespaces=True)) as box:
        found = await box.shell(f"unshare -Urm sh -c '{attacks}'; unshare -Urmpf sh -c '{attacks}'")
        bound = await box.shell(f"{_BWRAP} sh -c 'cat {place.workspace}/.env; echo x >> {config}'")

    for text in (found.out, found.err, bound.out):
        assert "SECRET" not in text
        assert "KEY" not in text
    assert "entered" not in found.out
    assert config.read_bytes() == before
    assert not os.path.exists("/usr/planted")


async def test_a_file_as_a_stream_is_refused_where_nested_namespaces_are_allowed(place: Place, tmp_path: Path) -> None:
    (tmp_path / "given").write_text("x")
    async with boxed(place, WayPolicy(nested_namespaces=True)) as box:
        with open(tmp_path / "given", "rb") as file, pytest.raises(SandboxUnavailable, match="cannot be a stream"):
            await box.run("cat", stdin=file.fileno())


async def test_the_settings_of_the_machine_stay_shut_where_nested_namespaces_are_allowed(place: Place) -> None:
    script = (
        "import os\n"
        "for name in ('sys/kernel/core_pattern', 'sys/vm/drop_caches', 'sysrq-trigger'):\n"
        "    try:\n"
        "        os.close(os.open('/proc/' + name, os.O_WRONLY))\n"
        "        print('opened', name)\n"
        "    except OSError as error:\n"
        "        print('refused')\n"
    )
    async with boxed(place, WayPolicy(nested_namespaces=True)) as box:
        tried = await box.python(script)

    assert (tried.code, tried.out.split()) == (0, ["refused"] * 3)
