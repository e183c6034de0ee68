"""Settings that bind an agent, shown at the paths where it looks for them and readable nowhere else inside."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest
from tests.sandbox.boxes import Box, Place, policy

from ringfence.model.shown import PlacedFile
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import build_plan
from ringfence.sandbox.way_places import KNOWN_HOSTS

SETTINGS = "/etc/some-agent/settings.json"
FRAGMENT = "/etc/some-agent/settings.d/one.json"


@pytest.fixture
async def box(place: Place) -> AsyncIterator[Box]:
    files = (
        PlacedFile(path=SETTINGS, content=b"{}", mode=0o444),
        PlacedFile(path=FRAGMENT, content=b"[]", mode=0o444),
        PlacedFile(path="/run/ringfence/hook.py", content=b"print('hook')", mode=0o444),
    )
    plan = build_plan(policy(), facts=place.facts(), workspace=str(place.workspace), files=files)
    sandbox = await Sandbox.start(plan, tier="B")
    yield Box(sandbox, place)
    await sandbox.close()


async def test_settings_are_found_whichever_way_a_program_looks(box: Box) -> None:
    script = f"""
import os
path = {SETTINGS!r}
print(open(path).read(), open("/etc//some-agent/../some-agent/./settings.json").read(), open({FRAGMENT!r}).read())
print(os.stat(path).st_size, os.lstat(path).st_size, os.access(path, os.R_OK), os.access(path, os.W_OK))
print(os.listdir("/etc/some-agent/settings.d"), sorted(os.listdir("/etc/some-agent")))
folder = os.open("/etc/some-agent", os.O_PATH); print(os.read(os.open("settings.json", 0, dir_fd=folder), 9))
for missing in ("/etc/some-agent/x", "/etc/some-agent-x", "/etc/some-agent/settings.json/x"):
    try: os.stat(missing)
    except OSError as error: print(error.errno)
print(os.stat("/etc/hostname").st_size == os.fstat(os.open("/etc/hostname", 0)).st_size)
"""

    done = await box.python(script)
    found = await box.shell(f"cat {SETTINGS}; test -r {FRAGMENT} && ls /etc/some-agent; python3 /run/ringfence/hook.py")

    assert done.err == ""
    assert done.out.splitlines() == [
        "{} {} []",
        "2 2 True False",
        "['one.json'] ['settings.d', 'settings.json']",
        "b'{}'",
        "2",
        "2",
        "20",
        "True",
    ]
    assert found.out.split() == ["{}settings.d", "settings.json", "hook"]


@pytest.mark.parametrize(
    "script",
    [
        f"echo x > {SETTINGS}",
        f"echo x >> {SETTINGS}",
        f"rm -f {SETTINGS} {FRAGMENT}",
        f"mv {FRAGMENT} $TMPDIR/",
        f"chmod 600 {SETTINGS}",
        "touch /etc/some-agent/new",
        "mkdir /etc/some-agent/new",
        'there=$(readlink -f /proc/self/fd/9); echo x > "$there"; rm -f "$there"; mv "$there" "$there.old"',
    ],
)
async def test_settings_cannot_be_changed(box: Box, script: str) -> None:
    done = await box.shell(f"exec 9< {SETTINGS}; {script}", env=box.sandbox.variables)
    after = await box.shell(f"cat {SETTINGS} {FRAGMENT}; ls /etc/some-agent")

    assert done.code != 0 or "rm -f" in script
    assert after.out == "{}[]settings.d\nsettings.json\n", done.err


async def test_other_paths_are_the_kernels_to_answer(box: Box) -> None:
    secret = box.place.home / ".ssh" / "id_ed25519"

    done = await box.shell(f"cat {secret}; cat /etc/shadow; ls /etc/; cat a 2>&1; stat -c %s /etc/hostname")

    assert done.code == 0
    assert done.out.count("\n") == 2
    assert done.err.count("ermission denied") == 3, done.err
    assert os.path.exists(secret)


async def test_the_keys_of_ssh_servers_are_no_reason_not_to_start(place: Place) -> None:
    keys = PlacedFile(path=KNOWN_HOSTS, content=b"a.test ssh-ed25519 AAAA\n", mode=0o444, made=True)
    plan = build_plan(policy(), facts=place.facts(), workspace=str(place.workspace), files=(keys,))

    sandbox = await Sandbox.start(plan, tier="B")

    await sandbox.close()
