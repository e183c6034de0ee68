"""Clears away what a session left on the host that is gone without doing so itself.

The ledger's writer calls it at the end of every session, and nearly always there is nothing to do: so it looks first,
with as little of the standard library as that takes.
"""

from __future__ import annotations

import os

MANIFEST = "stubs.json"
"""The list of place holders, as long as there are any."""
COPIES = "git"
"""The folder of the sessions' copies of Git's settings."""


def clear(state: str) -> int:
    """Sweep, where there is anything to be swept; how many place holders were removed."""
    if not os.path.exists(os.path.join(state, MANIFEST)) and not _holds_any(os.path.join(state, COPIES)):
        return 0
    # Here and not above: it takes four times as long to load as all the rest of the writer's end.
    from ringfence.sandbox.stubs import sweep

    return sweep(state)


def _holds_any(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except FileNotFoundError:
        return False
