"""Opens the store that is named: a file of this user, or a database that several machines share."""

from __future__ import annotations

from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.approvals.stores.store import ApprovalsBroken, Store

SHARED = ("postgresql://", "postgres://")
"""How the address of a shared database begins."""


def open_store(where: str) -> Store:
    """The store at a path, or behind an address; `ApprovalsBroken` where it cannot be had."""
    if not where.startswith(SHARED):
        return SqliteStore(where)
    try:
        # Only here: it takes a third of a second, and needs an extra.
        from ringfence.approvals.stores.sql import SqlStore
    except ImportError as missing:
        raise ApprovalsBroken(
            f"a shared database of approvals needs what is not installed: {missing.name}",
            remedy="install it with `pip install 'ringfence[server]'`, or take `RINGFENCE_APPROVALS` out of the"
            " environment",
        ) from missing
    return SqlStore(where)
