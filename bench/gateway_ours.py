"""Our gateway as a program of its own, for measurements: prints its port and runs until it is ended.

`instant` answers each authorisation at once, by one host, one method and the beginning of a path, as the other proxies
are set up: that measures the gateway without its policy and its record; `deployed` is what a session
has: its policy, its gate, and each decision durable in its ledger before the answer.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import gc
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import lru_cache
from ipaddress import ip_network

from bench.gateway_load import listening
from ringfence.approvals.channels.deny import Nobody
from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate, Site
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.egress import Authorization, Cancel, Gateway, Inspection
from ringfence.egress.authority import Authority
from ringfence.egress.upstreams import machine_trust
from ringfence.model.action import ConnectAction
from ringfence.model.clock import SystemClock
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.ids import new_id
from ringfence.policy.documents import read_document
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset
from ringfence.session.credentials.holding import Nothing
from ringfence.session.network import GatewayJudge
from ringfence.session.tally import Tally
from ringfence.telemetry.ledger import Ledger

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_SPOKEN = ("http", "tls")
"""What a rule without a protocol opens."""
_REASON = Reason(rule="bench", layer="project", source="ringfence.toml:1", verdict=Verdict.ALLOW, text="measured")
_TUNNELS = '[[network.rule]]\nhosts = ["localhost", "127.0.0.0/8", "::1"]\nverdict = "allow"\n'
_REQUESTS = (
    '[[network.rule]]\nhosts = ["localhost"]\nmethods = ["GET"]\npaths = ["/some/**"]\nverdict = "allow"\n'
    '[[network.rule]]\nhosts = ["127.0.0.0/8", "::1"]\nverdict = "allow"\n'
)


def main() -> None:
    """Serve for ever."""
    parser = argparse.ArgumentParser(prog="bench.gateway_ours")
    parser.add_argument("answers", choices=("instant", "deployed"))
    parser.add_argument("--inspect", action="store_true", help="look into the requests")
    parser.add_argument("--rules", type=int, default=0, metavar="N", help="so many rules about other hosts")
    parser.add_argument("--authority", metavar="FILE", help="what the origin is verified by")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(asked: argparse.Namespace) -> None:
    def trust() -> ssl.SSLContext:
        context = machine_trust()
        context.load_verify_locations(cafile=asked.authority)
        return context

    authority = Authority("bench", datetime.datetime.now(datetime.UTC)) if asked.inspect else None
    async with (
        _deployed(asked, authority, trust)
        if asked.answers == "deployed"
        else _instant(asked, authority, trust) as gateway
    ):
        listener = listening()
        gateway.listen("proxy", listener)
        gc.collect()
        gc.freeze()
        print(listener.getsockname()[1], flush=True)
        await asyncio.Event().wait()


@asynccontextmanager
async def _instant(
    asked: argparse.Namespace, authority: Authority | None, trust: Callable[[], ssl.SSLContext]
) -> AsyncIterator[Gateway]:
    def authorize(action: ConnectAction, origin: str, done: Callable[[Authorization], None]) -> Cancel:
        seen = action.method is None or (action.method == "GET" and (action.path or "").startswith("/some/"))
        verdict = Verdict.ALLOW if seen and action.host == "localhost" else Verdict.DENY
        decision = Decision(verdict=verdict, action=action, reasons=(_REASON,), policy="")
        reads = asked.inspect and action.method is None
        done(Authorization(decision=decision, declared=_LOOPBACK, protocols=_SPOKEN, needs_request=reads))
        return _nothing

    yield Gateway(authorize, inspection=Inspection(authority=authority), trust=trust)


@asynccontextmanager
async def _deployed(
    asked: argparse.Namespace, authority: Authority | None, trust: Callable[[], ssl.SSLContext]
) -> AsyncIterator[Gateway]:
    text = _REQUESTS if asked.inspect else _TUNNELS
    text += "".join(
        f'[[network.rule]]\nhosts = ["{"*." if at % 3 else ""}h{at}.example"]\nverdict = "allow"\n'
        for at in range(asked.rules)
    )
    document = read_document(text.encode(), file="bench.toml", layer=Layer.USER)
    policy = merge((preset("workspace"), document), facts=Facts(home="/root", workspace="/root/project"))
    evaluator = Evaluator(policy, Context(home="/root", workspace="/root/project"))
    # Where the measurement cleans up: this process is ended, and does not leave by itself.
    with tempfile.TemporaryDirectory(prefix="ringfence-", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        store = SqliteStore(f"{folder}/approvals.db")
        ledger = await Ledger.start(f"{folder}/ledger.db", session="bench")
        tally = Tally(ledger, on_denial=lambda made: None)
        gate = Gate(
            evaluate=evaluator.evaluate,
            desk=Desk(store, time.time_ns, new_id),
            channel=Nobody(),
            recorder=tally,
            clock=SystemClock(),
            site=Site(session="bench", workspace="/root/project", policy=policy.digest),
        )
        async with gate:
            # As `gateway_of` in `ringfence.session.network`, with an origin that the machine does not trust.
            inspection = Inspection(
                authority=authority,
                amendments=Nothing().amendments(tally),
                judge=lambda call, done: gate.decide_soon(call, done, asked_by="gateway"),
                wants=lru_cache(evaluator.wants),
            )
            yield Gateway(
                GatewayJudge(gate, evaluator), on_closed=tally.record_soon, inspection=inspection, trust=trust
            )


def _nothing() -> None:
    """There is nothing to cancel."""


if __name__ == "__main__":
    main()
