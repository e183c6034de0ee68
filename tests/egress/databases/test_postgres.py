"""The login to PostgreSQL without sockets: who gets in, and that nobody else is shown the password."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.egress.credentials.secret import Credential, Secret
from ringfence.egress.databases.postgres import Login, State
from ringfence.policy.effective import (
    BUILT_IN,
    Attach,
    CredentialForm,
    CredentialRule,
    CredentialSource,
    SourceKind,
)

VALUE, SHOWN = "the-real-password", "the-placeholder-of-it"
SSL = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
GSS = (8).to_bytes(4, "big") + (80877104).to_bytes(4, "big")
CANCEL = (16).to_bytes(4, "big") + (80877102).to_bytes(4, "big") + bytes(8)
OK = b"R" + (8).to_bytes(4, "big") + bytes(4)
READY = b"Z" + (5).to_bytes(4, "big") + b"I"


def credential(user: str = "app", attach: Attach = Attach.PLACEHOLDER) -> Credential:
    rule = CredentialRule(
        id="db",
        source=CredentialSource(kind=SourceKind.KEYRING, name="db"),
        form=CredentialForm.POSTGRES,
        user=user,
        hosts=("db.test:5432",),
        attach=attach,
        origin=BUILT_IN,
    )
    return Credential(rule=rule, secret=Secret(VALUE), placeholder=SHOWN)


def login(*credentials: Credential, can_tls: bool = True) -> Login:
    return Login(credentials or (credential(),), lambda size: b"n" * size, can_tls=can_tls, used=lambda *_: None)


def startup(user: bytes = b"app", *more: bytes, version: int = 196608) -> bytes:
    content = version.to_bytes(4, "big") + b"\0".join((b"user", user, b"database", b"shop", *more)) + b"\0\0"
    return (len(content) + 4).to_bytes(4, "big") + content


def message(kind: bytes, content: bytes) -> bytes:
    return kind + (len(content) + 4).to_bytes(4, "big") + content


def authentication(code: int, content: bytes = b"") -> bytes:
    return message(b"R", code.to_bytes(4, "big") + content)


def taken(side: str, of: Login) -> bytes:
    found: bytes = getattr(of, side)
    setattr(of, side, b"")
    return found


def at_server(of: Login) -> Login:
    """A login whose client has shown the placeholder, and whose server speaks TLS now."""
    of.client_said(startup())
    of.client_said(message(b"p", SHOWN.encode() + b"\0"))
    assert taken("to_server", of) == SSL
    of.server_said(b"S")
    assert of.state is State.SERVER_TLS
    of.server_is_secure()
    assert taken("to_server", of) == startup()
    taken("to_client", of)
    return of


class Server:
    """The other side of SCRAM, which knows a password."""

    def __init__(self, password: str) -> None:
        self.salt = b"salt"
        self.salted = hashlib.pbkdf2_hmac("sha256", password.encode(), self.salt, 4096)

    def challenge(self, first: bytes) -> bytes:
        self.first = first.rpartition(b",,")[2]
        nonce = self.first.partition(b"r=")[2] + b"more"
        self.said = b"r=" + nonce + b",s=" + b64encode(self.salt) + b",i=4096"
        return self.said

    def final(self, proof: bytes) -> tuple[bool, bytes]:
        bare, _, shown = proof.rpartition(b",p=")
        signed = b",".join((self.first, self.said, bare))
        key = hmac.digest(self.salted, b"Client Key", "sha256")
        mine = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        knows = bytes(one ^ other for one, other in zip(b64decode(shown), mine, strict=True)) == key
        return knows, b"v=" + b64encode(
            hmac.digest(hmac.digest(self.salted, b"Server Key", "sha256"), signed, "sha256")
        )


def scram(of: Login, server: Server) -> tuple[bool, bytes]:
    of.server_said(authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"))
    first = taken("to_server", of)
    assert first.startswith(b"p") and b"SCRAM-SHA-256\0" in first
    of.server_said(authentication(11, server.challenge(first)))
    return server.final(taken("to_server", of)[5:])


def test_who_shows_the_placeholder_is_logged_in_and_what_follows_passes_untouched() -> None:
    one = at_server(login())

    knows, final = scram(one, Server(VALUE))
    one.server_said(authentication(12, final) + OK + READY)
    one.client_said(b"query")
    one.server_said(b"rows")

    assert knows
    assert one.state is State.OPEN
    assert one.to_client == OK + READY + b"rows"
    assert one.to_server == b"query"


def test_a_server_that_does_not_know_the_password_is_not_spoken_to() -> None:
    one = at_server(login())

    _, final = scram(one, Server("another"))
    one.server_said(authentication(12, final) + OK)

    assert one.state is State.OVER
    assert one.refusal is not None and one.refusal.rule == "credentials.server"


@pytest.mark.parametrize("said", [OK, authentication(11, b"r=x,s=eA==,i=1") + OK])
def test_a_server_cannot_skip_its_own_proof(said: bytes) -> None:
    one = at_server(login())
    one.server_said(authentication(10, b"SCRAM-SHA-256\0\0"))

    one.server_said(said)

    assert one.refusal is not None and one.refusal.rule == "credentials.server"


def test_older_ways_of_showing_a_password_go_over_tls() -> None:
    clear, digest = at_server(login()), at_server(login())
    clear.server_said(authentication(3))
    digest.server_said(authentication(5, b"salt"))

    assert clear.to_server == message(b"p", VALUE.encode() + b"\0")
    inner = hashlib.md5(f"{VALUE}app".encode()).hexdigest()
    assert digest.to_server == message(
        b"p", b"md5" + hashlib.md5(inner.encode() + b"salt").hexdigest().encode() + b"\0"
    )


@pytest.mark.parametrize("offer", [b"N", b"E", b"Sx", b"SR"])
def test_a_server_without_tls_gets_nothing(offer: bytes) -> None:
    one = login()
    one.client_said(startup() + message(b"p", SHOWN.encode() + b"\0"))
    taken("to_server", one)

    one.server_said(offer)

    assert one.to_server == b""
    assert one.refusal is not None and one.refusal.rule == "credentials.clear"


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (startup(b"mallory"), "credentials.foreign"),
        (startup() + message(b"p", b"another\0"), "credentials.foreign"),
        (startup() + message(b"p", b"\0"), "credentials.foreign"),
        (startup() + message(b"Q", b"select 1\0"), "protocol.malformed"),
        (startup(b"app", b"user", b"mallory"), "protocol.malformed"),
        (startup(version=131072), "protocol.malformed"),
        (SSL + startup(), "protocol.malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", "protocol.malformed"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "protocol.malformed"),
    ],
)
def test_whoever_else_wants_in_is_refused_before_the_server_hears_of_it(said: bytes, rule: str) -> None:
    one = login()

    one.client_said(said)

    assert one.refusal is not None and one.refusal.rule == rule
    assert one.to_server == b""
    assert one.to_client.endswith(b"\0\0")


def test_a_client_may_ask_for_tls_and_is_answered_as_the_gateway_can() -> None:
    with_tls, without = login(), login(can_tls=False)
    with_tls.client_said(SSL)
    without.client_said(GSS + b"")
    without.client_said(SSL)

    assert (with_tls.to_client, with_tls.state) == (b"S", State.CLIENT_TLS)
    assert (without.to_client, without.state) == (b"NN", State.STARTUP)
    with_tls.client_is_secure()
    with_tls.client_said(startup())
    assert with_tls.state is State.PASSWORD


def test_of_two_credentials_the_one_of_the_user_is_taken() -> None:
    other = Credential(rule=credential("admin").rule, secret=Secret("x" * 10), placeholder="the-admins-placeholder")
    one = login(other, credential())

    one.client_said(startup() + message(b"p", b"the-admins-placeholder\0"))

    assert one.refusal is not None and one.refusal.rule == "credentials.foreign"


def test_what_is_always_attached_needs_no_placeholder_and_still_the_right_user() -> None:
    one, other = login(credential(attach=Attach.ALWAYS)), login(credential(attach=Attach.ALWAYS))

    one.client_said(startup())
    other.client_said(startup(b"mallory"))

    assert one.state is State.SERVER_OFFER
    assert other.state is State.OVER


def test_a_query_is_cancelled_without_a_login() -> None:
    one = login()
    one.client_said(CANCEL)
    assert taken("to_server", one) == SSL
    one.server_said(b"S")
    one.server_is_secure()

    assert (one.to_server, one.state) == (CANCEL, State.OVER)


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=12), st.booleans())
def test_whatever_both_sides_say_nothing_fails_and_the_password_goes_nowhere_else(
    pieces: list[tuple[bool, bytes]], in_middle: bool
) -> None:
    one = at_server(login()) if in_middle else login()

    for of_client, data in pieces:
        if one.state in (State.CLIENT_TLS, State.SERVER_TLS, State.OVER):
            break
        (one.client_said if of_client else one.server_said)(data)

    assert VALUE.encode() not in one.to_client


@given(st.integers(1, 40))
def test_it_does_not_matter_where_the_bytes_are_cut(size: int) -> None:
    whole, cut = login(), login()
    said = GSS + startup() + message(b"p", SHOWN.encode() + b"\0")

    whole.client_said(said)
    for start in range(0, len(said), size):
        cut.client_said(said[start : start + size])

    assert (cut.to_client, cut.to_server, cut.state) == (whole.to_client, whole.to_server, whole.state)
