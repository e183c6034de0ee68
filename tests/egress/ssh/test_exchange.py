"""What is read of an SSH key exchange, and what is not let through. The packets are made by hand; the real ones are in
`test_real_ssh`."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.egress.ssh.exchange import KeyExchange, WrongKey, fingerprint, plain_key
from ringfence.egress.ssh.wire import SshInvalid, Stream, disconnect, packet

RIGHT = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(range(32))
WRONG = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
CURVE, GROUP = b"curve25519-sha256", b"diffie-hellman-group-exchange-sha256"
NEWKEYS = packet(b"\x15")


def text(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def offer(*exchanges: bytes) -> bytes:
    return packet(b"\x14" + bytes(16) + text(b",".join(exchanges)) + text(b"ssh-ed25519") + text(b"") * 8 + bytes(5))


def reply(key: bytes, kind: int = 31) -> bytes:
    return packet(bytes([kind]) + text(key) + text(b"public") + text(b"signature"))


def begun(*exchanges: bytes, server: tuple[bytes, ...] | None = None) -> KeyExchange:
    exchange = KeyExchange((fingerprint(RIGHT),))
    exchange.from_client(b"SSH-2.0-client\r\n" + offer(*exchanges))
    exchange.from_server(b"SSH-2.0-server\r\n" + offer(*(server or exchanges)))
    return exchange


def test_everything_passes_as_it_came_while_the_key_is_the_right_one() -> None:
    exchange = KeyExchange((fingerprint(RIGHT),))
    client = b"SSH-2.0-client\r\n" + offer(CURVE) + packet(b"\x1epublic")
    server = b"welcome\r\nSSH-2.0-server\r\n" + offer(CURVE) + reply(RIGHT) + NEWKEYS + b"encrypted"

    assert b"".join(exchange.from_client(client[at : at + 1]) for at in range(len(client))) == client
    assert b"".join(exchange.from_server(server[at : at + 1]) for at in range(len(server) - 9)) == server[:-9]
    assert exchange.over
    assert exchange.shown == fingerprint(RIGHT)


def test_what_is_behind_the_end_of_the_exchange_passes_with_it() -> None:
    server = reply(RIGHT) + NEWKEYS + b"encrypted"

    assert begun(CURVE).from_server(server) == server


def test_the_answer_with_another_key_does_not_pass() -> None:
    with pytest.raises(WrongKey, match=fingerprint(WRONG)):
        begun(CURVE).from_server(reply(WRONG))


def test_half_an_answer_does_not_pass() -> None:
    assert begun(CURVE).from_server(reply(RIGHT)[:-1]) == b""


def test_a_group_is_not_taken_for_a_key() -> None:
    exchange = begun(GROUP)
    group = packet(b"\x1f" + text(RIGHT) + text(b"\x02"))

    assert exchange.from_server(group) == group
    assert exchange.shown == ""
    with pytest.raises(WrongKey):
        exchange.from_server(reply(WRONG, 33))


def test_every_answer_is_checked_and_not_only_the_first() -> None:
    exchange = begun(CURVE)
    exchange.from_server(reply(RIGHT))

    with pytest.raises(WrongKey):
        exchange.from_server(reply(WRONG))


def test_the_encryption_does_not_begin_before_a_key_was_shown() -> None:
    with pytest.raises(SshInvalid, match="message 21 before its key is known"):
        begun(CURVE).from_server(NEWKEYS)


@pytest.mark.parametrize("exchange", [b"gss-group14-sha256-toWM5Slw5Ew8Mqkay+al2g==", b"rsa2048-sha256", b"none"])
def test_a_key_exchange_that_shows_no_key_is_refused(exchange: bytes) -> None:
    with pytest.raises(SshInvalid, match="shows no host key"):
        begun(exchange).from_server(reply(RIGHT))


def test_the_clients_choice_counts_and_not_the_servers() -> None:
    exchange = begun(GROUP, CURVE, server=(CURVE, GROUP))

    exchange.from_server(reply(WRONG))  # the group of an exchange with groups

    assert exchange.shown == ""


def test_a_second_offer_is_refused() -> None:
    with pytest.raises(SshInvalid, match="message 20"):
        begun(CURVE).from_server(offer(GROUP))


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-1.5-old\r\n",
        b"SSH-2.0-" + b"x" * 300 + b"\r\n",
        b"SSH-2.0-nul\0\r\n",
        b"GET / HTTP/1.1\r\n",
        b"x" * 10_000,
    ],
)
def test_what_is_not_the_version_of_a_client_is_refused(said: bytes) -> None:
    with pytest.raises(SshInvalid):
        KeyExchange(()).from_client(said)


IMPOSSIBLE = (b"\0\0\0\0\x04", b"\xff\xff\xff\xff\x04", b"\0\0\0\x0c\x03", b"\0\0\0\x0d\x04", b"\0\0\0\x0c\x0c")
"""A length and a padding each."""


@pytest.mark.parametrize("head", IMPOSSIBLE)
def test_a_packet_of_an_impossible_length_is_refused(head: bytes) -> None:
    exchange = KeyExchange(())

    with pytest.raises(SshInvalid, match="impossible length"):
        exchange.from_server(b"SSH-2.0-server\r\n" + head + bytes(32))


def test_a_key_in_what_a_server_says_before_its_version_goes_nowhere() -> None:
    exchange = KeyExchange(())

    with pytest.raises(SshInvalid, match="no text has"):
        exchange.from_server(b"hello\n" + reply(WRONG) + b"\n")


def test_an_exchange_that_never_ends_is_refused() -> None:
    exchange = begun(CURVE)

    with pytest.raises(SshInvalid, match="does not begin within"):
        for _ in range(10_000):
            exchange.from_server(packet(b"\x02" + text(bytes(100))))


def test_the_key_in_a_certificate_is_the_key_itself() -> None:
    certificate = text(b"ssh-ed25519-cert-v01@openssh.com") + text(b"nonce") + RIGHT[15:] + bytes(200)

    assert plain_key(certificate) == RIGHT


def test_a_key_of_a_token_in_a_certificate_has_its_vendors_name() -> None:
    fields = text(bytes(32)) + text(b"ssh:")
    certificate = text(b"sk-ssh-ed25519-cert-v01@openssh.com") + text(b"nonce") + fields + bytes(200)

    assert plain_key(certificate) == text(b"sk-ssh-ed25519@openssh.com") + fields


def test_the_packet_that_ends_a_connection_can_be_read_again() -> None:
    stream = Stream(lines=False)
    stream.feed(b"SSH-2.0-ringfence\r\n" + disconnect("no:\n  because"))

    stream.next()
    part = stream.next()

    assert part is not None
    assert part.payload == b"\x01\0\0\0\x09" + text(b"no: because") + text(b"")


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=80)), max_size=12))
@settings(max_examples=300, deadline=None)
def test_nothing_but_a_refusal_comes_of_any_bytes(parts: list[tuple[bool, bytes]]) -> None:
    exchange = KeyExchange((fingerprint(RIGHT),))
    exchange.from_server(b"SSH-2.0-server\r\n")
    try:
        for client, data in parts:
            (exchange.from_client if client else exchange.from_server)(data)
    except (SshInvalid, WrongKey):
        return
    assert not exchange.over


@pytest.mark.slow
@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_change_of_any_byte_lets_another_key_through(data: st.DataObject) -> None:
    server = bytearray(offer(CURVE) + reply(WRONG) + NEWKEYS)
    for _ in range(data.draw(st.integers(0, 6))):
        server[data.draw(st.integers(0, len(server) - 1))] = data.draw(st.integers(0, 255))
    exchange = KeyExchange((fingerprint(RIGHT),))
    exchange.from_client(b"SSH-2.0-client\r\n" + offer(CURVE, GROUP))
    exchange.from_server(b"SSH-2.0-server\r\n")
    try:
        exchange.from_server(bytes(server) + os.urandom(8))
    except (SshInvalid, WrongKey):
        return
    assert exchange.shown in ("", fingerprint(RIGHT))
    assert not exchange.over
