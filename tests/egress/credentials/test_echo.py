"""A value that a server repeats: in every shape of a packed answer, and in what JSON, HTML and addresses make of it."""

from __future__ import annotations

import gzip
import zlib

import pytest
from tests.egress.credentials.carrying import VALUE, answered, carrying, request

from ringfence.egress.credentials.steps import Pinned
from ringfence.egress.http_response import ResponseHead
from ringfence.egress.inspection import Held

KEY = """
[[credentials]]
id = "key"
source = { environment = "KEY" }
form = "bearer"
hosts = ["api.test"]
"""
TELLING = b'{"saw": "' + VALUE.encode() + b'"}'


def _raw(data: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-15)
    return packing.compress(data) + packing.flush()


def _named(name: bytes) -> bytes:
    """A gzip member with a name in its header."""
    plain = gzip.compress(b"{}", mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + name + b"\0" + plain[10:]


def _body(parts: list[bytes | Held]) -> bytes:
    assert all(isinstance(part, bytes) for part in parts), parts
    return b"".join(part for part in parts if isinstance(part, bytes))


def _growing(size: int) -> bytes:
    """The beginning of a gzip member of nothing but zeros."""
    packing, found = zlib.compressobj(9, wbits=31), b""
    while len(found) < size:
        found += packing.compress(b"0" * (1 << 20))
    return found[:size]


HIDING = {
    "a second member": ("gzip", gzip.compress(b"{}") + gzip.compress(TELLING)),
    "a second member behind padding": ("gzip", gzip.compress(b"{}") + b"\0" * 512 + gzip.compress(TELLING)),
    "a value across members": ("gzip", gzip.compress(TELLING[:30]) + gzip.compress(TELLING[30:])),
    "text behind": ("gzip", gzip.compress(b"{}") + TELLING),
    "something else behind": ("gzip", gzip.compress(b"{}") + zlib.compress(TELLING)),
    "the beginning of something behind": ("gzip", gzip.compress(b"{}") + b"\x1f\x8b"),
    "the name of a member": ("gzip", _named(VALUE.encode())),
    "a second stream": ("deflate", zlib.compress(b"{}") + zlib.compress(TELLING)),
    "a raw stream behind": ("deflate", zlib.compress(b"{}") + _raw(TELLING)),
    "text behind a stream": ("deflate", zlib.compress(b"{}") + TELLING),
    "no head": ("deflate", _raw(TELLING)),
    "another packing": ("gzip", zlib.compress(TELLING)),
    "packed twice": ("gzip, gzip", gzip.compress(gzip.compress(TELLING))),
    "growth": ("gzip", _growing(20_000)),
    "a second word for the packing": ("identity, gzip", gzip.compress(TELLING)),
}


@pytest.mark.parametrize("size", [1, 5, 1 << 16])
@pytest.mark.parametrize("shape", HIDING)
def test_no_shape_of_a_packed_answer_hides_a_value(shape: str, size: int) -> None:
    coding, packed = HIDING[shape]

    _, parts = answered(
        carrying(KEY), {"Content-Encoding": coding}, *(packed[at : at + size] for at in range(0, len(packed), size))
    )

    assert any(isinstance(part, Held) for part in parts)


@pytest.mark.parametrize("size", [1, 3, 1 << 16])
def test_members_one_behind_the_other_pass_where_they_tell_nothing(size: int) -> None:
    packed = gzip.compress(b"[1]") + b"\0" * 9 + gzip.compress(b"ghp_Real") + gzip.compress(b"x" * 900_000 + b"y" * 257)

    _, parts = answered(
        carrying(KEY), {"Content-Encoding": "gzip"}, *(packed[at : at + size] for at in range(0, len(packed), size))
    )

    assert _body(parts) == packed


@pytest.mark.parametrize("before", [(1 << 20) - 60, (1 << 20) - 41, (1 << 20) - 40, (1 << 20) - 1, 1 << 20])
def test_a_value_is_found_where_more_comes_out_than_is_taken_at_once(before: int) -> None:
    # What a decompressor still has to say when its room is full, after all of its input: up to 257 bytes.
    packed = gzip.compress(b"x" * 300 + VALUE.encode() + b"x" * (before - 340) + VALUE.encode())
    carried = carrying(KEY)

    _, parts = answered(carried, {"Content-Encoding": "gzip"}, packed)

    assert isinstance(parts[0], Held)


def test_a_packed_piece_waits_while_it_may_end_within_a_value() -> None:
    packing = zlib.compressobj()
    begun = packing.compress(b"{" + VALUE[:-1].encode()) + packing.flush(zlib.Z_SYNC_FLUSH)
    other = packing.copy()
    last = packing.compress(VALUE[-1:].encode()) + packing.flush()

    _, told = answered(carrying(KEY), {"Content-Encoding": "deflate"}, begun, last)
    _, harmless = answered(carrying(KEY), {"Content-Encoding": "deflate"}, begun, other.compress(b"}") + other.flush())

    assert (told[0], isinstance(told[1], Held)) == (b"", True)
    assert (harmless[0], zlib.decompress(_body(harmless))) == (b"", b"{" + VALUE[:-1].encode() + b"}")


def test_pieces_in_which_nothing_comes_do_not_wait_without_end() -> None:
    packing = zlib.compressobj()
    begun = packing.compress(VALUE[:8].encode()) + packing.flush(zlib.Z_SYNC_FLUSH)
    nothing = b"\0\0\0\xff\xff" * 10_000

    _, parts = answered(carrying(KEY), {"Content-Encoding": "deflate"}, begun, *([nothing] * 25))

    assert any(isinstance(part, Held) for part in parts)


def test_a_packing_that_is_said_in_two_fields_is_not_taken_for_one() -> None:
    steps = carrying(KEY).wallet(request("GET /"))
    assert isinstance(steps, Pinned)
    steps.response(
        ResponseHead(status=200, fields=((b"content-encoding", b"identity"), (b"content-encoding", b"gzip")))
    )

    assert isinstance(steps.received(gzip.compress(TELLING)), Held)


def test_a_value_in_the_name_of_a_field_is_taken_out() -> None:
    value = "token-of-small-letters-0123456789"

    head, _ = answered(carrying(KEY, {"key": (value, "x" * len(value))}), {f"x-saw-{value}": "1"})

    assert isinstance(head, ResponseHead)
    assert head.fields == ((b"x-saw-" + b"x" * len(value), b"1"),)


@pytest.mark.parametrize(
    "spelt",
    [
        r"a\u002Bb\/c\u003Cd\u003Ee\u0026f\u0027g==h\"i\\j-0123456789",
        r"a\u002Bb/c\u003Cd\u003Ee\u0026f\u0027g==h\u0022i\\j-0123456789",
        r"a+b/c\u003cd\u003ee\u0026f'g==h\"i\\j-0123456789",
        r"a+b/c\u003cd\u003ee\u0026f\u0027g\u003d\u003dh\"i\\j-0123456789",
        r"a+b/c<d>e&f'g==h\"i\\j-0123456789",
        r"a+b/c&lt;d&gt;e&amp;f&#x27;g==h&quot;i\j-0123456789",
        r"a+b/c&lt;d&gt;e&amp;f&#039;g==h&quot;i\j-0123456789",
        r"a&#x2B;b/c&lt;d&gt;e&amp;f&#x27;g==h&quot;i\j-0123456789",
        r"a+b/c&lt;d&gt;e&amp;f&#39;g==h&#34;i\j-0123456789",
        r"a+b/c&lt;d&gt;e&amp;f'g==h" + r'"i\j-0123456789',
        r"a+b/c%3Cd%3Ee&f'g==h%22i%5Cj-0123456789",
        r"a%2Bb/c%3Cd%3Ee%26f%27g%3D%3Dh%22i%5Cj-0123456789",
        r"a%2bb%2fc%3cd%3ee%26f'g%3d%3dh%22i%5cj-0123456789",
    ],
)
def test_a_value_is_taken_out_as_writers_of_json_html_and_addresses_spell_it(spelt: str) -> None:
    value = r"a+b/c<d>e&f'g==h" + r'"i\j-0123456789'

    _, parts = answered(carrying(KEY, {"key": (value, "x" * len(value))}), {}, f"<{spelt}>".encode())

    assert _body(parts) == b"<" + b"*" * len(spelt) + b">"
