from __future__ import annotations

from pathlib import Path

from ringfence.model.event import NoticeGiven
from ringfence.model.situations import LedgerBroken
from ringfence.session.tally import Tally
from ringfence.telemetry.ledger import Ledger


async def test_an_event_that_nobody_waits_for_is_not_lost_in_silence(tmp_path: Path) -> None:
    ledger = await Ledger.start(str(tmp_path / "ledger.db"), session="session-1")
    tally = Tally(ledger, on_denial=lambda _: None)

    tally.record_soon(NoticeGiven(topic="test", text="\ud800"))

    broken = ledger.broken
    await ledger.close()
    assert isinstance(broken, LedgerBroken)
