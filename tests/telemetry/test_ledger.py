"""A session's ledger, with its real writer: order, durability, and what happens when something breaks."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.telemetry.recorded import bodies, ended, notice, started, texts

from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Verdict
from ringfence.model.event import DecisionMade, Event, Receipt, ToolCallRequested
from ringfence.model.situations import LedgerBroken
from ringfence.telemetry import ledger as ledgers
from ringfence.telemetry.ledger import Cleanup, Ledger
from ringfence.telemetry.reader import LedgerReader, Wanted
from ringfence.telemetry.redaction import Redaction, load_key
from ringfence.telemetry.verification import verify


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "ledger.db")


def verified(path: str) -> bool:
    reader = LedgerReader(path)
    try:
        return verify(reader).verified
    finally:
        reader.close()


async def test_events_are_recorded_in_the_order_of_the_calls(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    outcomes: list[Receipt | LedgerBroken] = []
    for number in range(300):
        ledger.record_soon(notice(str(number)), outcomes.append)
    last = await ledger.record(notice("last"))
    await ledger.close()

    receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
    assert [receipt.sequence for receipt in receipts] == list(range(300))
    assert sorted(receipts, key=lambda receipt: receipt.time_ns) == receipts
    assert last.sequence == 300
    assert texts(path) == [*map(str, range(300)), "last"]
    assert verified(path)


async def test_what_is_recorded_again_is_written_as_if_it_were_the_first_time(path: str) -> None:
    ids = iter(("first", "second"))
    action = ConnectAction(host="example.com", port=443, method="GET", path="/?token=abcdefghijkl")
    body = DecisionMade(
        decision=Decision(verdict=Verdict.ALLOW, action=action, reasons=(), policy="p"), asked_by="gateway"
    )
    ledger = await Ledger.start(path, session="s", new_id=lambda: next(ids))
    await ledger.record(body)
    await ledger.record(msgspec.structs.replace(body))
    await ledger.close()

    reader = LedgerReader(path)
    recorded = [one.raw for one in reader.events(Wanted())]
    reader.close()
    clean = Redaction(lambda: load_key(f"{os.path.dirname(path)}/redaction-key")).clean
    assert recorded[:2] == [
        clean(msgspec.json.encode(Event(id=event_id, session="s", body=body))) for event_id in ("first", "second")
    ]
    assert b"abcdefghijkl" not in b"".join(raw for raw in recorded if raw is not None)


async def test_starting_does_not_wait_for_the_database(path: str) -> None:
    os.mkdir(os.path.dirname(path))
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")

    ledger = await Ledger.start(path, session="s")
    outcomes: list[Receipt | LedgerBroken] = []
    ledger.record_soon(notice(), outcomes.append)
    await asyncio.sleep(0.1)
    before = len(outcomes)
    locker.execute("ROLLBACK")
    locker.close()
    await ledger.record(notice())
    await ledger.close()

    assert (before, [type(one) for one in outcomes]) == (0, [Receipt])


async def test_the_record_is_its_owners_alone(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(notice())

    folder = os.path.dirname(path)
    modes = {name: oct(os.stat(os.path.join(folder, name)).st_mode) for name in os.listdir(folder)}
    await ledger.close()

    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert modes.pop("recording") == "0o40700"
    assert set(modes.values()) == {"0o100600"}


async def test_what_was_said_in_the_turn_in_which_the_ledger_closes_is_recorded(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    outcomes: list[Receipt | LedgerBroken] = []
    ledger.record_soon(notice("nobody waits"))
    ledger.record_soon(notice("somebody waits"), outcomes.append)
    await ledger.close()

    assert [type(outcome) for outcome in outcomes] == [Receipt]
    assert texts(path) == ["nobody waits", "somebody waits"]


async def test_closing_waits_for_what_was_sent_and_seals(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    for number in range(50):
        ledger.record_soon(notice(str(number)))
    await ledger.close()

    reader = LedgerReader(path)
    report = verify(reader)
    reader.close()
    assert (report.entries, report.sealed, report.checkpoints, report.faults) == (50, 50, 1, ())


async def test_a_long_session_is_sealed_while_it_goes_on(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    for _ in range(1100):
        ledger.record_soon(notice())
    await ledger.record(notice("last"))

    reader = LedgerReader(path)
    (checkpoint,) = reader.checkpoints()
    reader.close()
    await ledger.close()
    assert 1000 <= checkpoint[0] <= 1100


async def test_a_closed_ledger_takes_nothing_more(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.close()

    with pytest.raises(LedgerBroken, match="the session is over"):
        await ledger.record(notice())


async def test_a_session_that_ended_is_not_called_lost(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())
    await ledger.record(ended())
    await ledger.close()

    assert [body["event"] for body in bodies(path)] == ["session.started", "session.ended"]


async def test_two_sessions_share_a_ledger_without_gaps(path: str) -> None:
    ledgers = [await Ledger.start(path, session=name) for name in ("one", "two", "three")]
    async with asyncio.TaskGroup() as tasks:
        for ledger in ledgers:
            for number in range(40):
                tasks.create_task(ledger.record(notice(str(number))))
    for ledger in ledgers:
        await ledger.close()

    reader = LedgerReader(path)
    each = [[found.body for found in reader.events(Wanted(session=name))] for name in ("one", "two", "three")]
    report = verify(reader)
    reader.close()
    assert each == [[notice(str(number)) for number in range(40)]] * 3
    assert (report.entries, report.faults) == (120, ())


async def test_a_killed_writer_fails_what_is_pending_and_what_follows(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())
    os.kill(ledger.pid, signal.SIGSTOP)
    pending: list[Receipt | LedgerBroken] = []
    for _ in range(3):
        ledger.record_soon(notice(), pending.append)
    os.kill(ledger.pid, signal.SIGKILL)
    broken = await ledger.lost()

    assert pending == [broken] * 3
    assert broken.message == "the ledger's writer ended unexpectedly"
    with pytest.raises(LedgerBroken):
        await ledger.record(notice())
    await ledger.close()
    assert verified(path)


@pytest.mark.slow
async def test_the_end_of_a_session_whose_writer_was_killed_is_recorded_by_the_next(path: str) -> None:
    killed, going_on = await Ledger.start(path, session="killed"), await Ledger.start(path, session="going-on")
    await killed.record(started())
    await going_on.record(started())
    os.kill(killed.pid, signal.SIGKILL)
    await killed.lost()
    await killed.close()

    following = await Ledger.start(path, session="following")
    await following.record(started())
    await following.record(ended())
    await following.close()

    reader = LedgerReader(path)
    outcomes = {session.session: session.outcome for session in reader.sessions()}
    reader.close()
    await going_on.record(ended())
    await going_on.close()
    assert outcomes == {"killed": "ledger_lost", "going-on": "open", "following": "exited"}
    assert os.listdir(os.path.join(os.path.dirname(path), "recording")) == []
    assert verified(path)


@pytest.mark.slow
async def test_a_second_writer_of_a_session_does_not_end_it(path: str) -> None:
    first = await Ledger.start(path, session="s")
    await first.record(started())
    second = await Ledger.start(path, session="s")
    await second.record(notice("revoked from another terminal"))
    await second.close()
    await first.record(ended())
    await first.close()

    assert [body["event"] for body in bodies(path)] == ["session.started", "notice", "session.ended"]


async def test_signals_of_the_terminal_do_not_reach_the_writer(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(ledger.pid, number)
    receipt = await ledger.record(notice())
    own_session = os.getsid(ledger.pid)
    await ledger.close()

    assert receipt.sequence == 1
    assert own_session == ledger.pid


async def test_the_writer_holds_nothing_but_its_link_and_the_ledger(path: str) -> None:
    inherited = os.open("/etc/hostname", os.O_RDONLY)
    os.set_inheritable(inherited, True)
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())

    recording = os.path.join(os.path.dirname(path), "recording")
    folder = f"/proc/{ledger.pid}/fd"
    held = sorted({os.readlink(f"{folder}/{number}").split(":")[0] for number in os.listdir(folder)})
    environment = Path(f"/proc/{ledger.pid}/environ").read_bytes()
    os.close(inherited)
    await ledger.close()

    assert held == ["/dev/null", path, f"{path}-shm", f"{path}-wal", f"{recording}/session-s", "socket"]
    assert environment == b""


async def test_no_session_id_can_break_out_of_its_field(path: str) -> None:
    with pytest.raises(LedgerBroken, match="cannot be the id of a session"):
        await Ledger.start(path, session='s","x":"')


async def test_a_folder_that_cannot_be_made_is_a_situation_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    ledger = await Ledger.start(str(tmp_path / "state" / "ledger.db"), session="s")

    with pytest.raises(LedgerBroken) as broken:
        await ledger.record(started())
    await ledger.close()

    assert "cannot record" in broken.value.message
    assert broken.value.remedy == f"make `{tmp_path / 'state'}` a folder that you own and can write to"


async def test_a_writer_never_makes_anew_what_was_removed_behind_its_session(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ledger = await Ledger.start(str(home / "state" / "ledger.db"), session="s")
    os.kill(ledger.pid, signal.SIGSTOP)
    await ledger.close(sealed=False)
    shutil.rmtree(home)
    os.kill(ledger.pid, signal.SIGCONT)

    os.waitpid(ledger.pid, 0)

    assert list(tmp_path.iterdir()) == []


def _replaced(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


@pytest.mark.parametrize(
    "remove",
    [
        lambda path: shutil.rmtree(path.parent),
        lambda path: path.unlink(),
        lambda path: path.with_name("ledger.db-wal").unlink(),
        lambda path: path.rename(path.with_name("elsewhere")),
        lambda path: path.parent.rename(path.parent.with_name("elsewhere")),
        _replaced,
    ],
    ids=["folder", "file", "log", "moved", "folder moved", "replaced"],
)
async def test_nothing_is_acknowledged_where_nobody_would_find_it(path: str, remove: Callable[[Path], None]) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())
    # By then it has looked for what other sessions left.
    await ledger.record(notice())

    remove(Path(path))

    with pytest.raises(LedgerBroken, match="was removed, moved or replaced") as broken:
        await ledger.record(notice("unseen"))
    await ledger.close()
    assert (
        broken.value.remedy
        == f"find out what cleared `{Path(path).parent}` while the session ran, then start a new one"
    )


async def test_a_ledger_that_is_no_database_is_never_overwritten(path: str) -> None:
    Path(path).parent.mkdir()
    Path(path).write_text("not a database, but somebody's text\n" * 100)
    before = Path(path).read_text()
    ledger = await Ledger.start(path, session="s")

    with pytest.raises(LedgerBroken, match="file is not a database") as broken:
        await ledger.record(started())
    await ledger.close()

    assert "move" in broken.value.remedy
    assert Path(path).read_text() == before


async def test_a_file_that_may_not_grow_denies_and_loses_nothing_acknowledged(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())
    resource.prlimit(ledger.pid, resource.RLIMIT_FSIZE, (400_000, 400_000))
    acknowledged = 0
    with pytest.raises(LedgerBroken) as broken:
        for _ in range(2000):
            await ledger.record(notice("x" * 4000))
            acknowledged += 1
    await ledger.close()

    assert broken.value.remedy.startswith("check the disk that holds")
    assert acknowledged > 10
    assert len(texts(path)) == acknowledged
    assert verified(path)


@pytest.mark.slow
async def test_a_ledger_that_is_locked_for_long_denies(path: str) -> None:
    first = await Ledger.start(path, session="s")
    await first.record(started())
    await first.record(ended())
    await first.close()
    locker = sqlite3.connect(path, isolation_level=None)
    locker.execute("BEGIN IMMEDIATE")

    second = await Ledger.start(path, session="t", lock_seconds=0.2)
    with pytest.raises(LedgerBroken, match="locked") as broken:
        await second.record(started())
    locker.execute("ROLLBACK")
    locker.close()
    await second.close()

    assert "another session" in broken.value.remedy


@pytest.mark.slow
async def test_more_than_the_disk_can_take_is_refused_not_kept(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())
    os.kill(ledger.pid, signal.SIGSTOP)
    outcomes: list[Receipt | LedgerBroken] = []
    for _ in range(8193):
        ledger.record_soon(notice(), outcomes.append)
    await asyncio.sleep(0)

    refused = [outcome for outcome in outcomes if isinstance(outcome, LedgerBroken)]
    assert [outcome.message for outcome in refused] == ["the ledger cannot keep up: too many events wait for the disk"]
    os.kill(ledger.pid, signal.SIGCONT)
    await ledger.close()
    assert len(texts(path)) == 8192


async def test_a_session_that_would_fill_the_disk_with_its_record_ends(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "SESSION_BYTES", 1 << 20)
    ledger = await Ledger.start(path, session="s")
    outcomes: list[Receipt | LedgerBroken] = []
    for number in range(2000):
        ledger.record_soon(notice(f"{number:0900}"), outcomes.append)

    async with asyncio.timeout(5):
        broken = await ledger.lost()
    with pytest.raises(LedgerBroken, match="has put 1 MiB on record"):
        await ledger.record(notice())
    await ledger.close()
    kept = sum(isinstance(outcome, Receipt) for outcome in outcomes)
    assert (broken.message, len(outcomes)) == (
        "this session has put 1 MiB on record, which is the most that one may",
        2000,
    )
    assert 0 <= kept <= len(texts(path)) < 1200


async def test_an_event_nobody_waits_for_breaks_the_ledger_when_it_is_lost(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(started())

    ledger.record_soon(notice("\ud800"))

    with pytest.raises(LedgerBroken, match="could not be written down"):
        await ledger.record(notice())
    await ledger.close()


async def test_secrets_and_overlong_texts_do_not_reach_the_record(path: str) -> None:
    ledger = await Ledger.start(path, session="s")
    await ledger.record(ToolCallRequested(tool="Bash", call="1", arguments='{"command":"API_KEY=hunter2hunter2 x"}'))
    await ledger.record(notice("y" * 50_000))
    await ledger.close()

    first, second = bodies(path)
    assert "hunter2" not in str(first["arguments"])
    assert "API_KEY=secret:" in str(first["arguments"])
    assert "y… [cut: 33616 more characters, sha256 " in str(second["text"])


async def test_the_clean_up_is_called_when_the_session_is_over(path: str, tmp_path: Path) -> None:
    (tmp_path / "left").touch()
    cleanup = Cleanup(module="os", function="unlink", argument=str(tmp_path / "left"))

    ledger = await Ledger.start(path, session="s", cleanup=cleanup)
    await ledger.record(started())
    await ledger.record(ended())
    await ledger.close()

    assert not (tmp_path / "left").exists()


async def test_a_clean_up_that_fails_is_on_record(path: str, tmp_path: Path) -> None:
    cleanup = Cleanup(module="os", function="unlink", argument=str(tmp_path / "missing"))

    ledger = await Ledger.start(path, session="s", cleanup=cleanup)
    await ledger.record(started())
    await ledger.record(ended())
    await ledger.close()

    (text,) = texts(path)
    assert str(text).startswith("cleaning up after the session failed: FileNotFoundError")


async def test_the_clean_up_is_called_where_nothing_can_be_recorded(tmp_path: Path) -> None:
    (tmp_path / "left").touch()
    (tmp_path / "state").write_text("a file where the folder should be")
    cleanup = Cleanup(module="os", function="unlink", argument=str(tmp_path / "left"))

    ledger = await Ledger.start(str(tmp_path / "state" / "ledger.db"), session="s", cleanup=cleanup)
    with pytest.raises(LedgerBroken):
        await ledger.record(started())
    await ledger.close()

    assert not (tmp_path / "left").exists()
