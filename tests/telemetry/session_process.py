"""A session in a process of its own: records forever and prints the number of each event that was acknowledged."""

from __future__ import annotations

import asyncio
import sys

from tests.telemetry.recorded import started

from ringfence.model.event import NoticeGiven
from ringfence.model.situations import LedgerBroken
from ringfence.telemetry.ledger import Ledger


async def main(path: str, session: str, size: int) -> None:
    ledger = await Ledger.start(path, session=session)
    print(ledger.pid, flush=True)
    try:
        await ledger.record(started())
        for number in range(1_000_000):
            await ledger.record(NoticeGiven(topic="test", text=f"{number} {'x' * size}"))
            print(number, flush=True)
    except LedgerBroken as broken:
        print(broken.remedy, flush=True)
        await ledger.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
