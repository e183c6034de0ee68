"""What is known by itself is found in whatever one way it is written, and not where it is not."""

from __future__ import annotations

import base64
import codecs
import json
import random
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.egress.content.looking import CANARY, CREDENTIAL, KNOWN, scanner

from ringfence.egress.content.known_texts import KnownTexts
from ringfence.egress.content.matching import Kind, Known
from ringfence.egress.content.scanning import Scan

SOURCES = sorted((Path(__file__).parents[3] / "src").rglob("*.py"))
SECRETS = {"variable X": CANARY, "deploy": CREDENTIAL}
TEXTS = KnownTexts(KNOWN)
BEHIND = b"some words {0} behind it: "


def _split(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def _fields(data: bytes, size: int) -> bytes:
    return json.dumps({f"part-{at}": one.decode() for at, one in enumerate(_split(data, size))}).encode()


def _multipart(data: bytes, size: int) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="p%d"\r\n\r\n'
    return b"".join(head % at + one + b"\r\n" for at, one in enumerate(_split(data, size))) + b"--b--\r\n"


def _of_85(alphabet: str) -> Callable[[bytes], bytes]:
    table = {33 + at: one for at, one in enumerate(alphabet)}
    return lambda data: base64.a85encode(data).decode().translate(table).encode()


def _base58(data: bytes) -> bytes:
    letters, number, found = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        found = letters[digit] + found
    return found.encode()


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
CROCKFORD = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"0123456789ABCDEFGHJKMNPQRSTVWXYZ")

