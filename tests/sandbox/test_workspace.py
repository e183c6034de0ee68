from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sandbox.boxes import SYSTEM_PATH, Box, Place

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.control_files import CONTROL_FILES, Direct, control_file
from ringfence.sandbox import stubs
from ringfence.sandbox.launch import Sandbox, launch

STUBS = {".claude", ".codex", ".gemini", ".cursor", ".opencode", ".agents", ".mcp.json", ".vscode", ".idea"}


async def test_an_agent_finds_what_it_would_write_into_its_folder_and_git_has_nothing_to_say(git_box: Box) -> None:
    done = await git_box.shell("ls -A .opencode .codex; git status --porcelain .opencode .codex; touch .opencode/x")

    assert done.out.split() == [".codex:", ".opencode:", ".gitignore"]
    assert "Read-only file system" in done.err


async def test_everyday_git_works_inside(git_box: Box) -> None:
    done = await git_box.shell(
        "set -e; echo b >> a; git status --porcelain; git add a; git commit -qm second; git switch -qc topic;"
        "echo c >> a; git stash -q; git stash pop -q; git diff --stat; git log --oneline; git worktree list;"
        "git branch; git checkout -q -- a; git tag v1; git switch -q main; git merge -q topic;"
        "git reset -q --hard HEAD~1; git gc -q"
    )

    assert done.code == 0, done.err
    assert done.err == ""
    assert "second" in git_box.place.git("log", "--oneline", "topic")


@pytest.mark.parametrize(
    "attack",
    [
        "echo evil > .git/hooks/pre-commit",
        "echo evil >> .git/config",
        "mv .git .git2 && mkdir -p .git/hooks && echo evil > .git/hooks/pre-commit",
        "mv .git/hooks .git/h2 && mkdir .git/hooks && echo evil > .git/hooks/pre-commit",
        "rm -rf .git/hooks && mkdir .git/hooks",
        "rm -f .git/config && echo evil > .git/config",
        "mkdir -p .claude && echo evil > .claude/settings.json",
        "echo evil > .mcp.json",
        "rmdir .claude && ln -s /tmp .claude",
        "mkdir -p .git/modules/m && echo evil > .git/modules/m/config",
        "echo ../evil > .git/commondir",
        "rm -f .git/commondir && echo ../evil > .git/commondir",
        "git config core.fsmonitor evil",
        "mkdir -p .vscode && echo evil > .vscode/tasks.json",
    ],
)
async def test_control_files_cannot_be_planted(repository: Place, attack: str) -> None:
    witness = repository.root / "witness"
    subprocess.run(["cp", "-a", repository.workspace, witness], check=True)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(repository.home)}
    without = subprocess.run(["bash", "-c", attack], cwd=witness, env=environment, capture_output=True, check=False)
    assert without.returncode in ((0, 1) if "rmdir" in attack else (0,)), "the attack has to work without the sandbox"
    before = _everything(repository.workspace)

    sandbox = await Sandbox.start(repository.plan())
    try:
        tried = await Box(sandbox, repository).shell(attack)
    finally:
        await sandbox.close()

    # What Git writes there works on a copy, and is refused elsewhere.
    copied = attack in (
        "echo evil >> .git/config",
        "git config core.fsmonitor evil",
        "mkdir -p .git/modules/m && echo evil > .git/modules/m/config",
    )
    assert (tried.code == 0) is copied
    assert _everything(repository.workspace) == before


async def test_hooks_in_a_folder_of_the_repositorys_choice_cannot_be_changed(repository: Place) -> None:
    hook = repository.workspace / "tools" / "hooks" / "pre-commit"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\n")
    repository.git("config", "core.hooksPath", "tools/hooks")

    sandbox = await Sandbox.start(repository.plan())
    try:
        attack = "echo evil >> tools/hooks/pre-commit; mv tools/hooks tools/h; mv tools t; touch tools/x"
        tried = await Box(sandbox, repository).shell(attack)
    finally:
        await sandbox.close()

    assert "Read-only file system" in tried.err
    assert tried.err.count("Device or resource busy") == 2
    assert hook.read_text() == "#!/bin/sh\n"
    assert (repository.workspace / "tools" / "x").exists()


