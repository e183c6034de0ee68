"""How a text that is known may be written so that it does not look like itself: in other digits, letters and orders.

Only what is one step away, and read by everybody's tools. Pure; where the text stands within a longer one is not known,
so that of most only the middle is.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Iterator

_SHORTEST = 12
_LONG, _CODES, _GROUPS = 14, 6, 20
"""So many letters, codes of letters, and letters of base85 are enough to know what stands for a text."""
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_CROCKFORD = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_BETWEEN = bytes(one for one in range(256) if not chr(one).isalnum() or one > 127)
_SMALL = bytes(ord(chr(one).lower()) if one < 128 else one for one in range(256))


def usual(value: str) -> Iterator[bytes]:
    """As it is, and as a part of a longer text in hexadecimal digits, base64 and base85."""
    raw = value.encode()
    yield raw
    if len(raw) >= _SHORTEST:
        yield raw[::-1]
    yield raw.hex().encode()
    for middle in _in_base64(raw):
        yield middle
        yield middle.translate(bytes.maketrans(b"+/", b"-_"))
    for group in _in_base85(raw):
        if len(group) >= _SHORTEST:
            yield group.encode()[:_GROUPS]


def unusual(value: str) -> Iterator[bytes]:
    """In every other way, and in the usual ways with something between the letters, as `letters` leaves it."""
    raw = value.encode()
    usually = (raw.hex(), *(one.decode() for one in _in_base64(raw)))
    # Of base58, every letter depends on all that is written.
    ends = (*usually, *_in_base32(raw), _in_base58(raw), codecs.encode(value, "rot13"))
    found = [letters(one.encode())[-_LONG:] for one in ends]
    turned = [letters(one.encode())[::-1][:_LONG] for one in (value, *usually)]
    for one in dict.fromkeys((*found, *turned, *(one.encode() for one in _in_digits(raw)))):
        if len(one) >= _SHORTEST:
            yield one


def letters(text: bytes) -> bytes:
    """The letters and digits of a text, all of them small."""
    return text.translate(_SMALL, _BETWEEN)


def _in_digits(raw: bytes) -> Iterator[str]:
    """Its last letters one by one, as programs write numbers."""
    last = raw[-_CODES:]
    for form in ("{}", "{:o}", "{:03o}", "{:08b}", "{:b}", "x{:02x}", "0x{:02x}"):
        yield "".join(form.format(one) for one in last)


def _in_base64(raw: bytes) -> Iterator[bytes]:
    """By where it begins there are three spellings."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw)
        # Letters that also depend on what stands before and behind.
        middle = coded[(0, 2, 3)[before] : (before + len(raw)) // 3 * 4]
        if len(middle) >= _SHORTEST:
            yield middle


def _in_base32(raw: bytes) -> Iterator[str]:
    """By where it begins there are five spellings, in each of the alphabets that are in use."""
    for before in range(5):
        coded = base64.b32encode(b"\0" * before + raw).decode()
        middle = coded[-(-before * 8 // 5) : (before + len(raw)) * 8 // 5]
        yield middle
        yield base64.b32hexencode(b"\0" * before + raw).decode()[-(-before * 8 // 5) : (before + len(raw)) * 8 // 5]
        yield middle.translate(_CROCKFORD)


def _in_base85(raw: bytes) -> Iterator[str]:
    """By where it begins there are four spellings of the groups that lie wholly within."""
    for before in range(4):
        groups = raw[before : before + (len(raw) - before) // 4 * 4]
        plain = base64.a85encode(groups).decode()
        yield plain
        yield base64.b85encode(groups).decode()
        yield plain.translate(_Z85)


_Z85 = {
    33 + at: one
    for at, one in enumerate("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")
}


def _in_base58(raw: bytes) -> str:
    number, found = int.from_bytes(raw, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        found = _BASE58[digit] + found
    return found
