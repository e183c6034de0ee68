"""Secrets that somebody outside replaces while a session runs stay hidden inside, what is shown read-only likewise."""

from __future__ import annotations

import asyncio
import os
import shutil

import msgspec
import pytest
from tests.sandbox.boxes import RULES, Box, Place, guard_asleep, told_by_guard

from ringfence.policy.control_files import ControlFile, Direct, Staged
from ringfence.policy.effective import Access, ControlFilePolicy
from ringfence.sandbox.launch import Sandbox


async def test_something_hidden_keeps_nothing_else_from_being_watched(repository: Place) -> None:
    (repository.workspace / "tools" / "hooks").mkdir(parents=True)
    repository.git("config", "core.hooksPath", "tools/hooks")
    sandbox = await Sandbox.start(repository.plan(rules=(*RULES, ("tools", Access.DENY))))
    try:
        repository.git("config", "branch.main.description", "mine")
        said = await told_by_guard(Box(sandbox, repository), 1)
    finally:
        await sandbox.close()

    assert said == [("again", "config")]


@pytest.mark.parametrize(
    "way",
    [
        *("renamed over", "moved away first", "removed first", "removed with its folder"),
        *("removed with its folder, which is open", "folder moved away", "a link"),
    ],
)
async def test_a_secret_that_is_replaced_outside_stays_hidden(place: Place, way: str) -> None:
    folder = place.workspace / "config"
    folder.mkdir()
    secret, new = folder / ".env", place.workspace / "new"
    secret.write_text("KEY=old")
    new.write_text("KEY=new")
    sandbox = await Sandbox.start(place.plan())
    try:
        box = Box(sandbox, place)
        await box.shell("true")
        match way:
            case "moved away first":
                secret.rename(folder / ".env~")
            case "removed first":
                secret.unlink()
                await asyncio.sleep(0.3)
            case "removed with its folder" | "removed with its folder, which is open":
                held = os.open(folder, os.O_PATH) if "open" in way else os.open(place.workspace, os.O_PATH)
                shutil.rmtree(folder)
                await asyncio.sleep(0.3)
                folder.mkdir()
                await asyncio.sleep(0.1)
                os.close(held)
            case "folder moved away":
                folder.rename(place.workspace / "before")
                folder.mkdir()
            case "a link":
                (place.workspace / "elsewhere").write_text("KEY=new")
                new.unlink()
                new.symlink_to("../elsewhere")
        new.rename(secret)
        said = await told_by_guard(box, 1)
        read = await box.shell("cat config/.env config/.env~ before/.env; echo KEY=mine > config/.env; true")
    finally:
        await sandbox.close()

    assert said == [("hidden", ".env")]
    assert "KEY" not in read.out
    assert secret.read_text() == "KEY=new"


async def test_a_secret_is_hidden_again_at_once_while_control_files_are_missing(place: Place) -> None:
    """As after `git clean -fdx`, which removes all place holders; each of them is then waited for."""
    secret, new = place.workspace / ".env", place.workspace / "new"
    secret.write_text("KEY=old")
    names = [f"rule{number}" for number in range(40)]
    for each in names:
        (place.workspace / each).write_text("")
    control = tuple(
        ControlFile(pattern=each, why="a test", direct=Direct.PROTECT, staged=Staged.REFUSE) for each in names
    )
    plan = msgspec.structs.replace(place.plan(), control_files=ControlFilePolicy(rows=control))
    sandbox = await Sandbox.start(plan)
    try:
        box = Box(sandbox, place)
        await box.shell("true")
        new.write_text("KEY=new")
        for each in names:
            (place.workspace / each).unlink()
        new.rename(secret)
        await asyncio.sleep(0.1)
        read = await box.shell("cat .env")
        said = await told_by_guard(box, 41)
    finally:
        await sandbox.close()

    assert read.out == ""
    assert ("hidden", ".env") in said


async def test_what_is_made_beside_missing_secrets_keeps_no_other_from_being_hidden_again(place: Place) -> None:
    secret, new = place.workspace / ".env", place.workspace / "new"
    secret.write_text("KEY=old")
    for number in range(300):
        (place.workspace / "keys" / str(number)).mkdir(parents=True)
        (place.workspace / "keys" / str(number) / ".env").write_text("KEY")
    sandbox = await Sandbox.start(place.plan())
    try:
        box = Box(sandbox, place)
        # Now they are missing, and each may come back.
        await box.shell("mv keys other")
        await guard_asleep(box)
        await box.python("import os\nfor n in range(4000): open('x', 'w').close(); os.unlink('x')")
        new.write_text("KEY=new")
        new.rename(secret)
        await asyncio.sleep(0.05)
        read = await box.shell("cat .env")
        said = await told_by_guard(box, 1)
        (place.workspace / "keys" / "7").mkdir(parents=True)
        (place.workspace / "keys" / "7" / ".env").write_text("KEY")
        said += await told_by_guard(box, 1)
        again = await box.shell("cat keys/7/.env")
    finally:
        await sandbox.close()

    assert (read.out, again.out) == ("", "")
    assert said == [("hidden", ".env")] * 2


@pytest.mark.parametrize(
    ("name", "backup"), [("moved", False), ("two words", False), ("moved", True)], ids=["", "blank", "backup"]
)
async def test_a_secret_stays_hidden_where_its_folder_was_moved_to_inside(
    place: Place, name: str, backup: bool
) -> None:
    secret, new = place.workspace / "config" / ".env", place.workspace / "new"
    secret.parent.mkdir()
    secret.write_text("KEY=old")
    new.write_text("KEY=new")
    sandbox = await Sandbox.start(place.plan())
    try:
        box = Box(sandbox, place)
        # An editor that is told to save `config/.env` follows the link.
        await box.shell(f"mv config 'before'; mv before '{name}'; ln -s '{name}' config")
        await guard_asleep(box)
        if backup:
            secret.rename(f"{secret}~")
            await asyncio.sleep(0.1)
        new.rename(secret)
        said = await told_by_guard(box, 1)
        read = await box.shell("cat config/.env config/.env~")
    finally:
        await sandbox.close()

    assert said == [("hidden", ".env")]
    assert read.out == ""


@pytest.mark.parametrize("way", ["renamed over", "removed first"])
async def test_what_a_rule_shows_read_only_stays_so_when_it_is_replaced_outside(place: Place, way: str) -> None:
    file, new = place.workspace / "schema", place.workspace / "new"
    file.write_text("old")
    new.write_text("new")
    sandbox = await Sandbox.start(place.plan(rules=(*RULES, ("schema", Access.READ))))
    try:
        box = Box(sandbox, place)
        if way == "removed first":
            file.unlink()
            await asyncio.sleep(0.3)
        new.rename(file)
        said = await told_by_guard(box, 1)
        tried = await box.shell("cat schema; echo evil > schema; mv schema x")
    finally:
        await sandbox.close()

    assert said == [("again", "schema")]
    assert (tried.code, tried.out, file.read_text()) == (1, "new", "new")


async def test_a_secret_cannot_be_moved_or_replaced_inside(place: Place) -> None:
    (place.workspace / ".env").write_text("KEY=old")
    sandbox = await Sandbox.start(place.plan())
    try:
        done = await Box(sandbox, place).shell("mv .env x; ln -f other .env; rm -f .env; cat .env")
    finally:
        await sandbox.close()

    assert done.code != 0
    assert (place.workspace / ".env").read_text() == "KEY=old"
