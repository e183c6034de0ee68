"""What is found in a request in all the ways in which it can be written, and what is said where it cannot be read."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import quopri
import random
import subprocess
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import brotli
import pytest
import zstandard
from tests.egress.content.looking import CANARY, CREDENTIAL, TOKEN, digest, letters, scanner

from ringfence.egress.content.scanning import OVERLAP, BodyScan, Scan, codings

SECRETS = {"github-token": TOKEN, "variable X": CANARY, "deploy": CREDENTIAL}
AROUND = b"some words before it, and { more } \xc3\xa4 <behind> "


def _zipped(data: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        archive.writestr("first.txt", "nothing here " * 50)
        archive.writestr("second.txt", data)
    return stream.getvalue()


def _multipart(data: bytes) -> bytes:
    lines = (b"--b", b'Content-Disposition: form-data; name="f"; filename="x.gz"', b"", data, b"--b--", b"")
    return b"\r\n".join(lines)


def _escaped(data: bytes) -> bytes:
    return "".join(f"\\u00{byte:02x}" for byte in data).encode()


Way = Callable[[bytes], bytes]
WAYS: dict[str, Way] = {
    "plain": lambda data: data,
    "percent": lambda data: quote(data, safe="").encode(),
    "every letter by percent": lambda data: "".join(f"%{byte:02x}" for byte in data).encode(),
    "form": lambda data: b"a=1&text=" + quote_plus(data).encode() + b"&b=2",
    "json": lambda data: json.dumps({"a": [{"text": data.decode()}]}).encode(),
    "json in json": lambda data: json.dumps({"a": json.dumps({"b": json.dumps([data.decode()])})}).encode(),
    "json escapes": lambda data: b'{"a": "' + _escaped(data) + b'"}',
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "base64 in two lines": lambda data: base64.encodebytes(b"user:" + data),
    "base64 behind one letter": lambda data: b"x" + base64.b64encode(data),
    "base64 behind three letters": lambda data: b"xyz" + base64.b64encode(data),
    "base64 in short lines": lambda data: b"\n".join(
        base64.b64encode(data)[at : at + 20] for at in range(0, len(base64.b64encode(data)), 20)
    ),
    "base64 without its end": lambda data: base64.b64encode(data).rstrip(b"="),
    "base64 in lines": lambda data: base64.encodebytes(data * 4),
    "base64 in JSON": lambda data: json.dumps({"content": base64.b64encode(data).decode()}).encode(),
    "base64 in lines in JSON": lambda data: json.dumps({"content": base64.encodebytes(data * 4).decode()}).encode(),
    "base64 twice": lambda data: base64.b64encode(base64.b64encode(data)),
    "hexadecimal": lambda data: data.hex().encode(),
    "quoted-printable": lambda data: quopri.encodestring(data + b" = \xff" * 20),
    "multipart": _multipart,
    "gzip": gzip.compress,
    "gzip in multipart": lambda data: _multipart(gzip.compress(data)),
    "gzip in gzip": lambda data: gzip.compress(gzip.compress(data)),
    "gzip in base64 in JSON": lambda data: json.dumps({"f": base64.b64encode(gzip.compress(data)).decode()}).encode(),
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": _zipped,
    "zip stored": lambda data: _zipped(data, zipfile.ZIP_STORED),
    "zip in multipart": lambda data: _multipart(_zipped(data)),
    "utf-16": lambda data: data.decode("utf-8").encode("utf-16"),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("way", WAYS)
def test_a_secret_is_found_however_it_is_written(way: str, secret: str) -> None:
    scan = Scan(scanner())

    found = scan.text("the body", WAYS[way](AROUND + SECRETS[secret].encode() + b" and the end"))

    assert secret in {one.name for one in found}
    assert all(one.place.startswith("the body") and SECRETS[secret] not in str(one) for one in found)


@pytest.mark.parametrize("way", WAYS)
def test_what_carries_nothing_is_no_finding(way: str) -> None:
    scan = Scan(scanner())

    assert scan.text("the body", WAYS[way](AROUND + b"the quick brown fox jumps over the lazy dog " * 9)) == []
    assert scan.unread == {}


ENCODINGS: dict[str, Way] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, raw": lambda data: zlib.compress(data, wbits=-15),
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "gzip, br": lambda data: brotli.compress(gzip.compress(data)),
}


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
@pytest.mark.parametrize("encoding", ["", *ENCODINGS])
def test_a_secret_is_found_across_the_borders_of_pieces(encoding: str, size: int) -> None:
    lot = random.Random(7)
    filler = bytes(lot.choice(b"abcdefgh \n") for _ in range(1500 if size == 1 else 70_000))
    data = ENCODINGS.get(encoding, bytes)(filler + b" " + TOKEN.encode() + filler[:900])
    body = BodyScan(scan := Scan(scanner()), codings(encoding.partition(", raw")[0].encode()))

    found = [one for at in range(0, len(data), size) for one in body.feed(data[at : at + size], last=False)]
    found += body.feed(b"", last=True)

    assert {one.name for one in found} == {"github-token"}
    assert scan.unread == {}


@pytest.mark.parametrize("size", [5, 100_000])
@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("zstd", zstandard.compress), ("bzip2", bz2.compress), ("xz", lzma.compress)],
)
def test_a_secret_in_the_second_of_two_packed_parts_is_found(coding: str, pack: Way, size: int) -> None:
    data = pack(b"first") + pack(TOKEN.encode())
    body, whole = BodyScan(scan := Scan(scanner()), (coding,)), Scan(scanner())

    found = [one for at in range(0, len(data), size) for one in body.feed(data[at : at + size], last=False)]
    found += body.feed(b"", last=True)

    assert [one.name for one in found] == ["github-token"]
    assert [one.name for one in whole.text("the body", data)] == ["github-token"]
    assert scan.unread == whole.unread == {}


def test_a_secret_at_every_place_around_the_border_of_a_window_is_found() -> None:
    for before in range(65_536 - 60, 65_536 + 20, 7):
        body = BodyScan(Scan(scanner(forms=False)), ())

        found = body.feed(b"." * before + CANARY[:20].encode(), last=False)
        found += body.feed(CANARY[20:].encode() + b"." * OVERLAP, last=True)

        assert {one.name for one in found} == {"variable X"}, before


@pytest.mark.slow
def test_a_bomb_is_said_to_be_unread_and_costs_little() -> None:
    bombs = {
        "gzip": gzip.compress(bytes(1 << 25)),
        "zstd": zstandard.compress(bytes(1 << 25)),
        "br": brotli.compress(bytes(1 << 25), quality=1),
    }
    for coding, bomb in bombs.items():
        whole, streamed = Scan(scanner()), Scan(scanner())

        BodyScan(streamed, (coding,)).feed(bomb, last=True)
        whole.text("the body", bomb if coding != "br" else base64.b64encode(gzip.compress(bytes(1 << 25))))

        assert list(streamed.unread) == ["it grows too much when it is unpacked"], coding
        assert list(whole.unread) == ["it grows too much when it is unpacked"], coding


@pytest.mark.parametrize(
    ("field", "data", "why"),
    [
        (b"aes128gcm", b"?" * 99, "it is packed as `aes128gcm`, which is not known here"),
        (
            b"gzip",
            b"not packed at all",
            "it cannot be unpacked: Error -3 while decompressing data: incorrect header check",
        ),
        (b"gzip, gzip, gzip", b"", "it is packed more often than is looked into"),
    ],
)
def test_what_cannot_be_unpacked_is_said(field: bytes, data: bytes, why: str) -> None:
    body = BodyScan(scan := Scan(scanner()), codings(field))

    body.feed(data, last=True)

    assert list(scan.unread) == [why]


def test_what_says_that_it_is_packed_and_is_not_is_looked_at_as_it_is() -> None:
    body = BodyScan(Scan(scanner()), ("gzip",))

    assert [one.name for one in body.feed(TOKEN.encode(), last=True)] == ["github-token"]


def test_a_request_that_takes_too_long_is_said_to_be_unread() -> None:
    scan = Scan(scanner(seconds=0.0))

    scan.text("the body", b"x" * 100)

    assert list(scan.unread) == ["looking into it takes too long"]


def test_a_longer_body_than_is_looked_into_is_said_to_be_unread() -> None:
    body = BodyScan(scan := Scan(scanner(streamed=100_000)), ())

    for _ in range(3):
        body.feed(os.urandom(70_000), last=False)

    assert list(scan.unread) == ["it is longer than what is looked into"]


def test_placeholders_are_no_findings_and_hide_none() -> None:
    standing = "gh" + "p_" + letters(36)
    scan = Scan(scanner(), harmless=[standing.encode()])

    assert scan.text("the body", f"token {standing}".encode()) == []
    assert [one.name for one in scan.text("the body", f"{standing} {TOKEN}".encode())] == ["github-token"]
    assert [one.name for one in scan.text("the body", f"password={standing}{letters(27)}".encode())] != []


def test_a_finding_shows_the_ends_of_a_secret_and_of_what_is_known_nothing() -> None:
    found = Scan(scanner()).text("the query", f"{TOKEN} {CREDENTIAL}".encode())

    assert sorted(map(str, found)) == [
        f"the query carries a GitHub token `ghp_…{TOKEN[-2:]}` (40 characters)",
        "the query carries the value of credential `deploy` (48 characters)",
    ]
    assert [one.rule for one in found if one.name == "github-token"] == [
        f"content.secret:github-token#{digest(TOKEN.encode())}"
    ]


@pytest.mark.slow
def test_a_secret_in_a_file_that_git_pushes_is_found(tmp_path: Path) -> None:
    git = ("git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x.test")
    subprocess.run((*git, "init", "-q"), check=True)
    for number in range(20):
        (tmp_path / f"file{number}.txt").write_text("words and words\n" * 100 + str(number))
    (tmp_path / "deploy.env").write_text(f"GITHUB={TOKEN}\n")
    subprocess.run((*git, "add", "."), check=True)
    subprocess.run((*git, "commit", "-qm", "all"), check=True)
    head = subprocess.run((*git, "rev-parse", "HEAD"), check=True, capture_output=True).stdout
    packed = subprocess.run((*git, "pack-objects", "--revs", "--stdout"), input=head, check=True, capture_output=True)
    pushed = b"00940000 " + b"refs/heads/main\0 report-status" + b"0000" + packed.stdout

    found = Scan(scanner()).text("the body", pushed)

    assert [(one.name, one.place) for one in found] == [("github-token", "the body (git pack)")]
    for size in (7, 1000, 100_000):
        body = BodyScan(scan := Scan(scanner()), ())
        found = [one for at in range(0, len(pushed), size) for one in body.feed(pushed[at : at + size], last=False)]
        found += body.feed(b"", last=True)
        assert ([one.name for one in found], scan.unread) == (["github-token"], {}), size


@pytest.mark.parametrize("size", [7, 1000, 100_000])
@pytest.mark.parametrize("before", [b"", b"--b\r\nContent-Type: application/zip\r\n\r\n"])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_secret_in_a_zip_that_passes_piece_by_piece_is_found(method: int, before: bytes, size: int) -> None:
    data = before + _zipped(AROUND + b" " + TOKEN.encode(), method) + b"\r\n--b--"
    body = BodyScan(scan := Scan(scanner()), ())

    found = [one for at in range(0, len(data), size) for one in body.feed(data[at : at + size], last=False)]
    found += body.feed(b"", last=True)

    assert ([one.name for one in found], scan.unread) == (["github-token"], {})


@pytest.mark.parametrize(
    "beginning",
    [
        b"PACK\0\0\0\2\0\0\0\0",
        b"PACK\0\0\0\2\0\0\0\3" + b"\x30garbage ",
        b"PK\3\4",
        b"PK\3\4\x14\0\0\0\x08\0" + bytes(20) + b"\xff\xff",
        b"PK\3\4\x14\0\1\0\x08\0" + bytes(20),
        b"PK\3\4\x14\0\0\0\x63\0" + bytes(20),
        b"\x1f\x8b\x08",
    ],
)
@pytest.mark.parametrize("size", [9, 100_000])
def test_a_beginning_that_looks_like_an_archive_hides_nothing(beginning: bytes, size: int) -> None:
    data = beginning + b" text " * 40 + TOKEN.encode() + b" text" * 9
    body, whole = BodyScan(Scan(scanner()), ()), Scan(scanner())

    found = [one for at in range(0, len(data), size) for one in body.feed(data[at : at + size], last=False)]
    found += body.feed(b"", last=True)

    assert "github-token" in {one.name for one in found}
    assert "github-token" in {one.name for one in whole.text("the body", data)}


SECRET = b"key " + TOKEN.encode() + b" end"


def _skipped(data: bytes) -> bytes:
    """A frame of Zstandard that readers pass over."""
    return b"\x50\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data + zstandard.compress(b"a")


def _with_name(name: bytes) -> bytes:
    plain = gzip.compress(b"a", mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + name + b"\0" + plain[10:]


@pytest.mark.parametrize("size", [5, 100_000])
@pytest.mark.parametrize(
    ("coding", "data"),
    [
        ("", zlib.compress(SECRET)),
        ("", b"--b\r\n\r\n" + zlib.compress(SECRET) + b"\r\n--b--"),
        ("", b"%PDF-1.4\nstream\n" + zlib.compress(b"x^2" + b" " * 40) + b"\nstream\n" + zlib.compress(SECRET)),
        ("", base64.b64encode(zlib.compress(SECRET, 1))),
        ("", lzma.compress(SECRET, format=lzma.FORMAT_ALONE)),
        ("gzip", _with_name(SECRET)),
        ("gzip", gzip.compress(SECRET, mtime=0)[:-8] + b"wrong it"),
        ("gzip", gzip.compress(SECRET, mtime=0) + b"\x1f\x8b\x08\0no more"),
        ("deflate", zlib.compress(SECRET)[:-4] + b"\0\0\0\0"),
        ("deflate", zlib.compress(SECRET) + zlib.compress(b"a")[:3] + b"\xff\xff\xff"),
        ("zstd", _skipped(SECRET)),
        ("bzip2", bz2.compress(SECRET) + b"BZh9no more"),
    ],
)
def test_what_is_packed_without_a_word_or_with_a_fault_hides_nothing(coding: str, data: bytes, size: int) -> None:
    body = BodyScan(Scan(scanner()), codings(coding.encode()))

    found = [one for at in range(0, len(data), size) for one in body.feed(data[at : at + size], last=False)]
    found += body.feed(b"", last=True)

    assert {one.name for one in found} == {"github-token"}


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4....", "7z"),
        (b"--b\r\n\r\nRar!\x1a\x07\x01....", "RAR"),
        (base64.b64encode(b"age-encryption.org/v1\n-> X25519 abcdefghijklmnop"), "age"),
        (b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n", "PGP"),
        (b"Salted__12345678................", "OpenSSL"),
        (b"\x04\x22\x4d\x18....", "LZ4"),
    ],
)
def test_what_is_sealed_is_said_to_be_unread(data: bytes, name: str) -> None:
    scan = Scan(scanner())

    scan.text("the body", data)

    assert list(scan.unread) == [f"a part of it is packed or encrypted with {name}, which cannot be looked into"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [gzip.compress(b"", mtime=0), zlib.compress(b"", 1), zstandard.compress(b""), bz2.compress(b"")],
    ids=["gzip", "zlib", "zstd", "bzip2"],
)
@pytest.mark.parametrize("before", [b"", b"x"])
def test_tens_of_thousands_of_packed_parts_are_each_read_once(part: bytes, before: bytes) -> None:
    # Read anew from each of them on, a megabyte of such parts held everybody up for minutes.
    data = before + part * (300_000 // len(part))
    began = time.process_time()

    Scan(scanner()).text("the body", data)
    BodyScan(Scan(scanner()), ()).feed(data, last=True)

    assert time.process_time() - began < 6
