"""`ringfence approvals`: answering from another terminal."""

from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path

import msgspec
import pytest
from tests.approvals.made import command, counting, decision, vote
from tests.policy.making import judge, policy

from ringfence.approvals.desk import Desk
from ringfence.approvals.glass import GlassRefused
from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.prompt import prompt
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.transitions import State
from ringfence.approvals.voting import Terms, Threshold
from ringfence.cli import approvals_glass, approvals_opening, codes
from ringfence.cli.entry import main
from ringfence.model.event import BreakGlassChanged, VoteTaken
from ringfence.model.situations import UsageInvalid
from ringfence.session.sources import places, user
from ringfence.telemetry.presence import Presence
from ringfence.telemetry.reader import LedgerReader, Wanted

PUSH = decision(command("git", "push"))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Desk:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "ringfence").mkdir()
    recording = Presence(str(tmp_path / "ringfence" / "recording"), "session-1")
    request.addfinalizer(recording.end)
    return Desk(SqliteStore(str(tmp_path / "ringfence" / "approvals.db")), time.time_ns, counting())


@pytest.fixture
def request_(desk: Desk) -> Request:
    return desk.open(PUSH, session="session-1", workspace="/w", channel="queue", prompt=prompt(PUSH), seconds=3600)[0]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["approvals", *words])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_nothing_open_says_so(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys) == (0, "", "no request is open\n")
    assert shown(capsys, "list", "--json") == (0, "", "")
    assert shown(capsys, "grants") == (0, "", "no grant holds\n")


