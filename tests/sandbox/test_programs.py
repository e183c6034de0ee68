from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.sandbox.boxes import SYSTEM_PATH, Box, Place

from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.programs import Programs


def program(path: Path, text: str = "#!/bin/sh\necho ran\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def shown(place: Place, path: str, *programs: str) -> set[str]:
    found = Programs(str(place.home), str(place.workspace), os.path.realpath)
    found.add_path(path)
    for each in programs:
        found.add_program(each, path)
    return {os.path.relpath(each, place.home) for each in found.found()}


def test_a_version_manager_is_shown_as_a_whole(place: Place) -> None:
    program(place.home / ".pyenv" / "shims" / "python")
    program(place.home / ".nvm" / "versions" / "node" / "v22" / "bin" / "node")
    path = f"{place.home}/.pyenv/shims:{place.home}/.nvm/versions/node/v22/bin:/usr/bin"

    assert shown(place, path) == {".pyenv", ".nvm/versions"}


def test_cargos_programs_are_shown_and_its_credentials_are_not(place: Place) -> None:
    program(place.home / ".cargo" / "bin" / "cargo")
    (place.home / ".cargo" / "credentials.toml").write_text("token")
    (place.home / ".rustup").mkdir()

    assert shown(place, f"{place.home}/.cargo/bin") == {".cargo/bin", ".rustup"}


def test_links_of_a_shared_folder_show_the_packages_they_lead_to(place: Place) -> None:
    local = place.home / ".local"
    claude = program(local / "share" / "claude" / "versions" / "1.2.3")
    tool = program(local / "share" / "uv" / "tools" / "ruff" / "bin" / "ruff")
    (tool.parent.parent / "pyvenv.cfg").write_text("home = /usr/bin\n")
    script = program(place.home / "apps" / "lib" / "node_modules" / "codex" / "cli.js", "#!/usr/bin/env node\n")
    (local / "share" / "keyring").mkdir()
    (local / "bin").mkdir()
    for name, target in (("claude", claude), ("ruff", tool), ("codex", script)):
        (local / "bin" / name).symlink_to(target)

    assert shown(place, f"{local}/bin") == {
        ".local/bin",
        ".local/share/claude/versions",
        ".local/share/uv/tools/ruff/bin",
        ".local/share/uv/tools/ruff/pyvenv.cfg",
        "apps/lib/node_modules",
    }


def test_of_an_installation_that_nobody_knows_only_its_parts_are_shown(place: Place) -> None:
    program(place.home / "tool" / "bin" / "tool")
    (place.home / "tool" / "lib").mkdir()
    (place.home / "tool" / "private-notes").mkdir()

    assert shown(place, f"{place.home}/tool/bin") == {"tool/bin", "tool/lib"}


def test_path_never_opens_home_or_folders_of_keys(place: Place) -> None:
    program(place.home / "tool")
    program(place.home / ".ssh" / "bin" / "x")
    program(place.home / ".docker" / "bin" / "docker")
    program(place.workspace / "node_modules" / ".bin" / "x")
    path = ":".join(
        str(each)
        for each in (
            place.home,
            place.home.parent,
            place.home / ".ssh",
            place.home / ".ssh" / "bin",
            place.home / ".docker" / "bin",
            place.workspace / "node_modules" / ".bin",
            "relative/bin",
            "/",
        )
    )

    assert shown(place, path, str(place.home / ".ssh" / "bin" / "x")) == {"tool"}


async def test_programs_below_home_run_and_the_rest_of_home_stays_closed(place: Place) -> None:
    target = program(place.home / ".local" / "share" / "agent" / "versions" / "2", '#!/bin/sh\ncat "$0.data"\n')
    Path(f"{target}.data").write_text("it runs")
    (place.home / ".local" / "bin").mkdir()
    (place.home / ".local" / "bin" / "agent").symlink_to(target)
    (place.home / ".local" / "share" / "secrets").write_text("secret")
    path = f"{place.home}/.local/bin:{SYSTEM_PATH}"

    sandbox = await Sandbox.start(place.plan(path=path))
    try:
        ran = await Box(sandbox, place).shell(
            "agent 2>&1; readlink -f ~/.local/bin/agent; ls ~/.local/share", env={"PATH": path}
        )
        tried = await Box(sandbox, place).shell("echo x >> ~/.local/bin/agent; rm ~/.local/bin/agent")
    finally:
        await sandbox.close()

    assert str(target) in ran.out and "secrets" not in ran.out
    assert tried.err.count("Read-only file system") == 2


async def test_a_virtual_environment_works_outside_home_and_through_a_link(place: Place) -> None:
    environment = place.root / "real-env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (place.root / "env").symlink_to(environment)
    path = f"{place.root}/env/bin:{SYSTEM_PATH}"

    sandbox = await Sandbox.start(place.plan(path=path))
    try:
        ran = await Box(sandbox, place).shell("python -c 'import sys; print(sys.prefix)'", env={"PATH": path})
    finally:
        await sandbox.close()

    assert ran.out.strip() in (str(environment), str(place.root / "env")), ran.err


def test_of_a_package_that_lies_elsewhere_only_its_folder_is_shown_and_never_home(place: Place) -> None:
    package = place.home / "code" / "src" / "tool"
    program(package / "main.py")
    (package.parent / "secrets.txt").write_text("token")
    found = Programs(str(place.home), str(place.workspace), os.path.realpath)

    found.add_package(str(package))
    found.add_package(str(place.home))

    assert found.found() == (str(package),)
