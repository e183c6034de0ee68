"""Our gateway as a program of its own, for measurements: prints its port and runs until it is ended.

`instant` answers each authorisation at once; `recorded` answers when the decision is durable in a ledger.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
from collections.abc import Callable
from ipaddress import ip_network

from bench.gateway_load import listening
from ringfence.egress import Authorization, Cancel, Gateway
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import DecisionMade
from ringfence.telemetry.ledger import Ledger

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_REASON = Reason(rule="bench", layer="project", source="ringfence.toml:1", verdict=Verdict.ALLOW, text="measured")


def _authorization(action: ConnectAction) -> Authorization:
    verdict = Verdict.ALLOW if action.host == "localhost" else Verdict.DENY
    return Authorization(
        decision=Decision(verdict=verdict, action=action, reasons=(_REASON,), policy=""), declared=_LOOPBACK
    )


def _nothing() -> None:
    """There is nothing to cancel."""


def _instant(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
    done(_authorization(action))
    return _nothing


async def main(mode: str) -> None:
    """Serve for ever."""
    with tempfile.TemporaryDirectory(prefix="ringfence-bench-", dir="/var/tmp") as folder:
        ledger = await Ledger.start(f"{folder}/ledger.db", session="bench") if mode == "recorded" else None

        def recorded(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
            assert ledger is not None
            answer = _authorization(action)
            ledger.record_soon(DecisionMade(decision=answer.decision, asked_by="gateway"), lambda _: done(answer))
            return _nothing

        gateway = Gateway(
            _instant if ledger is None else recorded, on_closed=ledger.record_soon if ledger else lambda event: None
        )
        listener = listening()
        gateway.listen("proxy", listener)
        print(listener.getsockname()[1], flush=True)
        gc.freeze()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
