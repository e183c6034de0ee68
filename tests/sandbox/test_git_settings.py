from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.sandbox.boxes import Box, Place

from ringfence.sandbox import git_settings
from ringfence.sandbox.git_settings import Named, settings
from ringfence.sandbox.launch import Sandbox

TEXTS = (
    "[core]\n\thooksPath = tools/hooks\n",
    "[core] hooksPath = tools/hooks",
    "[CORE]\r\n\tHOOKSPATH=tools/hooks\r\n",
    '[core]\n\thooksPath = "tools/hooks" # here\n',
    "[core]\n\thooksPath = tools/hooks ; here\n",
    "[core]\n\thooksPath = tools/\\\nhooks\n",
    '[core]\n\thooksPath = "too"ls/"hooks"   \n',
    '\ufeff# first\n[alias]\n\tx = "!echo ]"\n[core]\n\thooksPath = tools/hooks\n',
    '[core]\n\thooksPath = "to\\"ols; # \\\\ hooks"\n',
    '[core]\n\tbare\n\tx =\n\thooksPath = a b\n[core "hookspath"]\n\thookspath = other\n',
)


@pytest.mark.parametrize("text", TEXTS)
def test_settings_are_read_as_git_reads_them(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_bytes(text.encode())
    asked = ("git", "config", "--file", str(file), "core.hooksPath")
    answer = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.removesuffix("\n")

    assert [value for key, value in settings(text) if key == "core.hookspath"] == [answer]


def test_an_include_counts_whatever_its_condition() -> None:
    text = '[include]\npath = a\n[includeIf "gitdir:~/work/"]\npath = b\n[includeIf "onbranch:x\\"y"]\npath = c\n'
    text += "[x]\npath = d\n"

    assert [value for key, value in settings(text) if key == "include.path"] == ["a", "b", "c"]


def test_includes_are_followed_in_turn_and_not_for_ever(tmp_path: Path) -> None:
    (tmp_path / "first").write_text("[include]\npath = sub/second\npath = first\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "second").write_text("[core]\nhooksPath = h\n[include]\npath = ../sub/second\npath = ~/third\n")

    found = git_settings.named([str(tmp_path / "first")], ["/t", "/u"], "/home/x")

    paths = {each.path for each in found.named}
    expected = {f"{tmp_path}/sub/second", f"{tmp_path}/first", "/t/h", "/u/h", "/home/x/third"}
    assert expected <= paths
    assert Named(path="/t/h", is_folder=True) in found.named
    assert len(found.notices) == 1
    assert "deeper than 10" in found.notices[0]


def test_pipes_and_devices_in_the_place_of_settings_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[include]\npath = /dev/zero\npath = /dev/tty\n")

    assert len(git_settings.named([str(tmp_path / "config")], [], "/home/x").named) == 2


async def _tried(place: Place, script: str) -> tuple[str, tuple[str, ...]]:
    sandbox = await Sandbox.start(place.plan())
    try:
        return (await Box(sandbox, place).shell(script)).err, sandbox.notices
    finally:
        await sandbox.close()


async def test_what_the_persons_own_settings_name_is_protected_in_every_repository(repository: Place) -> None:
    nested = repository.workspace / "library"
    (repository.home / ".gitconfig").write_text("[core]\n\thooksPath = tools/hooks\n")
    (repository.workspace / "tools" / "hooks").mkdir(parents=True)
    (nested / "tools").mkdir(parents=True)
    repository.git("init", "-q", str(nested))
    before = repository.names()

    err, _ = await _tried(
        repository,
        "echo x > tools/hooks/pre-commit; mkdir library/tools/hooks/x; mv tools t; mv library/tools library/t;"
        "mv library l",
    )

    assert (err.count("Read-only file system"), err.count("busy")) == (2, 3)
    assert repository.names() == before


async def test_a_hooks_folder_cannot_be_made_where_nothing_leads_to_it_yet(repository: Place) -> None:
    repository.git("config", "core.hooksPath", "tools/hooks")

    err, notices = await _tried(repository, "mkdir -p tools/hooks && echo x > tools/hooks/pre-commit; rmdir tools")

    assert (err.count("Read-only file system"), err.count("busy")) == (1, 1)
    assert "`tools` cannot be made, because Git's settings name `tools/hooks`" in notices
    assert not (repository.workspace / "tools").exists()


async def test_a_place_that_is_reached_through_a_link_is_protected_with_the_link(repository: Place) -> None:
    (repository.workspace / "real" / "hooks").mkdir(parents=True)
    (repository.workspace / "tools").symlink_to("real")
    repository.git("config", "core.hooksPath", str(repository.workspace / "tools" / "hooks"))

    err, _ = await _tried(repository, "echo x > real/hooks/pre-commit; rm tools; mv tools t; mv real r")

    assert (err.count("Read-only file system"), err.count("busy")) == (1, 3)
    assert (repository.workspace / "tools").is_symlink()


async def test_settings_of_the_person_that_lie_in_the_workspace_are_protected(repository: Place) -> None:
    settings_file = repository.workspace / "gitconfig"
    settings_file.write_text("[include]\n\tpath = more\n")
    (repository.home / ".gitconfig").unlink()
    (repository.home / ".gitconfig").symlink_to(settings_file)

    err, _ = await _tried(repository, "echo x >> gitconfig; rm gitconfig")

    assert (err.count("Read-only file system"), err.count("busy")) == (1, 1)


async def test_a_linked_working_tree_gets_no_settings_of_its_own(repository: Place) -> None:
    tree = repository.home / "src" / "tree"
    repository.git("worktree", "add", "-q", str(tree))
    repository.git("config", "extensions.worktreeConfig", "true")
    repository.git("config", "include.path", "more")
    place = Place(root=repository.root, home=repository.home, workspace=tree, state=repository.state)
    own = f"{repository.workspace}/.git/worktrees/tree"
    before = repository.names()

    err, _ = await _tried(
        place,
        f"echo x > {own}/config.worktree; echo x > {own}/../../more; rm {own}/config.worktree;"
        "echo b >> a; git commit -qam second",
    )

    assert (err.count("Read-only file system"), err.count("busy"), err.count("\n")) == (2, 1, 3), err
    assert not {name for name in repository.names() - before if "config" in name or "more" in name}
    assert "second" in place.git("log", "--oneline")


async def test_settings_of_a_repository_around_the_workspace_count(repository: Place) -> None:
    part = repository.workspace / "part"
    (part / "hooks").mkdir(parents=True)
    repository.git("config", "core.hooksPath", "part/hooks")
    place = Place(root=repository.root, home=repository.home, workspace=part, state=repository.state)

    err, _ = await _tried(place, "echo x > hooks/pre-commit; mv hooks h")

    assert (err.count("Read-only file system"), err.count("busy")) == (1, 1)
