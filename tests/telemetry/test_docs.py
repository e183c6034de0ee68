"""The documentation of the ledger says what the code does."""

from __future__ import annotations

from pathlib import Path

from ringfence.telemetry.redaction import EVENT_LIMIT, SCRIPT_LIMIT, TEXT_LIMIT
from ringfence.telemetry.writer import SEAL_EVENTS, SEAL_SECONDS

TEXT = " ".join((Path(__file__).parents[2] / "docs" / "ledger.md").read_text().split())


def test_the_documented_limits_are_those_of_the_code() -> None:
    assert f"texts are cut at {TEXT_LIMIT:,} characters, what is run, called or said at {SCRIPT_LIMIT:,}" in TEXT
    assert f"an event has room for {EVENT_LIMIT // 1024} KiB" in TEXT
    assert f"after {SEAL_EVENTS:,} events, and after {SEAL_SECONDS:.0f} seconds with new events" in TEXT