@pytest.mark.slow
async def test_a_linked_working_tree_commits_and_its_repository_is_protected(repository: Place) -> None:
    tree = repository.home / "src" / "tree"
    repository.git("worktree", "add", "-q", str(tree))
    repository.git("worktree", "add", "-q", str(repository.home / "src" / "other"))
    place = Place(root=repository.root, home=repository.home, workspace=tree, state=repository.state)
    before = {name: content for name, content in _everything(repository.workspace).items() if _is_settings(name)}
    git = f"{repository.workspace}/.git"

    sandbox = await Sandbox.start(place.plan())
    try:
        done = await Box(sandbox, place).shell("echo b >> a && git commit -qam second && git status --porcelain")
        attacks = (
            f"for each in hooks/pre-commit config commondir worktrees/tree/commondir worktrees/other/commondir; do"
            f" echo evil > {git}/$each; done; echo evil > .git; mv {git} {git}2;"
            f"mv {git}/worktrees {git}/w; mv {git}/worktrees/tree {git}/worktrees/t; ls {repository.workspace}/a"
        )
        tried = await Box(sandbox, place).shell(attacks)
    finally:
        await sandbox.close()

    assert (done.code, done.out, done.err) == (0, "", "")
    assert "second" in place.git("log", "--oneline")
    assert tried.err.count("Read-only file system") == 5, "the settings are a copy"
    assert tried.err.count("busy") == 3
    assert tried.err.count("No such file") == 1
    after = {name: content for name, content in _everything(repository.workspace).items() if _is_settings(name)}
    assert after == before


async def test_a_repository_nested_in_the_workspace_is_protected_and_works(repository: Place) -> None:
    nested = repository.workspace / "vendor" / "lib"
    nested.mkdir(parents=True)
    repository.git("-C", str(nested), "init", "-q")
    before = _everything(nested)

    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        tried = await box.shell(
            "cd vendor/lib; echo evil >> .git/config; echo evil > .git/hooks/pre-commit; mv .git .g;"
            "echo evil > .git/commondir"
        )
        done = await box.shell("cd vendor/lib; echo x > x; git add x; git commit -qm x; git status --porcelain")
    finally:
        await sandbox.close()

    assert (tried.err.count("Read-only file system"), tried.err.count("busy")) == (2, 1), "the settings are a copy"
    assert (done.code, done.out, done.err) == (0, "", "")
    after = _everything(nested)
    assert {name: after[name] for name in before if "hooks" in name or "config" in name} == {
        name: content for name, content in before.items() if "hooks" in name or "config" in name
    }


@pytest.mark.parametrize("kind", ["link", "file"])
async def test_a_repository_elsewhere_in_the_workspace_is_protected(repository: Place, kind: str) -> None:
    (repository.workspace / "meta").mkdir()
    git = (repository.workspace / ".git").rename(repository.workspace / "meta" / "repo")
    if kind == "link":
        (repository.workspace / ".git").symlink_to("meta/repo")
    else:
        (repository.workspace / ".git").write_text("gitdir: meta/repo\n")

    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        tried = await box.shell("echo evil >> meta/repo/config; echo evil > meta/repo/hooks/x; mv meta m; rm .git")
        done = await box.shell("echo b >> a; git commit -qam second")
    finally:
        await sandbox.close()

    assert tried.err.count("Read-only file system") == 1, "the settings are a copy"
    assert tried.err.count("busy") >= 2
    assert (done.code, done.err) == (0, "")
    assert "evil" not in (git / "config").read_text()
    assert not (git / "hooks" / "x").exists()


async def test_settings_that_a_repository_includes_are_protected(repository: Place) -> None:
    (repository.workspace / "shared.cfg").write_text("[alias]\n\tst = status\n")
    repository.git("config", "include.path", "../shared.cfg")
    repository.git("config", "--add", "include.path", "../missing.cfg")

    sandbox = await Sandbox.start(repository.plan())
    try:
        box = Box(sandbox, repository)
        tried = await box.shell("echo evil >> shared.cfg; mv shared.cfg x; echo evil > missing.cfg")
        done = await box.shell("git st --porcelain --untracked-files=no")
    finally:
        await sandbox.close()

    assert (tried.err.count("Read-only file system"), tried.err.count("busy")) == (2, 1)
    assert (done.code, done.err) == (0, "")
    assert "evil" not in (repository.workspace / "shared.cfg").read_text()
    assert not (repository.workspace / "missing.cfg").exists()


