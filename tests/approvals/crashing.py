"""Ends a process with SIGKILL between two steps of a store: before any call, and before and after every commit."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.approvals.conftest import patiently
from tests.approvals.made import Time

from ringfence.approvals.desk import Desk
from ringfence.approvals.stores.store import Store
from ringfence.model import ids

_PLAIN = {"look_seconds", "close"}


class Crashing:
    """A store that kills this process at one of its steps (`ringfence.approvals.stores.store.Store`)."""

    def __init__(self, store: Store, at: int) -> None:
        self._store = store
        self._left = at

    def _step(self) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._step()
        with self._store.transaction():
            yield
            self._step()
        self._step()

    def __getattr__(self, name: str) -> object:
        found = getattr(self._store, name)
        if name in _PLAIN:
            return found

        def call(*arguments: object, **named: object) -> object:
            self._step()
            return found(*arguments, **named)

        return call


def crash(address: str, time: Time, at: int, act: Callable[[Desk], object]) -> bool:
    """Do something in a process of its own that is killed at its step number `at`; whether it came to that."""
    child = os.fork()
    if child == 0:
        try:
            store: Store = Crashing(patiently(address), at)  # type: ignore[assignment]
            act(Desk(store, time.time_ns, ids.new_id))
        except BaseException:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "it failed instead of being killed"
    return os.WIFSIGNALED(status)
