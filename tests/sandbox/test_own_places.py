"""Ringfence's own files where the agent can write, and links that would show more than the rule that names them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.sandbox.boxes import RULES, SYSTEM_PATH, Box, Place

from ringfence.model.shown import PlacedFile
from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import Access
from ringfence.sandbox.launch import Sandbox, launch
from ringfence.sandbox.plan import Plan


def owning(plan: Plan, *, own: tuple[Path, ...] = (), program: tuple[Path, ...] = ()) -> Plan:
    facts = msgspec.structs.replace(plan.facts, own=tuple(map(str, own)), program=tuple(map(str, program)))
    return msgspec.structs.replace(plan, facts=facts)


async def test_our_program_in_the_workspace_cannot_be_changed_or_replaced(place: Place) -> None:
    program = place.workspace / "env" / "lib" / "ringfence"
    program.mkdir(parents=True)
    (program / "stubs.py").write_text("ours\n")

    async with launch(owning(place.plan(), program=(program,))) as sandbox:
        done = await Box(sandbox, place).shell(
            "echo evil >> env/lib/ringfence/stubs.py; echo evil > env/lib/ringfence/new.py;"
            "mv env other; mv env/lib other; touch env/lib/free && echo the rest is free"
        )
        notices = sandbox.notices

    assert (program / "stubs.py").read_text() == "ours\n"
    assert [path.name for path in program.iterdir()] == ["stubs.py"]
    assert done.out == "the rest is free\n"
    assert any(f"`{program}`" in notice for notice in notices)


async def test_a_link_to_our_program_in_the_workspace_cannot_be_replaced(place: Place) -> None:
    (place.root / "env").mkdir()
    link = place.workspace / "env"
    link.symlink_to(place.root / "env")

    async with launch(owning(place.plan(), program=(link / "bin",))) as sandbox:
        await Box(sandbox, place).shell("rm env; ln -sfn /tmp env; mv env other")

    assert link.readlink() == place.root / "env"


async def test_a_workspace_within_our_program_is_refused(place: Place) -> None:
    with pytest.raises(SandboxUnavailable, match="installed around"):
        await Sandbox.start(owning(place.plan(), program=(place.workspace.parent,)))


async def test_our_policy_and_record_in_the_workspace_are_hidden_also_where_they_are_missing(place: Place) -> None:
    state, policy = place.workspace / "state" / "ringfence", place.workspace / "config" / "ringfence"
    state.mkdir(parents=True)
    (state / "ledger.db").write_text("record")

    async with launch(owning(place.plan(), own=(state, policy))) as sandbox:
        done = await Box(sandbox, place).shell(
            "cat state/ringfence/ledger.db; rm -rf state/ringfence/ledger.db; mv state s; mv config c;"
            "mkdir -p config/ringfence; echo 'extends = \"full-access\"' > config/ringfence/policy.toml"
        )

    assert "record" not in done.out
    assert (state / "ledger.db").read_text() == "record"
    assert list(policy.iterdir()) == []


async def test_our_policy_behind_a_link_of_the_workspace_stops_the_start(place: Place) -> None:
    (place.workspace / "config").symlink_to(place.home)

    with pytest.raises(SandboxUnavailable, match="link that the agent can write"):
        await Sandbox.start(owning(place.plan(), own=(place.workspace / "config" / "ringfence",)))


async def test_a_readable_name_that_leads_to_a_denied_file_does_not_show_it(place: Place) -> None:
    (place.home / ".gitconfig").unlink()
    (place.home / ".gitconfig").symlink_to(".ssh/id_ed25519")

    async with launch(place.plan()) as sandbox:
        done = await Box(sandbox, place).shell("cat ~/.gitconfig ~/.ssh/id_ed25519")
        notices = sandbox.notices

    assert "PRIVATE KEY" not in done.out
    assert any("which a rule denies" in notice for notice in notices)


async def test_a_link_of_the_workspace_does_not_lead_a_readable_name_elsewhere(place: Place) -> None:
    (place.home / "notes").write_text("PRIVATE NOTES")
    (place.home / ".gitconfig").unlink()
    (place.home / ".gitconfig").symlink_to(place.workspace / "gitconfig")
    (place.workspace / "gitconfig").symlink_to(place.home / "notes")

    async with launch(place.plan()) as sandbox:
        done = await Box(sandbox, place).shell("cat ~/.gitconfig ~/notes")

    assert "PRIVATE" not in done.out


async def test_a_copy_of_what_a_rule_denies_is_not_placed(place: Place) -> None:
    (place.home / ".agent").mkdir()
    settings = place.home / ".agent" / "settings.json"
    settings.symlink_to(place.home / ".ssh" / "id_ed25519")
    copy = PlacedFile(path=str(settings), content=settings.read_bytes(), mode=0o600)

    async with launch(place.plan(files=(copy,))) as sandbox:
        done = await Box(sandbox, place).shell("cat ~/.agent/settings.json")

    assert "PRIVATE KEY" not in done.out


async def test_a_link_in_the_place_of_a_program_folder_shows_nothing(place: Place) -> None:
    (place.home / "private").mkdir()
    (place.home / "private" / "notes").write_text("PRIVATE NOTES")
    (place.workspace / "bin").symlink_to(place.home / "private")

    async with launch(place.plan(path=f"{place.workspace}/bin:{SYSTEM_PATH}")) as sandbox:
        done = await Box(sandbox, place).shell("cat ~/private/notes bin/notes")

    assert "PRIVATE" not in done.out


async def test_a_link_within_the_workspace_is_followed_as_before(place: Place) -> None:
    (place.workspace / "gitconfig").write_text("[user]\n")
    (place.home / ".gitconfig").unlink()
    (place.home / ".gitconfig").symlink_to(place.workspace / "gitconfig")

    async with launch(place.plan((*RULES, ("~/.gitconfig", Access.READ)))) as sandbox:
        done = await Box(sandbox, place).shell("cat ~/.gitconfig")

    assert done.out == "[user]\n"
