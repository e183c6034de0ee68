"""What is found stays readable on record, whatever the credential or canary is called."""

from __future__ import annotations

import msgspec
import pytest

from ringfence.model.event import ContentFound, Event
from ringfence.telemetry.redaction import Redaction


@pytest.mark.parametrize(
    "name", ["variable BACKUP_ACCESS_TOKEN", "DEPLOY_API_KEY", "github-token", "--token", "SECRET"]
)
def test_the_ledgers_redaction_leaves_a_finding_as_it_is(name: str) -> None:
    found = ContentFound(
        kind="canary",
        name=name,
        host="paste.test",
        port=443,
        severity="high",
        place="the body",
        length=40,
        digest="0f1e2d3c4b5a",
        outcome="denied",
        method="POST",
        path="/upload",
        shown="ghp_…9f",
    )
    event = Event(id="01m81se0886mwqvv0wwp6x0w7n", session="01m81se085t63xh86b760rpr0r", body=found)

    written = Redaction(lambda: b"k" * 32).clean(msgspec.json.encode(event))

    assert msgspec.json.decode(written, type=Event).body == found
