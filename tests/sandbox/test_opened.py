from __future__ import annotations

import pytest
from tests.sandbox.boxes import RULES, Box, Place

from ringfence.policy.effective import Access
from ringfence.sandbox.launch import launch

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", ["/proc", "/proc/self", "/dev", "/run", "/etc/passwd", "/etc/hosts"])
@pytest.mark.parametrize("access", [Access.READ, Access.WRITE])
async def test_what_a_sandbox_has_of_its_own_is_not_opened_and_that_is_said(
    place: Place, path: str, access: Access
) -> None:
    async with launch(place.plan((*RULES, (path, access)))) as sandbox:
        shown = await Box(sandbox, place).shell(
            "ls /proc | grep -c '^[0-9]'; ls /dev | wc -l; ls /run; cat /etc/passwd"
        )
        notices = sandbox.notices

    processes, devices, run, *accounts = shown.out.splitlines()
    assert int(processes) < 8 and int(devices) < 20
    assert run == "ringfence" and len(accounts) == 3
    own = "/proc" if path.startswith("/proc") else path
    assert f"`{path}` is not opened: every sandbox has a `{own}` of its own" in notices


@pytest.mark.parametrize("access", [Access.READ, Access.WRITE])
async def test_the_whole_disk_is_opened_but_for_home_and_what_is_denied(place: Place, access: Access) -> None:
    rules = (*RULES, ("/", access), ("/etc", Access.READ), ("/etc/shadow", Access.DENY))

    async with launch(place.plan(rules)) as sandbox:
        shown = await Box(sandbox, place).shell(
            "ls -d /var/lib /etc/shells /etc/apt; cat /etc/shadow; ls -A ~; cat ~/.ssh/* ~/.aws/*; wc -l < /etc/passwd"
        )

    assert shown.out.split() == ["/etc/apt", "/etc/shells", "/var/lib", ".gitconfig", "src", "3"]
    assert "/etc/shadow: Permission denied" in shown.err
