from __future__ import annotations

import os

from tests.sandbox.boxes import Box, Place

from ringfence.model.shown import Bind, PlacedFile
from ringfence.policy.effective import Access
from ringfence.sandbox.launch import Sandbox


async def test_home_is_private_and_its_secrets_are_not_there(box: Box) -> None:
    assert box.place.host("cat", str(box.place.home / ".ssh" / "id_ed25519")) == "PRIVATE KEY"

    listed = await box.shell("ls -A ~; cat ~/.ssh/id_ed25519 ~/.aws/credentials; echo made > ~/made")

    assert listed.out.split() == [".gitconfig", "src"]
    assert listed.err.count("No such file or directory") == 2
    assert not (box.place.home / "made").exists()


async def test_nothing_outside_the_workspace_can_be_written(box: Box) -> None:
    outside = box.place.root / "outside"
    box.place.host("touch", str(outside))

    tried = await box.shell(
        f"touch /usr/x /etc/x /x /opt/x /dev/x /proc/sys/kernel/hostname; echo x > {outside}; echo in > f"
    )

    assert tried.err.count("Read-only file system") >= 5
    assert outside.read_text() == ""
    assert (box.place.workspace / "f").read_text() == "in\n"


async def test_the_hosts_accounts_and_machine_are_hidden(box: Box) -> None:
    shown = await box.shell(
        "cat /etc/passwd; ls /etc/shadow /etc/ssh /sys /boot /srv; cat /proc/kallsyms /proc/keys; hostname"
    )

    assert shown.out.splitlines()[-1] == "box"
    assert len([line for line in shown.out.splitlines() if ":x:" in line]) == 3
    assert shown.err.count("No such file") == 5
    assert shown.err.count("Permission denied") == 2


async def test_an_existing_env_file_is_masked_even_when_its_folder_is_renamed(git_box: Box) -> None:
    tried = await git_box.shell(
        "cat sub/.env; mv sub sub2; cat sub2/.env; rm -f sub2/.env; cp sub2/.env x; mv sub2 sub"
    )

    assert tried.out == ""
    assert "Device or resource busy" in tried.err
    assert (git_box.place.workspace / "sub" / ".env").read_text() == "TOKEN=1\n"


async def test_a_denied_folder_below_a_readable_one_is_masked(place: Place) -> None:
    data = place.root / "data"
    (data / "private").mkdir(parents=True)
    (data / "open").write_text("open")
    (data / "private" / "x").write_text("x")
    rules = [(":workspace", Access.WRITE), (str(data), Access.READ), (str(data / "private"), Access.DENY)]
    sandbox = await Sandbox.start(place.plan(rules))
    try:
        shown = await Box(sandbox, place).shell(f"cat {data}/open; ls {data}/private; echo y >> {data}/open")
    finally:
        await sandbox.close()

    assert shown.out == "open"
    assert "Permission denied" in shown.err and "Read-only file system" in shown.err


async def test_a_workspace_without_a_write_rule_is_read_only(place: Place) -> None:
    (place.workspace / "f").write_text("f")
    sandbox = await Sandbox.start(place.plan([(":workspace", Access.READ)]))
    try:
        tried = await Box(sandbox, place).shell("cat f; touch g")
    finally:
        await sandbox.close()

    assert tried.out == "f"
    assert "Read-only file system" in tried.err
    assert place.names() == {"f"}


async def test_placed_files_and_binds_are_there_and_cannot_be_changed(place: Place) -> None:
    shared = place.root / "shared"
    shared.mkdir()
    plan = place.plan(
        binds=[Bind(source=str(shared), target=str(place.home / "shared"), writable=True)],
        files=[
            PlacedFile(path="/etc/codex/requirements.toml", content=b"x = 1\n"),
            PlacedFile(path=str(place.home / ".agent" / "settings.json"), content=b"{}"),
        ],
    )
    sandbox = await Sandbox.start(plan)
    try:
        tried = await Box(sandbox, place).shell(
            "cat /etc/codex/requirements.toml ~/.agent/settings.json; echo y > /etc/codex/requirements.toml;"
            "echo y > ~/.agent/settings.json; rm ~/.agent/settings.json; mv ~/.agent ~/.b; echo z > ~/shared/z"
        )
    finally:
        await sandbox.close()

    assert tried.out == "x = 1\n{}"
    assert tried.err.count("Read-only file system") == 2
    assert tried.err.count("Device or resource busy") == 2
    assert (shared / "z").read_text() == "z\n"
    assert sorted(os.listdir(place.home)) == [".aws", ".gitconfig", ".ssh", "src"]


async def test_a_link_planted_in_the_workspace_leads_nowhere(repository: Place) -> None:
    outside = repository.root / "outside"
    outside.mkdir()
    (repository.workspace / ".claude").symlink_to(outside)
    (repository.workspace / "leak").symlink_to(repository.home / ".ssh")

    sandbox = await Sandbox.start(repository.plan())
    try:
        tried = await Box(sandbox, repository).shell(
            "cat leak/id_ed25519; rm .claude; mkdir .claude; echo x > .claude/x"
        )
    finally:
        await sandbox.close()

    assert "Device or resource busy" in tried.err
    assert tried.out == ""
    assert list(outside.iterdir()) == []
    assert (repository.workspace / ".claude").is_symlink()


async def test_the_limits_of_private_folders_hold(box: Box) -> None:
    filled = await box.shell("head -c 40m /dev/zero > /run/x; stat -c %s /run/x")

    assert "No space left on device" in filled.err
    assert int(filled.out) <= 32 << 20
