"""What the session says of what was replaced while it ran."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ringfence.session import opening


def test_what_is_replaced_again_and_again_fills_no_record() -> None:
    recorded: list[Any] = []
    taken: list[Any] = []
    governed: Any = SimpleNamespace(replaced=(), tally=SimpleNamespace(record_soon=recorded.append))
    sandbox: Any = SimpleNamespace(take_guard=taken.append)
    opening._watch_protection(governed, sandbox)

    for _ in range(2000):
        taken[0]("hidden", "/w/build/.env")
    taken[0]("again", "/w/.mcp.json")

    assert len(governed.replaced) == 2
    assert len(recorded) < 100
    assert ".mcp.json" in recorded[-1].text
