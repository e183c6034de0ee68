"""Programs from an image instead of the host's: the same sandbox, filled otherwise."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import Image, Plan

PROGRAMS = ("sh", "cat", "ls", "id", "touch", "env")


def rootfs(folder: Path) -> Path:
    """A root file system with a few programs of this machine's, and what they load."""
    for name in ("usr/bin", "etc", "var/lib/thing", "var/tmp", "tmp", "dev", "home/author"):
        (folder / name).mkdir(parents=True)
    (folder / "bin").symlink_to("usr/bin")
    (folder / "etc" / "os-release").write_text("NAME=image\n")
    (folder / "etc" / "passwd").write_text("author:x:0:0::/:/bin/sh\n")
    (folder / "etc" / "shadow").symlink_to("/home")
    (folder / "var" / "lib" / "thing" / "file").write_text("from the image\n")
    for name in PROGRAMS:
        program = os.path.realpath(shutil.which(name, path="/usr/bin:/bin") or "")
        _copy(program, folder, f"/usr/bin/{name}")
        said = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", said):
            _copy(library, folder, library)
    return folder


def _copy(source: str, folder: Path, target: str) -> None:
    place = folder / target.lstrip("/")
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def with_image(place: Place, root: Path) -> Plan:
    image = Image(name="mine", digest="d", root=str(root), variables=(("PATH", "/usr/bin"), ("FROM", "image")))
    return msgspec.structs.replace(place.plan(), image=image)


@pytest.fixture
async def imaged(place: Place, tmp_path: Path) -> AsyncIterator[Box]:
    (place.workspace / ".env").write_text("TOKEN=1\n")
    sandbox = await Sandbox.start(with_image(place, rootfs(tmp_path / "image")))
    yield Box(sandbox, place)
    await sandbox.close()


async def test_programs_come_from_the_image_and_from_nowhere_else(imaged: Box) -> None:
    shown = await imaged.run("sh", "-c", "cat /etc/os-release /var/lib/thing/file; ls /usr/bin; ls /")

    names = shown.out.split()
    assert names[:4] == ["NAME=image", "from", "the", "image"]
    assert names[4:10] == sorted(PROGRAMS)
    assert "home" not in names[10:] or not os.path.exists("/home/author")
    assert dict(imaged.sandbox.enforcement)["image"] == "mine d"
    assert imaged.sandbox.variables == {"PATH": "/usr/bin", "FROM": "image"}
    assert (await imaged.run("sh", "-c", "ls /usr/lib/python3 /home/author")).code != 0


async def test_an_image_can_not_be_changed_and_says_nothing_of_accounts(imaged: Box, tmp_path: Path) -> None:
    tried = await imaged.run("sh", "-c", "touch /usr/bin/new /etc/new /var/lib/thing/new; cat /etc/passwd")

    assert "author" not in tried.out and "root:x:0:0" in tried.out
    assert not (tmp_path / "image" / "usr" / "bin" / "new").exists()
    assert sorted(each.name for each in (tmp_path / "image" / "var" / "lib" / "thing").iterdir()) == ["file"]


async def test_the_policy_holds_as_it_does_without_an_image(imaged: Box) -> None:
    tried = await imaged.run("sh", "-c", "cat .env; cat ~/.ssh/id_ed25519; touch .git 2>&1; touch new; id -u")

    assert "TOKEN" not in tried.out and "PRIVATE KEY" not in tried.out
    assert tried.out.endswith("1000\n" if os.getuid() == 0 else f"{os.getuid()}\n")
    assert (imaged.place.workspace / "new").exists()
    assert not (imaged.place.workspace / ".git").exists() or not list((imaged.place.workspace / ".git").iterdir())


async def test_a_link_of_an_image_leads_nowhere_on_the_host(place: Place, tmp_path: Path) -> None:
    root = rootfs(tmp_path / "image")
    (root / "opt").symlink_to(place.home / ".ssh")
    (root / "srv").symlink_to("/etc")
    sandbox = await Sandbox.start(with_image(place, root))
    try:
        shown = await Box(sandbox, place).run("sh", "-c", "ls /opt/; cat /opt/id_ed25519; ls /srv")
    finally:
        await sandbox.close()

    assert "PRIVATE KEY" not in shown.out
    assert "shadow-" not in shown.out and "sudoers" not in shown.out


async def test_what_is_the_sandboxs_own_is_never_the_images(place: Place, tmp_path: Path) -> None:
    root = rootfs(tmp_path / "image")
    top = place.workspace.parts[1]
    for name in (top, "root", "srv"):
        (root / name).mkdir(exist_ok=True)
        (root / name / "of-the-image").touch()
    sandbox = await Sandbox.start(with_image(place, root))
    try:
        shown = await Box(sandbox, place).run("sh", "-c", f"ls /{top} /root /srv; touch ~/new new && echo written")
    finally:
        await sandbox.close()

    assert shown.out.count("of-the-image") == 1
    assert shown.out.endswith("written\n")


@pytest.mark.parametrize("tier", ["B", "C"])
async def test_without_mounts_there_are_no_images(place: Place, tmp_path: Path, tier: str) -> None:
    with pytest.raises(SandboxUnavailable, match="cannot take programs from the image `mine`"):
        await Sandbox.start(with_image(place, tmp_path), tier=tier)
