"""Every kind of store, each doing the same: the user's file, the same file through SQLAlchemy, PostgreSQL."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator

import pytest
from tests.approvals.postgresql import MEMORY, Server, programs
from tests.debian import needed

from ringfence.approvals.stores.opening import open_store
from ringfence.approvals.stores.sql import SqlStore
from ringfence.approvals.stores.store import ApprovalsBroken, Store

KINDS = ("file", "file-through-sqlalchemy", "postgresql")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A running server."""
    needed("postgresql", lambda: programs() is not None)
    server = Server()
    yield server
    server.close()


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an empty store of each kind. No test here cuts the power, so none needs a disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        match request.param:
            case "file":
                yield os.path.join(folder, "approvals.db")
            case "file-through-sqlalchemy":
                yield f"sqlite:///{folder}/approvals.db"
            case _:
                server: Server = request.getfixturevalue("postgresql")
                yield server.database()


def opened_at(address: str) -> Store:
    """The store at an address."""
    return SqlStore(address) if address.startswith("sqlite:") else open_store(address)


def patiently(address: str) -> Store:
    """The store, however busy the machine is."""
    for _ in range(20):
        try:
            return opened_at(address)
        except ApprovalsBroken:
            continue
    return opened_at(address)


@pytest.fixture
def reach() -> Iterator[Callable[[str], Store]]:
    """Opens the store at an address, and closes it when the test is over."""
    stores: list[Store] = []

    def open_one(address: str) -> Store:
        stores.append(opened_at(address))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def connect(address: str, reach: Callable[[str], Store]) -> Callable[[], Store]:
    """Opens the store of this test, as often as it is called."""
    return lambda: reach(address)
