from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sandbox.boxes import Box, Place, policy

from ringfence.model.shown import Bind
from ringfence.model.situations import UsageInvalid
from ringfence.policy.effective import Access
from ringfence.sandbox import scan
from ringfence.sandbox.launch import Sandbox, launch
from ringfence.sandbox.plan import HostFacts, build_plan, covers

FACTS = HostFacts(home="/home/u", uid=1000, gid=1000, user="u", hostname="h", path="/usr/bin")
READ, WRITE, DENY = Access.READ, Access.WRITE, Access.DENY


def planned(*rules: tuple[str, Access], binds: tuple[Bind, ...] = (), **more: object):  # type: ignore[no-untyped-def]
    return build_plan(policy(rules), facts=FACTS, workspace="/home/u/w", binds=binds, **more)


def test_tokens_and_grants_become_binds() -> None:
    plan = planned(
        (":workspace", WRITE),
        ("~/.gitconfig", READ),
        ("~/.cache/pip", WRITE),
        (":tmp", WRITE),
        extra_read=["/data"],
        extra_write=["~/out"],
    )

    shown = {(bind.source, bind.writable) for bind in plan.binds}
    assert shown == {
        ("/home/u/.gitconfig", False),
        ("/home/u/.cache/pip", True),
        ("/data", False),
        ("/home/u/out", True),
    }
    assert plan.workspace_writable


def test_without_a_rule_nothing_is_writable_or_bound() -> None:
    plan = planned()

    assert plan.binds == ()
    assert not plan.workspace_writable


def test_deny_wins_on_the_same_path_whatever_the_order() -> None:
    rules = (("~/x", WRITE), ("~/x", DENY), ("~/x", READ))

    for order in (rules, rules[::-1]):
        assert planned(*order).binds == ()


def test_a_deny_rule_takes_an_agents_own_bind_away() -> None:
    bind = Bind(source="/home/u/.secret/agent", target="/home/u/.secret/agent", writable=True)

    assert planned(("~/.secret", DENY), binds=(bind,)).binds == ()
    assert planned(binds=(bind,)).binds == (bind,)


def test_a_deeper_rule_of_the_policy_wins_over_a_shallower_deny() -> None:
    plan = planned(("~/.config", DENY), ("~/.config/git", READ))

    assert [bind.source for bind in plan.binds] == ["/home/u/.config/git"]
    assert plan.denied == ("/home/u/.config",)


def test_globs_deny_and_have_no_effect_otherwise() -> None:
    plan = planned(("**/*.pem", DENY), ("~/k/*.key", DENY), ("~/*.toml", READ), ("**/public.pem", READ))

    assert plan.denied_globs == ("**/*.pem", "/home/u/k/*.key")
    assert plan.binds == ()
    assert len(plan.notices) == 1 and "~/*.toml" in plan.notices[0]


def test_too_many_host_ports_are_refused() -> None:
    with pytest.raises(UsageInvalid, match="host ports"):
        planned(host_ports=range(1, 200))


def test_a_workspace_that_cannot_be_written_is_not_staged() -> None:
    writable = planned((":workspace", Access.WRITE), staging="/s")
    read_only = planned((":workspace", Access.READ), staging="/s")

    assert (writable.staging, read_only.staging) == ("/s", None)


@settings(database=None)
@given(st.lists(st.sampled_from(["a", "b", "..", ".", "c"]), max_size=6))
def test_a_pattern_never_leads_out_of_what_it_says(parts: list[str]) -> None:
    plan = planned(("/data/" + "/".join(parts), READ))

    for bind in plan.binds:
        assert ".." not in bind.source.split("/")
        assert bind.source.startswith("/")


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [("/a", "/a", True), ("/a", "/a/b", True), ("/a", "/ab", False), ("/", "/x", True), ("/a/b", "/a", False)],
)
def test_covering_goes_by_whole_names(folder: str, path: str, expected: bool) -> None:
    assert covers(folder, path) is expected