async def test_a_git_file_that_names_somebody_elses_repository_opens_nothing(repository: Place) -> None:
    tree = repository.home / "src" / "fake"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {repository.workspace}/.git\n")
    place = Place(root=repository.root, home=repository.home, workspace=tree, state=repository.state)

    sandbox = await Sandbox.start(place.plan())
    try:
        tried = await Box(sandbox, place).shell(f"ls {repository.workspace}/.git")
    finally:
        await sandbox.close()

    assert "No such file" in tried.err
    assert any("leads to a repository elsewhere" in notice for notice in sandbox.notices)


async def test_a_workspace_reached_through_a_link_is_there_under_both_names(place: Place) -> None:
    (place.root / "link").symlink_to(place.home / "src")
    linked = Place(root=place.root, home=place.home, workspace=place.root / "link" / "project", state=place.state)

    sandbox = await Sandbox.start(linked.plan())
    try:
        shown = await Box(sandbox, linked).shell("echo here > made; cat ~/src/project/made")
    finally:
        await sandbox.close()

    assert shown.out == "here\n"


async def test_a_home_that_cannot_be_private_is_refused(place: Place) -> None:
    homeless = Place(root=place.root, home=Path("/"), workspace=place.workspace, state=place.state)

    with pytest.raises(SandboxUnavailable, match="home folder is `/`"):
        await Sandbox.start(homeless.plan())


@pytest.mark.slow
async def test_place_holders_are_shared_by_sessions_and_removed_by_the_last(repository: Place) -> None:
    before = _everything(repository.workspace)
    first = await Sandbox.start(repository.plan())
    second = await Sandbox.start(repository.plan())
    assert STUBS | {".git/commondir", ".git/modules", ".git/worktrees"} <= repository.names()

    await first.close()

    tried = await Box(second, repository).shell("mkdir .claude/x || echo x > .mcp.json/x")
    assert tried.code != 0
    assert repository.names() >= STUBS
    await second.close()
    assert _everything(repository.workspace) == before


async def test_a_second_session_starts_where_the_first_has_a_place_holder_for_a_repository(place: Place) -> None:
    first = await Sandbox.start(place.plan())
    try:
        second = await Sandbox.start(place.plan())
    finally:
        await first.close()
    try:
        tried = await Box(second, place).shell("git init -q; mkdir -p .git/hooks")
    finally:
        await second.close()

    assert tried.code != 0
    assert place.names() == set()


async def test_a_file_the_user_makes_in_a_place_holder_is_not_removed(repository: Place) -> None:
    sandbox = await Sandbox.start(repository.plan())
    (repository.workspace / ".vscode" / "settings.json").write_text("{}")

    await sandbox.close()

    assert (repository.workspace / ".vscode" / "settings.json").read_text() == "{}"
    assert not (repository.workspace / ".claude").exists()


