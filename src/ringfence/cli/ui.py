"""`ringfence ui`: the page on which requests are answered with a passkey, for one user, on this machine only."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from ringfence.approvals.stores.opening import open_store
from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.model.situations import RingfenceError
from ringfence.session.answering import desk_of
from ringfence.session.policy_files import load_policy
from ringfence.session.sources import Places, places, user


def main(words: Sequence[str]) -> int:
    """Serve until interrupted."""
    arguments = Arguments(
        prog="ringfence ui", description="Answer requests on a page of your browser, with a passkey. Ends with ^C."
    )
    arguments.add_argument("--port", type=int, default=0, help="the port on the loopback (default: any that is free)")
    arguments.add_argument("--forget-passkeys", action="store_true", help="take all your passkeys away, and end")
    parsed = arguments.parse_args(words)
    if not 0 <= parsed.port <= 65535:
        arguments.error(f"there is no port {parsed.port}")
    where = places(os.environ)
    try:
        return _forget(where) if parsed.forget_passkeys else _serve(where, parsed.port)
    except ImportError as missing:
        raise RingfenceError(
            f"the page needs what is not installed: {missing.name}",
            remedy="install it with `pip install 'ringfence[server]'`, or answer with `ringfence approvals`",
        ) from missing


def _forget(where: Places) -> int:
    from ringfence.server.local.passkeys import Passkeys

    number = Passkeys(_file(where), user().name).forget()
    print(f"{number} passkey{'' if number == 1 else 's'} of `{user().name}` taken away")
    return codes.OK


def _serve(where: Places, port: int) -> int:
    from ringfence.server.local.application import application
    from ringfence.server.local.serving import opened, server

    webhooks = load_policy(where, where.home).approvals.webhooks
    store = open_store(where.approvals)
    try:
        address, sockets = opened(port)
        desk, file = desk_of(store, where), _file(where)
        served = application(desk, where, file, address=address, webhooks=webhooks)
        print(f"open {address}/enter?token={served.token}", flush=True)
        print("good once, for ten minutes; ^C ends it", file=sys.stderr)
        for hook in webhooks:
            print(f"answers of webhook `{hook.name}` are taken at /hooks/{hook.name}", file=sys.stderr)
        try:
            asyncio.run(server(served.app, served.end).serve(sockets=sockets))
        finally:
            for one in sockets:
                one.close()
    finally:
        store.close()
    # It ends only because it was interrupted, whoever handled the signal.
    return 128 + signal.SIGINT


def _file(where: Places) -> str:
    return os.path.join(where.state, "passkeys.json")