AROUND: dict[str, Callable[[bytes], bytes]] = {
    "base32": base64.b32encode,
    "base32 in small letters": lambda data: base64.b32encode(data).lower(),
    "base32 in lines": lambda data: b"\n".join(_split(base64.b32encode(data), 76)),
    "base32 with the hexadecimal alphabet": base64.b32hexencode,
    "base32 of Crockford": lambda data: base64.b32encode(data).translate(CROCKFORD),
    "ascii85": base64.a85encode,
    "ascii85 of Adobe": lambda data: base64.a85encode(data, adobe=True),
    "base85": base64.b85encode,
    "base85 in JSON": lambda data: json.dumps({"a": base64.b85encode(data).decode()}).encode(),
    "z85": _of_85(Z85),
    "hexadecimal with blanks": lambda data: data.hex(" ").encode(),
    "hexadecimal with colons": lambda data: data.hex(":").upper().encode(),
    "hexadecimal in lines": lambda data: b"\r\n".join(_split(data.hex().encode(), 8)),
    "hexadecimal in JSON lists": lambda data: json.dumps([f"{one:02x}" for one in data]).encode(),
    "hexadecimal numbers": lambda data: ", ".join(f"0x{one:02X}" for one in data).encode(),
    "hexadecimal escapes": lambda data: "".join(f"\\x{one:02x}" for one in data).encode(),
    "octal escapes": lambda data: "".join(f"\\{one:o}" for one in data).encode(),
    "decimal numbers": lambda data: json.dumps(list(data)).encode(),
    "entities": lambda data: "".join(f"&#{one};" for one in data).encode(),
    "bits": lambda data: " ".join(f"{one:08b}" for one in data).encode(),
    "base64 with blanks": lambda data: b" ".join(_split(base64.b64encode(data), 5)),
    "turned round": lambda data: data[::-1],
    "base64 turned round": lambda data: base64.b64encode(data)[::-1],
    "base64 of what is turned round": lambda data: base64.b64encode(data[::-1]),
    "turned by thirteen letters": lambda data: codecs.encode(data.decode(), "rot13").encode(),
    "percent twice": lambda data: quote("".join(f"%{one:02X}" for one in data)).encode(),
    "percent three times": lambda data: quote(quote("".join(f"%{one:02X}" for one in data))).encode(),
    "letter by letter": lambda data: b" ".join(_split(data, 1)),
    "letter by letter in a list": lambda data: json.dumps(list(data.decode())).encode(),
    "added up": lambda data: b'" + "'.join(_split(data, 5)),
    "in lines": lambda data: b"\n".join(_split(data, 7)),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("way", AROUND)
def test_what_is_known_is_found_in_the_middle_of_what_is_encoded(way: str, secret: str) -> None:
    for before in range(5):
        data = BEHIND[:before] + SECRETS[secret].encode() + b" and the end"

        found = Scan(scanner(forms=False)).text("the body", b"x = " + AROUND[way](data) + b" ;")

        assert [one.name for one in found] == [secret], before


ALONE: dict[str, Callable[[bytes], bytes]] = {
    "base58": _base58,
    "JSON fields of eleven letters": lambda data: _fields(data, 11),
    "JSON fields of six letters": lambda data: _fields(data, 6),
    "JSON fields of two letters": lambda data: _fields(data, 2),
    "JSON fields, indented": lambda data: json.dumps(json.loads(_fields(data, 5)), indent=4).encode(),
    "a form": lambda data: b"&".join(b"k%d=%b" % (at, one) for at, one in enumerate(_split(data, 3))),
    "variables": lambda data: b"\n".join(b'K%d="%b"' % (at, one) for at, one in enumerate(_split(data, 4))),
    "fields of YAML": lambda data: b"\n".join(b"k%d: %b" % (at, one) for at, one in enumerate(_split(data, 4))),
    "a form in parts": lambda data: _multipart(data, 12),
    "a form in small parts": lambda data: _multipart(data, 3),
    "far apart": lambda data: (b" and much else " * 3000).join(_split(data, 12)),
    "in another order": lambda data: b" and ".join(_split(data, 10)[::-1]),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("way", ALONE)
def test_what_is_known_is_found_in_pieces(way: str, secret: str) -> None:
    found = Scan(scanner(forms=False)).text("the body", ALONE[way](SECRETS[secret].encode()))

    assert [(one.name, one.length) for one in found] == [(secret, len(SECRETS[secret]))]


@pytest.mark.parametrize(
    "value",
    ["correct-horse-battery-staple", "postgres://user:password@localhost/db", "my-secret-password", "x@y.z!" * 3],
)
def test_words_are_found_as_they_are_written_and_not_beside_each_other(value: str) -> None:
    texts = KnownTexts((Known(Kind.CREDENTIAL, "a", value),))
    words = value.encode().replace(b"-", b" ").replace(b":", b" ").replace(b"@", b" at ").replace(b"!", b" ")

    assert list(texts.find(words)) == []
    assert [one.name for one in texts.find(b"it is " + value.encode() + b" here")] == ["a"]
    assert [one.name for one in texts.find(value.encode()[::-1])] == ["a"]


def test_a_part_of_what_is_known_is_no_finding() -> None:
    assert list(KnownTexts(KNOWN).find(CANARY[:20].encode() + b" " + CREDENTIAL[-20:].encode() * 50)) == []


def test_other_secrets_of_the_same_kind_are_none_that_are_known() -> None:
    lot = random.Random(3)
    texts = KnownTexts(KNOWN)

    for _ in range(20):
        assert list(texts.find(base64.b64encode(lot.randbytes(60_000)))) == []
        assert list(texts.find(lot.randbytes(30_000).hex().encode())) == []
        assert list(texts.find(json.dumps([lot.randrange(256) for _ in range(15_000)]).encode())) == []
        assert list(texts.find("".join(lot.choice("01") for _ in range(60_000)).encode())) == []


def test_programs_hold_nothing_of_it() -> None:
    texts = KnownTexts(KNOWN)

    assert [one.name for path in SOURCES for one in texts.find(path.read_bytes())] == []


def test_one_piece_that_comes_again_and_again_hides_no_other() -> None:
    piece, rest = CANARY[:6].encode(), CANARY[6:].encode()

    assert [one.name for one in KnownTexts(KNOWN).find((piece + b" ") * 5_000 + b"|x|" + rest)] == ["variable X"]


def test_what_is_said_a_thousand_times_is_found_a_few() -> None:
    assert 1 <= len(list(KnownTexts(KNOWN).find((CANARY + " ").encode() * 5_000))) <= 64


def test_letters_that_only_look_alike_to_the_machine_are_no_fault() -> None:
    texts = KnownTexts((Known(Kind.CREDENTIAL, "a", "pässword-äöü-12345"),))

    assert list(texts.find("p\u00e4ssword-\u00e4\u00f6\u00fc-12345".upper().encode("latin-1"))) == []
    assert [one.name for one in texts.find("pässword-äöü-12345".encode())] == ["a"]
    assert list(texts.find("pässword-äöü-12345".encode().replace(b"\xc3", b"\xe3"))) == []


@given(st.binary(max_size=300), st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_nothing_that_stands_around_hides_it(before: bytes, after: bytes) -> None:
    found = [one.name for one in TEXTS.find(before + b" " + CANARY.encode() + after)]

    assert "variable X" in found


@given(st.lists(st.text(" .,:;-_\"'\n\t{}[]", max_size=4), min_size=len(CREDENTIAL), max_size=len(CREDENTIAL)))
@settings(max_examples=60, deadline=None)
def test_nothing_that_stands_between_its_letters_hides_it(between: list[str]) -> None:
    text = "".join(one + after for one, after in zip(CREDENTIAL, between, strict=True))

    assert "deploy" in [one.name for one in TEXTS.find(text.encode())]