def test_open_requests_are_listed(desk: Desk, request_: Request, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = shown(capsys, "list", "--json")

    plain = json.loads(out)
    assert code == 0
    assert (plain["schema"], plain["id"], plain["state"]) == (1, request_.id, "pending")
    assert plain["action"]["argv"] == ["git", "push"]
    text = shown(capsys)[1]
    assert request_.id in text
    assert "git push" in text


def test_showing_a_request_shows_what_the_person_would_see(
    desk: Desk, request_: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = shown(capsys, "show", request_.id)

    assert code == 0
    assert "\n".join(request_.prompt) in out


def test_approving_makes_a_grant_as_it_was_asked_for(
    desk: Desk, request_: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = shown(capsys, "approve", request_.id, "--scope", "repo", "--for", "8h", "--reason", "release day")

    (grant,) = desk.grants()
    (cast,) = desk.votes(request_.id)
    assert code == 0
    assert "  command  git push" in out
    assert out.endswith(f"{request_.id} is approved (repo)\n")
    assert (grant.scope, grant.expires_ns - grant.created_ns) == (Scope.REPO, 8 * 3600 * 10**9)
    assert (cast.approve, cast.reason, cast.seen) == (True, "release day", request_.shown)
    assert cast.approver.startswith("person:")


def test_approving_is_for_once_unless_it_says_more(
    desk: Desk, request_: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = json.loads(shown(capsys, "approve", request_.id, "--json")[1])

    (grant,) = desk.grants()
    assert (plain["id"], plain["state"], plain["grant"]) == (request_.id, "approved", grant.id)
    assert (grant.scope, grant.max_uses) == (Scope.ONCE, 1)


def test_denying_makes_none(desk: Desk, request_: Request, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = shown(capsys, "deny", request_.id, "--reason", "not today")

    now = desk.request(request_.id)
    assert now is not None
    assert (code, now.state, desk.grants()) == (0, State.DENIED, ())


def test_an_answer_that_comes_late_says_that_it_does_not_count(
    desk: Desk, request_: Request, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.cast(vote(request_, approve=False))

    code, out, _ = shown(capsys, "approve", request_.id)

    assert code == 1
    assert out.endswith("was not answered: a request that is denied cannot take `approve`\n")
    assert desk.grants() == ()


def test_a_question_of_a_session_that_is_gone_cannot_be_answered(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = desk.open(PUSH, session="killed", workspace="/w", channel="queue", prompt=prompt(PUSH), seconds=3600)[0]

    code, out, _ = shown(capsys, "approve", gone.id, "--scope", "repo")

    assert code == 1
    assert "a request that is cancelled cannot take `approve`" in out
    assert desk.grants() == ()
    assert shown(capsys, "list") == (0, "", "no request is open\n")


def test_a_grant_for_a_session_ends_with_it(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    gone = desk.open(PUSH, session="killed", workspace="/w", channel="queue", prompt=prompt(PUSH), seconds=3600)[0]
    desk.cast(vote(gone, scope=Scope.SESSION))

    assert shown(capsys, "grants")[2] == "no grant holds\n"
    assert json.loads(shown(capsys, "grants", "--all", "--json")[1])["state"] == "ended"


def test_revoking_ends_a_grant_and_is_on_record(
    desk: Desk, request_: Request, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cast = desk.cast(vote(request_, scope=Scope.SESSION))
    assert cast is not None
    assert cast.grant is not None

    code, out, _ = shown(capsys, "revoke", cast.grant.id)
    again = shown(capsys, "revoke", cast.grant.id)

    reader = LedgerReader(str(tmp_path / "ringfence" / "ledger.db"))
    events = [found.event for found in reader.events(Wanted(session="session-1"))]
    reader.close()
    assert (code, out) == (0, f"{cast.grant.id} is revoked\n")
    assert (again[0], events) == (1, ["grant"])
    assert desk.use_remembered(PUSH, session="session-1", workspace="/w") is None
    listed = json.loads(shown(capsys, "grants", "--all", "--json")[1])
    assert (listed["id"], listed["state"]) == (cast.grant.id, "revoked")


@pytest.mark.parametrize(
    "words", [["show", "x"], ["approve", "x"], ["deny", "x"], ["revoke", "x"], ["approve", "id-001", "--for", "soon"]]
)
def test_what_does_not_exist_is_wrong_usage(
    desk: Desk, request_: Request, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, err = shown(capsys, *words)

    assert (code, out) == (64, "")
    assert "what to do" in err


def test_the_store_is_made_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    shown(capsys)

    assert stat.S_IMODE((tmp_path / "ringfence" / "approvals.db").stat().st_mode) == 0o600


def test_a_vote_of_two_says_who_else_is_waited_for(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    me = user().name
    two = Terms(thresholds=(Threshold(who=(me, "sue"), approve=2),))
    request, _ = desk.open(
        PUSH, session="session-1", workspace="/w", channel="queue", prompt=prompt(PUSH), seconds=3600, terms=two
    )

    code, out, _ = shown(capsys, "approve", request.id, "--reason", "checked")

    assert code == 0
    assert out.endswith(f"{request.id} has your vote, and waits for others: 2 of `{me}`, `sue`\n")
    listing = shown(capsys, "show", request.id)[1]
    assert f"  vote     person:{me} approves" in listing
    assert ": checked" in listing
    assert f"  asked    2 of `{me}`, `sue`" in listing
    code, out, _ = shown(capsys, "approve", request.id)
    assert (code, out.splitlines()[-1]) == (
        1,
        f"{request.id} was not answered: who has voted cannot vote again; a no still counts",
    )


def test_a_vote_that_does_not_count_is_on_record(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    others = Terms(thresholds=(Threshold(who=("sue",)),))
    request, _ = desk.open(
        PUSH, session="session-1", workspace="/w", channel="queue", prompt=prompt(PUSH), seconds=3600, terms=others
    )

    code, out, _ = shown(capsys, "approve", request.id)

    assert code == 1
    assert "may not approve this; `sue` may" in out
    reader = LedgerReader(str(tmp_path / "ringfence" / "ledger.db"))
    (found,) = reader.events(Wanted(event="approval.vote"))
    reader.close()
    assert isinstance(found.body, VoteTaken)
    assert (found.body.vote.request, bool(found.body.refused)) == (request.id, True)


def test_an_answer_for_the_first_words_shows_what_it_would_answer(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    push = judge(policy()).evaluate(command("git", "push", "origin", "main"))
    request, _ = desk.open(
        push, session="session-1", workspace="/w", channel="queue", prompt=prompt(push), seconds=3600
    )

    code, out, _ = shown(capsys, "approve", request.id, "--scope", "repo", "--words", "3")

    assert code == 0
    assert "  remember every `git push origin ...` in /w that does no more than this one\n" in out
    assert "  answers  git push origin another\n" in out
    assert "  asks     git push origin --force\n" in out
    (grant,) = desk.grants()
    assert grant.matcher == 'begins:["git", "push", "origin"]'
    assert shown(capsys, "grants")[1].endswith("  git push origin ...\n")


def test_without_the_managed_policy_nobody_breaks_the_glass(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")

    code, _, err = shown(capsys, "break-glass", "--reason", "down")

    assert code != 0
    assert "the managed policy does not name them in `approvals.break_glass`" in err
    assert shown(capsys, "glasses") == (0, "", "the glass was never broken\n")


def test_breaking_the_glass_is_on_record_and_waits_for_somebody_elses_review(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "managed").mkdir()
    (tmp_path / "managed" / "policy.toml").write_text(f"[approvals]\nbreak_glass = ['{user().name}']\n")
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    where = msgspec.structs.replace(
        places({"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}), managed_folder=str(tmp_path / "managed")
    )
    store = SqliteStore(where.approvals)

    def run(part: str, **words: object) -> str:
        approvals_glass.run(part, {"json": False, **words}, store, where)
        return capsys.readouterr().out

    out = run("break-glass", reason="down", ticket="INC-7", span="10m")
    glass = out.split()[-1]
    assert out.startswith("the glass is broken until ")
    assert run("end-glass", id=glass[:20]) == f"{glass} is over, and waits for its review\n"
    with pytest.raises(GlassRefused, match="nobody reviews what they did themselves"):
        run("review", id=glass, justified=True, reason="it was me")
    with pytest.raises(GlassRefused, match="nobody has reviewed that yet"):
        run("break-glass", reason="again", ticket="", span="10m")
    with pytest.raises(UsageInvalid, match="lets a broken glass last 60 minutes"):
        run("break-glass", reason="again", ticket="", span="2h")

    assert f"{glass}  unreviewed" in run("glasses")
    store.close()
    reader = LedgerReader(where.ledger)
    bodies = [found.body for found in reader.events(Wanted(event="break-glass"))]
    reader.close()
    assert [(one.change, one.ticket) for one in bodies if isinstance(one, BreakGlassChanged)] == [
        ("broken", "INC-7"),
        ("ended", "INC-7"),
    ]


def test_without_a_terminal_plain_text_says_how_to_answer(desk: Desk) -> None:
    code = main(["approvals", "--plain"])

    assert code == codes.USAGE


def test_a_screen_that_is_not_installed_is_named_and_nothing_else_is_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(approvals_opening, "is_terminal", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setitem(sys.modules, "textual", None)
    for name in ("approvals_screen", "approvals_dialogs"):
        monkeypatch.delitem(sys.modules, f"ringfence.cli.{name}", raising=False)
        monkeypatch.delattr(sys.modules["ringfence.cli"], name, raising=False)

    code, out, err = shown(capsys)

    assert (code, out) == (codes.UNAVAILABLE, "")
    assert err.startswith("ringfence: the screen of approvals needs what is not installed: textual\n")
    assert 'pip install "ringfence[tui]"' in err