def test_patterns_find_files_and_do_not_follow_links(place: Place, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.pem").touch()
    for name in (".env", "a/.env", "a/b/k.pem", "a/notenv", "c/.env/deep"):
        (place.workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (place.workspace / name).touch()
    (place.workspace / "link").symlink_to(outside)

    looked = scan.matches(str(place.workspace), ("**/.env", "**/*.pem"))

    assert sorted(looked.found) == [".env", "a/.env", "a/b/k.pem", "c/.env"]
    assert (looked.closed, looked.notices) == ([], ())


async def test_an_exception_from_a_deny_pattern_stays_readable(place: Place) -> None:
    for name in (".env", ".env.example", "sub/.env.local"):
        (place.workspace / name).parent.mkdir(exist_ok=True)
        (place.workspace / name).write_text(name)
    rules = [(":workspace", WRITE), ("**/.env", DENY), ("**/.env.*", DENY), ("**/.env.example", WRITE)]

    sandbox = await Sandbox.start(place.plan(rules))
    try:
        shown = await Box(sandbox, place).shell("cat .env .env.example sub/.env.local; echo more >> .env.example")
    finally:
        await sandbox.close()

    assert shown.out == ".env.example"
    assert shown.err.count("Permission denied") == 2
    assert (place.workspace / ".env.example").read_text() == ".env.examplemore\n"


@pytest.mark.slow
async def test_a_policy_that_shows_everything_still_hides_what_it_denies(place: Place) -> None:
    rules = [("/", READ), (":workspace", WRITE), (":home", WRITE), ("~/.ssh", DENY), ("~/.aws/credentials", DENY)]

    sandbox = await Sandbox.start(place.plan(rules))
    try:
        shown = await Box(sandbox, place).shell(
            "ls -d /var/lib; touch /var/lib/x; echo made > ~/made; cat ~/.ssh/* ~/.aws/credentials; cat /etc/shadow"
        )
    finally:
        await sandbox.close()

    assert shown.out == "/var/lib\n"
    assert "Read-only file system" in shown.err
    assert "SECRET" not in shown.out and "KEY" not in shown.out
    assert (place.home / "made").read_text() == "made\n"


def test_a_scan_that_was_cut_short_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SCAN_LIMIT", 3)
    for number in range(6):
        (place.workspace / f"f{number}").touch()

    notices = scan.matches(str(place.workspace), ("**/.env",)).notices

    assert len(notices) == 1 and "first 3 names" in notices[0]


@pytest.mark.parametrize(
    "moved_to", ["line\nbreak", ".git/sub", "library/.git/sub", ".git/objects/ab", "/".join(["d" * 99] * 45)]
)
async def test_a_denied_file_stays_hidden_wherever_its_folder_was_moved(moved_to: str, place: Place) -> None:
    # Below the limit of a path a folder is made step by step, as a program inside would.
    here = os.open(place.workspace, os.O_RDONLY)
    for part in moved_to.split("/"):
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=here)
        here, before = os.open(part, os.O_RDONLY, dir_fd=here), here
        os.close(before)
    secret = os.open(".env", os.O_CREAT | os.O_WRONLY, dir_fd=here)
    os.write(secret, b"SECRET")
    os.close(secret)
    os.close(here)
    steps = "import os,sys\nfor part in sys.argv[1].split('/'): os.chdir(part)\nprint(open('.env').read())"

    async with launch(place.plan()) as sandbox:
        done = await Box(sandbox, place).run("/usr/bin/python3", "-c", steps, moved_to)

    assert "SECRET" not in done.out
    assert "PermissionError" in done.err


async def test_a_folder_that_cannot_be_looked_into_is_hidden(place: Place) -> None:
    closed = place.workspace / "closed"
    closed.mkdir()
    (closed / ".env").write_text("SECRET")
    plan = place.plan()
    if os.getuid() == 0:
        pytest.skip("nothing is closed for root")
    closed.chmod(0)

    async with launch(plan) as sandbox:
        done = await Box(sandbox, place).shell("chmod 700 closed; cat closed/.env")
        notices = sandbox.notices

    closed.chmod(0o700)
    assert "SECRET" not in done.out
    assert any("cannot be looked into" in notice and "`closed`" in notice for notice in notices)
