"""Hosts, addresses and questions for names: one spelling, and the one that the C library takes."""

from __future__ import annotations

import ipaddress
import socket
import struct
from contextlib import suppress

from ringfence.egress.dns import Resolve
from ringfence.egress.synthetic import SyntheticAddresses
from ringfence.model.addresses import AddressKind, canonical, classify
from ringfence.model.host import Host, parse_host
from ringfence.model.host_pattern import HostPattern, PatternKind


def host(data: bytes) -> None:
    """A host has one spelling; what the C library takes for an address is that address here, or nothing."""
    for text in (data, data.decode("utf-8", "surrogateescape")):
        try:
            found = parse_host(text)
        except ValueError:
            continue
        assert parse_host(found.name) == found == parse_host(found.name.upper()), found
        assert parse_host(found.authority) == found
        _as_the_c_library(text, found)
        if found.address is not None:
            _classified(found.address)


def _as_the_c_library(text: str | bytes, found: Host) -> None:
    plain = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    with suppress(OSError, ValueError, UnicodeError):
        numeric = socket.inet_ntoa(socket.inet_aton(plain))
        if not any(character.isspace() for character in plain):
            assert found.address == numeric, (found, numeric)
    if found.address is None:
        for flags in (socket.AI_NUMERICHOST,):
            try:
                socket.getaddrinfo(found.name, 1, flags=flags)
            except (OSError, UnicodeError):
                continue
            raise AssertionError(("a name is an address to the C library", found))


def _classified(address: str) -> None:
    assert canonical(address) == address
    if classify(address).kind is AddressKind.GLOBAL:
        assert ipaddress.ip_address(address).is_global, address


def host_pattern(data: bytes) -> None:
    """A pattern, a line's end, a host: what is printed of a pattern is that pattern, and it matches whole labels."""
    text, _, name = data.decode("utf-8", "surrogateescape").partition("\n")
    try:
        pattern = HostPattern.parse(text)
    except ValueError:
        return
    assert HostPattern.parse(str(pattern)) == pattern, (pattern, str(pattern))
    for tried in (name, f"x.{pattern.name}", f"x{pattern.name}", f"{pattern.name}.x", pattern.name):
        with suppress(ValueError):
            _matches_labels(pattern, parse_host(tried))


def _matches_labels(pattern: HostPattern, found: Host) -> None:
    matched = pattern.matches(found, pattern.port or 443)
    labels, wanted = found.name.split("."), pattern.name.split(".")
    below = len(labels) > len(wanted) and labels[-len(wanted) :] == wanted
    match pattern.kind:
        case PatternKind.EXACT:
            assert matched == (labels == wanted)
        case PatternKind.SUBDOMAINS:
            assert matched == below
        case PatternKind.DOMAIN:
            assert matched == (below or labels == wanted)
        case PatternKind.NETWORK:
            assert not matched or found.address is not None
        case _:
            assert matched


def name_query(data: bytes) -> None:
    """An answer can be read, repeats its question, and is no longer than its question and one address."""
    names = SyntheticAddresses(8)
    answer = Resolve(names, 4).answer(data)
    if answer is None:
        assert len(data) < 12 or data[2] & 0x80
        return
    _, flags, questions, answers, authorities, more = struct.unpack_from(">6H", answer)
    assert (answer[:2], flags & 0x8000) == (data[:2], 0x8000)
    assert (authorities, more) == (0, 0) and questions <= 1 and answers <= questions
    question = answer[12:] if not answers else answer[12 : -(12 + int.from_bytes(_length_of(answer), "big"))]
    assert data[12 : 12 + len(question)] == question
    assert len(answer) <= 12 + 255 + 4 + 28, len(answer)


def _length_of(answer: bytes) -> bytes:
    """The length of the only record's data: 4 for IPv4, 16 for IPv6."""
    end = answer.index(b"\0", 12)
    at = 12
    while answer[at]:
        at += 1 + answer[at]
    assert at >= end
    return answer[at + 5 + 10 : at + 5 + 12]
