"""The timeline: every kind of event has a line of its own, and no text in it can draw."""

from __future__ import annotations

import msgspec
import pytest
from tests.model.golden import EVENTS
from tests.telemetry.recorded import decided

from ringfence.model.action import ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.model.event import Body, ConnectionClosed, NoticeGiven, SessionEnded, event_name
from ringfence.telemetry.reader import Recorded, hosts_of
from ringfence.telemetry.timeline import Row, Tone, row


def recorded(body: Body | None) -> Recorded:
    name = event_name(body) if body is not None else "notice"
    return Recorded(sequence=0, time_ns=0, session="s", event=name, id="e", body=body, raw=None)


@pytest.mark.parametrize("body", EVENTS.values(), ids=EVENTS)
def test_every_event_has_a_line(body: Body) -> None:
    told = row(recorded(body))

    assert told.symbol
    assert told.label
    assert told.what
    assert "\n" not in msgspec.json.encode(told).decode()


def test_a_denied_connection_says_where_and_why() -> None:
    told = row(recorded(decided(Verdict.DENY, ConnectAction(host="evil.example", port=443, method="POST", path="/x"))))

    assert told == Row(
        symbol="✗", label="deny", what="POST /x on evil.example:443", why="rule: because", tone=Tone.STOPPED
    )


def test_a_name_with_control_characters_shows_them() -> None:
    action = FileAction(operation=FileOperation.READ, path="/a\x1b[2J\n\u202eb")

    assert row(recorded(decided(Verdict.ALLOW, action))).what == r"read /a\\x1b[2J\n\u202eb".replace("\\\\", "\\")


def test_a_question_says_what_was_asked() -> None:
    told = row(recorded(EVENTS["approval.requested"]))

    assert (told.label, told.what) == ("asked", "git push")
    assert told.why == "request 01m81se0886mwqvv0wwp6x0w7n by terminal"


def test_what_was_erased_keeps_its_place() -> None:
    assert row(recorded(None)) == Row(symbol="·", label="?", what="notice (erased)", tone=Tone.QUIET)


def test_a_lost_supervisor_is_called_so() -> None:
    told = row(recorded(SessionEnded(exit_code=None, outcome="supervisor_lost")))

    assert told == Row(symbol="■", label="end", what="supervisor_lost", tone=Tone.ATTENTION)


def test_a_connection_shows_what_went_where() -> None:
    body = ConnectionClosed(
        host="api.github.com",
        port=443,
        address="192.0.2.1",
        sent_bytes=999,
        received_bytes=12_345_678,
        duration_ms=1500,
    )

    assert row(recorded(body)).what == "api.github.com:443 999 B out, 12.3 MB in, 1.5 s"


def test_a_long_text_keeps_its_end() -> None:
    told = row(recorded(NoticeGiven(topic="t", text="a" * 500 + " THE END")))

    assert told.what.endswith(" THE END")
    assert len(told.what) == 160


def test_a_connection_whose_requests_were_led_elsewhere_says_where_they_went() -> None:
    assert row(recorded(EVENTS["connection.closed"])).why == "requests went to models.corp.example:443"


def test_a_search_for_a_host_finds_connections_whose_requests_were_led_there() -> None:
    assert hosts_of(EVENTS["connection.closed"]) == ("api.github.com", "models.corp.example")
