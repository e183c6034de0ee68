"""Whose key is whose, as OpenSSH's files say it."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from ringfence.session.ways.known_hosts import keys_of, lines_for

KEY, OTHER = b"\0\0\0\x03rsakey", b"\0\0\0\x03rsaother"


def line(names: str, key: bytes = KEY, marker: str = "") -> str:
    return f"{marker} {names} rsa {base64.b64encode(key).decode()} comment\n".lstrip()


@pytest.mark.parametrize(
    ("names", "host", "hit"),
    [
        ("h.test", "h.test", True),
        ("H.test,1.2.3.4", "h.test", True),
        ("*.test", "h.test", True),
        ("*.test,!h.test", "h.test", False),
        ("h.test", "x.h.test", False),
        ("[h.test]:2222", "[h.test]:2222", True),
        ("[h.test]:2222", "h.test", False),
        ("h.test", "[h.test]:2222", False),
        ("h?test", "h.test", True),
        ("[gh].test", "g.test", False),
    ],
)
def test_names_mean_what_they_mean_to_openssh(names: str, host: str, hit: bool) -> None:
    assert keys_of([host], [line(names)]) == {host: (KEY,) if hit else ()}


def test_a_revoked_key_and_an_authority_are_nobodys_key() -> None:
    texts = [line("h.test"), line("h.test", KEY, "@revoked"), line("h.test", OTHER, "@cert-authority")]

    assert keys_of(["h.test"], texts) == {"h.test": ()}


def test_hashed_names_are_found(tmp_path: Path) -> None:
    file = tmp_path / "known"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "k")], check=True)
    kind, key = (tmp_path / "k.pub").read_text().split()[:2]
    file.write_text(f"h.test {kind} {key}\n[h.test]:2222 {kind} {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(file)], check=True, capture_output=True)
    assert "h.test" not in file.read_text()

    found = keys_of(["h.test", "[h.test]:2222", "o.test"], [file.read_text()])

    blob = base64.b64decode(key)
    assert found == {"h.test": (blob,), "[h.test]:2222": (blob,), "o.test": ()}
    assert lines_for({"h.test": (blob,)}).decode() == f"h.test {kind} {key}\n"


def test_nonsense_is_no_key() -> None:
    assert keys_of(["h"], ["h\nh rsa\nh rsa !!!\n# h rsa AAAA\n|1|x|y rsa AAAA\n|1| rsa AAAA\n"]) == {"h": ()}
