"""Puts what is done from another terminal on the record of the session that it is about."""

from __future__ import annotations

import asyncio

from ringfence.model.event import Body
from ringfence.telemetry.ledger import Ledger


def put_on_record(ledger: str, session: str, *bodies: Body) -> None:
    """Record, and return once it is durable; `LedgerBroken` where that cannot be had."""
    asyncio.run(_record(ledger, session, bodies))


async def _record(ledger: str, session: str, bodies: tuple[Body, ...]) -> None:
    recorder = await Ledger.start(ledger, session=session)
    try:
        for body in bodies:
            await recorder.record(body)
    finally:
        await recorder.close(sealed=False)
