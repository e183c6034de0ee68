"""Servers of tools that start without the stand-in: told, or refused."""

from __future__ import annotations

import pytest

from ringfence.agents.agent import AgentSetup, UnseenServers
from ringfence.model.situations import RunDenied
from ringfence.policy.effective import McpPolicy, Origin, Unseen
from ringfence.session.unseen_servers import unseen_servers

THEIRS = UnseenServers(where="/w/.gemini/settings.json", why="the workspace is not ours to change", names=("a", "b"))
HIDDEN = UnseenServers(where="https://x.test/p.zip", why="it is fetched at the start")
FLAT = UnseenServers(where="/h/plugin/.mcp.json", why="this sandbox has no mounts", names=("c",), behind_mounts=True)
ALLOWED = McpPolicy()
DENIED = McpPolicy(unseen=Unseen.DENY, unseen_origin=Origin(layer="managed", source="/etc/policy.toml:3"))


def setup(*unseen: UnseenServers) -> AgentSetup:
    return AgentSetup(name="gemini", argv=("gemini",), unseen=unseen)


def test_one_notice_names_all_of_them() -> None:
    assert unseen_servers(setup(THEIRS, HIDDEN), ALLOWED, tier="A") == (
        "these servers of tools start unseen by Ringfence, and only its sandbox holds them: "
        "`a`, `b` of `/w/.gemini/settings.json` (the workspace is not ours to change); "
        "those of `https://x.test/p.zip` (it is fetched at the start)",
    )


@pytest.mark.parametrize("tier", ["B", "C"])
def test_what_takes_mounts_is_unseen_only_where_there_are_none(tier: str) -> None:
    assert unseen_servers(setup(FLAT), DENIED, tier=None) == ()
    assert unseen_servers(setup(FLAT), DENIED, tier="A") == ()
    assert unseen_servers(setup(FLAT), ALLOWED, tier=tier) != ()
    with pytest.raises(RunDenied) as denied:
        unseen_servers(setup(FLAT), DENIED, tier=tier)
    assert "tier A" in (denied.value.remedy or "")


def test_a_denial_says_which_server_which_file_which_rule_and_what_to_do() -> None:
    with pytest.raises(RunDenied) as denied:
        unseen_servers(setup(THEIRS), DENIED, tier=None)

    assert denied.value.message == (
        "denied: servers of tools that gemini starts cannot be seen by Ringfence: `a`, `b` of "
        "`/w/.gemini/settings.json` (the workspace is not ours to change) (mcp.unseen, managed, /etc/policy.toml:3)"
    )
    assert denied.value.remedy == (
        "take these servers out of those settings, or name them there as `ringfence mcp --name NAME -- COMMAND`"
    )


def test_nothing_is_said_where_nothing_starts_unseen() -> None:
    assert unseen_servers(setup(), DENIED, tier="C") == ()


def test_names_that_a_repository_chose_cannot_draw_on_the_terminal_and_long_lists_end() -> None:
    evil = UnseenServers(where="/w/\x1b[2J", why="x", names=("\x1b[31m\n", *map(str, range(9))))
    many = [UnseenServers(where=f"/w/{number}", why="x") for number in range(12)]

    (notice,) = unseen_servers(setup(evil, *many), ALLOWED, tier="A")

    assert notice.isprintable()
    assert "and 4 more of" in notice
    assert notice.endswith("; and those of 5 more places")
