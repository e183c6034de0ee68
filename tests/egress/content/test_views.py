"""Whatever is sent, its readings are found within their limits, and nothing is an error."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.egress.content.views import Limits, Readings

PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            b"PACK\0\0\0\2\0\0\0\3",
            b"PK\3\4\x14\0\0\0\x08\0" + bytes(20),
            b"PK\3\4\xff\xff\xff\xff\x63\0" + b"\xff" * 20,
            gzip.compress(b"words " * 40, mtime=0),
            gzip.compress(b"words " * 40, mtime=0)[:-9],
            zstandard.compress(b"words " * 40),
            b"BZh9",
            b"\xfd7zXZ\0",
            base64.b64encode(gzip.compress(b"more words", mtime=0)),
            b"%41%4" * 9,
            b"\\u00",
            b'\\"\\\\n\\',
            b"=3D=\r\n=",
            b"a\0b\0c\0" * 9,
            b"ABCD" * 20 + b"\n",
            b"deadbeef" * 9,
        ]
    ),
)


@pytest.mark.slow
@given(st.lists(PIECES, max_size=12))
@settings(max_examples=400, deadline=None)
def test_no_bytes_are_an_error_and_all_readings_together_stay_within_their_limits(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    limits = Limits(readings=1 << 16)
    readings = Readings(limits, lambda: False)

    found = list(readings.of(data))

    assert sum(len(one.data) for one in found) <= limits.readings
    assert not data or found[0].data == data
    assert all(one.how.count(",") < limits.depth for one in found)


def test_what_is_cut_short_is_said() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", bytes(range(256)) * 200)
    for data, why in (
        (gzip.compress(b"words and words" * 90, mtime=0)[:40], "it is cut short"),
        (b"first\r\n" + gzip.compress(b"words and words" * 90, mtime=0)[:40], "a part of it is cut short"),
        (stream.getvalue()[:200], "a part of it is cut short"),
    ):
        readings = Readings(Limits(), lambda: False)

        list(readings.of(data))

        assert readings.unread == [why]


def test_what_is_packed_somewhere_within_is_read() -> None:
    message = b"\x01\0\0\0\x40" + gzip.compress(b"a call of some service")
    readings = Readings(Limits(), lambda: False)

    found = [one for one in readings.of(message + message) if one.how == "gzip"]

    assert [one.data for one in found] == [b"a call of some service"] * 2
    assert readings.unread == []
