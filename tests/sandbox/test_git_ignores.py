"""Git looks past the place holders in a workspace, and goes on ignoring what it ignores for the person."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.sandbox.boxes import RULES, Box, Place

from ringfence.policy.effective import Access
from ringfence.sandbox.launch import Sandbox


async def _said(
    place: Place, script: str, *, staged: bool = False, rules: tuple[tuple[str, Access], ...] = RULES
) -> str:
    staging = str(place.state / "staged" / "one") if staged else None
    sandbox = await Sandbox.start(place.plan(rules, staging=staging))
    try:
        done = await Box(sandbox, place).shell(f"exec 2>&1; {script}; echo $?")
    finally:
        await sandbox.close()
    return done.out


@pytest.mark.parametrize("staged", [False, True], ids=["direct", "staged"])
async def test_git_clean_leaves_place_holders_alone(repository: Place, staged: bool) -> None:
    (repository.workspace / "junk").write_text("x")
    settings = (repository.workspace / ".git" / "config").read_text()

    said = await _said(repository, "test -d .claude && git clean -fd -e sub", staged=staged)

    assert said == "Removing junk\n0\n"
    assert (repository.workspace / ".git" / "config").read_text() == settings


@pytest.mark.parametrize("staged", [False, True], ids=["direct", "staged"])
@pytest.mark.parametrize("named", ["usual", "by a setting"])
async def test_what_git_ignores_for_the_person_stays_ignored(repository: Place, named: str, staged: bool) -> None:
    ignores = repository.home / (".config/git/ignore" if named == "usual" else ".mine")
    ignores.parent.mkdir(parents=True, exist_ok=True)
    ignores.write_text("*.mine\n")
    if named == "by a setting":
        (repository.home / ".gitconfig").write_text("[core]\n\texcludesFile = ~/.mine\n")
    (repository.workspace / "x.mine").write_text("x")

    said = await _said(repository, "git status --short --ignored x.mine", staged=staged)

    assert said == "!! x.mine\n0\n"


@pytest.mark.parametrize("what", ["a link", "a folder"])
async def test_a_staged_session_starts_where_a_rule_shows_the_ignores_otherwise(repository: Place, what: str) -> None:
    ignores = repository.home / "mine" / "ignores"
    ignores.parent.mkdir()
    ignores.write_text("*.mine\n")
    (repository.home / ".ignores").symlink_to("mine/ignores")
    named, shown = ("~/.ignores", "~/.ignores") if what == "a link" else ("~/mine", "~/mine/ignores")
    (repository.home / ".gitconfig").write_text(f"[core]\n\texcludesFile = {named}\n")
    (repository.workspace / "x.mine").write_text("x")

    rules = (*RULES, (shown, Access.READ))
    said = await _said(repository, "git status --short --ignored x.mine", staged=True, rules=rules)

    # Git itself takes no folder of ignores.
    assert said == ("!! x.mine\n0\n" if what == "a link" else said)
    assert ignores.read_text() == "*.mine\n"


async def test_settings_of_the_machine_hold_in_a_staged_session(repository: Place) -> None:
    machine = Path("/etc/gitconfig")
    before = machine.read_text() if machine.exists() else ""

    said = await _said(repository, "git config --system --list | grep -v '^core.excludesfile='", staged=True)

    host = repository.host("git", "config", "--list", "--file", str(machine)) if before else ""
    assert said == f"{host}{0 if host else 1}\n"


@pytest.mark.parametrize("way", ["a folder that is shown", "a link", "upwards"])
async def test_a_file_of_ignores_is_never_written_for_real(repository: Place, way: str) -> None:
    shown = repository.home / "shown"
    shown.mkdir()
    (shown / "mine").write_text("*.mine\n")
    (repository.home / "led").symlink_to(shown)
    named = {"a folder that is shown": "~/shown/mine", "a link": "~/led/mine", "upwards": "~/shown/../shown/mine"}[way]
    (repository.home / ".gitconfig").write_text(f"[core]\n\texcludesFile = {named}\n")
    rules = (*RULES, ("~/shown", Access.WRITE), ("/etc", Access.READ))

    said = await _said(repository, "git status --short --ignored a", staged=True, rules=rules)

    assert said == "0\n"
    assert [each.name for each in shown.iterdir()] == ["mine"]
    assert (shown / "mine").read_text() == "*.mine\n"


async def test_ignores_of_the_repository_itself_stay(repository: Place) -> None:
    (repository.workspace / "own").write_text("*.mine\n")
    repository.git("config", "core.excludesFile", "own")
    (repository.workspace / "x.mine").write_text("x")

    said = await _said(repository, "git status --short --ignored x.mine; git config core.excludesFile")

    assert said == "!! x.mine\nown\n0\n"


@pytest.mark.parametrize("way", ["a denied file", "an included setting", "a file of the workspace", "a link"])
async def test_nobody_has_a_file_shown_by_calling_it_ignores(repository: Place, way: str) -> None:
    secret = repository.home / ".ssh" / "id"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("SECRET")
    theirs = repository.workspace / "theirs"
    place: Path = secret
    match way:
        case "an included setting":
            place = repository.home / "unseen"
            place.write_text("SECRET")
            theirs.write_text(f"[core]\n\texcludesFile = {place}\n")
            settings = f"[include]\n\tpath = {theirs}\n"
        case "a file of the workspace":
            place = theirs
            place.write_text("SECRET")
            settings = f"[core]\n\texcludesFile = {place}\n"
        case "a link":
            theirs.symlink_to(secret)
            settings = f"[core]\n\texcludesFile = {theirs}\n"
        case _:
            settings = f"[core]\n\texcludesFile = {secret}\n"
    (repository.home / ".gitconfig").write_text(settings)

    said = await _said(repository, "cat /run/ringfence-git/ignore")

    assert place.read_text() in ("SECRET", settings)
    assert "/.claude" in said
    assert "SECRET" not in said