@pytest.mark.slow
def test_the_place_holders_of_a_killed_session_are_swept_up(repository: Place) -> None:
    before = _everything(repository.workspace)
    script = f"""
import asyncio, os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.sandbox.boxes import Place
from ringfence.sandbox.launch import Sandbox, launch
place = Place(*(Path(each) for each in sys.argv[1:]))
async def main():
    await Sandbox.start(place.plan())
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    arguments = [str(each) for each in (repository.root, repository.home, repository.workspace, repository.state)]
    source = str(Path(__file__).parents[2] / "src")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": source}
    killed = subprocess.run([sys.executable, "-c", script, *arguments], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert repository.names() >= STUBS

    assert stubs.sweep(str(repository.state)) > 0

    assert _everything(repository.workspace) == before
    assert stubs.sweep(str(repository.state)) == 0


@pytest.mark.parametrize("name", ["/", "/usr", "/tmp"])
def test_a_folder_of_the_system_is_no_workspace(place: Place, name: str) -> None:
    elsewhere = Place(root=place.root, home=place.home, workspace=Path(name), state=place.state)

    with pytest.raises(SandboxUnavailable, match="folder of the system"):
        elsewhere.plan()


def test_home_and_what_contains_it_are_no_workspace(place: Place) -> None:
    for folder, words in ((place.home, "your home folder"), (place.root, "contains your home folder")):
        elsewhere = Place(root=place.root, home=place.home, workspace=folder, state=place.state)
        with pytest.raises(SandboxUnavailable, match=words):
            elsewhere.plan()


async def test_a_workspace_that_does_not_exist_is_refused(place: Place) -> None:
    gone = Place(root=place.root, home=place.home, workspace=place.root / "gone", state=place.state)

    with pytest.raises(SandboxUnavailable, match="does not exist"):
        await Sandbox.start(gone.plan())


async def test_a_link_to_home_is_no_workspace(place: Place) -> None:
    (place.root / "link").symlink_to(place.home)
    elsewhere = Place(root=place.root, home=place.home, workspace=place.root / "link", state=place.state)

    with pytest.raises(SandboxUnavailable, match="home folder"):
        await Sandbox.start(elsewhere.plan())


def test_the_table_names_the_row_that_speaks_for_a_path() -> None:
    rows = {
        ".git/hooks/pre-commit": Direct.PIN,
        ".claude/settings.json": Direct.PROTECT,
        "deep/er/.envrc": Direct.REPORT,
        "deep/AGENTS.md": Direct.REPORT,
        "a/sitecustomize.py": Direct.REPORT,
        "x.pth": Direct.REPORT,
        ".github/workflows/ci.yml": Direct.REPORT,
    }

    assert {path: row.direct for path in rows if (row := control_file(path))} == rows
    assert control_file("src/main.py") is None
    assert control_file("notAGENTS.md") is None


def test_every_row_of_the_table_has_a_reason() -> None:
    assert all(row.why and not row.pattern.startswith("/") for row in CONTROL_FILES)


def _is_settings(name: str) -> bool:
    parts = name.split("/")
    return parts[:2] in ([".git", "hooks"], [".git", "config"], [".git", "commondir"]) or parts[-1] in (
        "commondir",
        "gitdir",
    )


def _everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path.relative_to(folder))] = (path.lstat().st_mode, content)
    return found


async def test_a_workspace_in_which_nothing_can_be_protected_is_refused(place: Place) -> None:
    if os.getuid() == 0:
        pytest.skip("root may write anywhere")
    place.workspace.chmod(0o555)

    with pytest.raises(SandboxUnavailable, match="cannot be protected"):
        await Sandbox.start(place.plan())

    place.workspace.chmod(0o755)
    assert place.names() == set()
    async with launch(place.plan()) as sandbox:
        assert (await Box(sandbox, place).shell("touch fine")).code == 0


@pytest.mark.parametrize("mode", [0o000, 0o111, 0o444, 0o600])
async def test_settings_behind_a_closed_folder_stay_protected(mode: int, repository: Place) -> None:
    if os.getuid() == 0:
        pytest.skip("nothing is closed for root")
    folder = repository.workspace / ".git"
    before = (folder / "config").read_bytes()
    folder.chmod(mode)
    attack = "chmod 755 .git; echo evil >> .git/config; echo evil > .git/hooks/pre-commit"

    try:
        async with launch(repository.plan()) as sandbox:
            await Box(sandbox, repository).shell(attack)
    except SandboxUnavailable as refused:
        assert "cannot be looked at" in refused.message or "cannot be protected" in refused.message

    folder.chmod(0o755)
    assert (folder / "config").read_bytes() == before
    assert not (folder / "hooks" / "pre-commit").exists()


REPOSITORY = r"""
mkdir -p objects refs; echo 'ref: refs/heads/main' > HEAD
printf '[core]\n\trepositoryformatversion = 0\n\tworktree = .\n\tfsmonitor = "touch %s; false"\n' "$0" > config
"""


@pytest.mark.parametrize("there", [(), ("HEAD",), ("HEAD", "refs")])
async def test_a_workspace_does_not_become_a_repository_of_its_own(there: tuple[str, ...], place: Place) -> None:
    for name in there:
        if name == "HEAD":
            (place.workspace / name).write_text("ref: refs/heads/main\n")
        else:
            (place.workspace / name).mkdir()
    ran = place.root / "ran"

    async with launch(place.plan()) as sandbox:
        await Box(sandbox, place).run("sh", "-c", REPOSITORY, str(ran))

    subprocess.run(
        ["git", "status"], cwd=place.workspace, env={"PATH": SYSTEM_PATH, "HOME": str(place.home)}, check=False
    )
    assert not ran.exists()


async def test_the_settings_of_a_bare_repository_are_protected(place: Place) -> None:
    place.git("init", "-q", "--bare", ".")
    before = (place.workspace / "config").read_bytes()

    async with launch(place.plan()) as sandbox:
        await Box(sandbox, place).shell(
            "echo evil >> config; echo evil > hooks/pre-receive; mv hooks other; mv config c"
        )

    assert (place.workspace / "config").read_bytes() == before
    assert not (place.workspace / "hooks" / "pre-receive").exists()
