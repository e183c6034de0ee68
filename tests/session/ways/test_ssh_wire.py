"""The filter before the ssh-agent, message by message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ringfence.session.ways.ssh_wire import FAILURE, AgentFilter, Forwarded, Refusal, fingerprint

KEY, OTHER_KEY, HOST, OTHER_HOST, SESSION = b"key", b"other key", b"host key", b"other host", b"session"
PERMITTED = {fingerprint(KEY): {HOST: "h.test"}}
SUCCESS = b"\x06"


def texts(*values: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(value)) + value for value in values)


def bind(host: bytes = HOST, session: bytes = SESSION, forwarding: int = 0) -> bytes:
    return b"\x1b" + texts(b"session-bind@openssh.com", host, session, b"signature") + bytes((forwarding,))


def login(
    session: bytes = SESSION, key: bytes = KEY, method: bytes = b"publickey", service: bytes = b"ssh-connection"
) -> bytes:
    end = texts(HOST) if b"hostbound" in method else b""
    return texts(session) + b"\x32" + texts(b"git", service, method) + b"\x01" + texts(b"ssh-ed25519", key) + end


def sign(data: bytes, key: bytes = KEY) -> bytes:
    return b"\x0d" + texts(key, data) + bytes(4)


def bound(host: bytes = HOST) -> AgentFilter:
    judging = AgentFilter({**PERMITTED, fingerprint(OTHER_KEY): {OTHER_HOST: "o.test"}})
    request = judging.asked(bind(host))
    assert isinstance(request, Forwarded)
    assert judging.answered(request, SUCCESS) == SUCCESS
    return judging


@pytest.mark.parametrize("method", [b"publickey", b"publickey-hostbound-v00@openssh.com"])
def test_a_login_to_the_bound_host_is_signed(method: bytes) -> None:
    judging = bound()
    request = judging.asked(sign(login(method=method)))

    assert isinstance(request, Forwarded)
    assert judging.answered(request, b"\x0esignature") == b"\x0esignature"
    assert judging.signing == f"{fingerprint(KEY)} for h.test"


@pytest.mark.parametrize(
    "message",
    [
        sign(login(session=b"another session")),
        sign(login(key=OTHER_KEY)),
        sign(login(), key=OTHER_KEY),
        sign(login(), key=b"unknown"),
        sign(login(service=b"ssh-userauth")),
        sign(login(method=b"hostbased")),
        sign(b"SSHSIG" + texts(b"git", b"", b"sha512", b"digest")),
        sign(login() + b"more"),
        sign(b""),
        sign(login()) + b"more",
        bind(),
        bind(forwarding=1),
    ],
)
def test_nothing_else_is_signed(message: bytes) -> None:
    assert isinstance(bound().asked(message), Refusal)


def test_nothing_is_signed_before_the_agent_has_verified_the_host() -> None:
    judging = AgentFilter(PERMITTED)

    assert isinstance(judging.asked(sign(login())), Refusal)
    request = judging.asked(bind())
    assert isinstance(request, Forwarded)
    assert judging.answered(request, FAILURE) == FAILURE
    assert isinstance(judging.asked(sign(login())), Refusal)


def test_a_key_does_not_sign_for_the_host_of_another() -> None:
    assert isinstance(bound(OTHER_HOST).asked(sign(login())), Refusal)


def test_a_host_that_no_rule_names_is_not_bound_to() -> None:
    assert isinstance(AgentFilter(PERMITTED).asked(bind(OTHER_HOST)), Refusal)


def test_a_forwarded_connection_is_never_used_again() -> None:
    judging = AgentFilter(PERMITTED)
    assert isinstance(judging.asked(bind(forwarding=1)), Refusal)

    assert all(isinstance(judging.asked(message), Refusal) for message in (bind(), b"\x0b", sign(login())))


def test_only_the_keys_of_the_rules_are_listed() -> None:
    judging = AgentFilter(PERMITTED)
    request = judging.asked(b"\x0b")
    assert isinstance(request, Forwarded)

    listed = b"\x0c" + struct.pack(">I", 2) + texts(OTHER_KEY, b"personal", KEY, b"deploy")

    assert judging.answered(request, listed) == b"\x0c" + struct.pack(">I", 1) + texts(KEY, b"deploy")
    assert judging.answered(request, b"\x0c" + struct.pack(">I", 9) + texts(KEY)) == FAILURE


def test_every_other_request_is_a_failure() -> None:
    others = [kind for kind in range(256) if kind not in (11, 13, 27)]

    assert [kind for kind in others if not isinstance(bound().asked(bytes((kind,)) + texts(KEY)), Refusal)] == []


@given(some.binary(max_size=200), some.sampled_from([b"", b"\x0b", b"\x0d", b"\x1b"]))
def test_no_bytes_are_too_strange(data: bytes, start: bytes) -> None:
    judging = AgentFilter(PERMITTED)

    request = judging.asked(start + data)

    assert isinstance(request, Refusal) or request.message == b"\x0b"
