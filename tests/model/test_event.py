"""Events on record: what an older version wrote, this one reads, and writes the same again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.model.golden import EVENTS, FOLDER

from ringfence.model.event import Body, Event, event_name


def test_every_kind_of_event_has_an_example() -> None:
    kinds = {kind.__struct_config__.tag for kind in Body.__args__}

    assert set(EVENTS) == kinds
    assert {event_name(body) for body in EVENTS.values()} == kinds


@pytest.mark.parametrize("name", EVENTS)
def test_events_are_written_as_the_golden_file_says(name: str) -> None:
    event = Event(id="01m81se0886mwqvv0wwp6x0w7n", session="01m81se085t63xh86b760rpr0r", body=EVENTS[name])

    written = msgspec.json.format(msgspec.json.encode(event), indent=2).decode() + "\n"

    assert written == (FOLDER / f"{name}.json").read_text()


@pytest.mark.parametrize("name", EVENTS)
def test_golden_files_are_read_as_the_events_they_were(name: str) -> None:
    event = msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Event)

    assert event.body == EVENTS[name]


@pytest.mark.parametrize("file", sorted((FOLDER / "older").iterdir()), ids=lambda file: file.stem)
def test_what_an_older_version_wrote_is_read_with_its_missing_fields_empty(file: Path) -> None:
    older = msgspec.json.decode(file.read_bytes(), type=Event).body

    assert event_name(older) == file.stem
    written = msgspec.json.decode(file.read_bytes())["body"]
    known = msgspec.json.decode(msgspec.json.encode(older))
    assert {key: known[key] for key in written} == written
    assert all(not known[key] for key in known if key not in written)


def test_a_field_that_a_newer_version_added_is_no_obstacle() -> None:
    text = b'{"id":"e","session":"s","schema":1,"extra":1,"body":{"event":"notice","topic":"t","text":"x","new":[]}}'

    assert msgspec.json.decode(text, type=Event).body == msgspec.convert(
        {"event": "notice", "topic": "t", "text": "x"}, type=Body
    )
