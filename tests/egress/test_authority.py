"""The session's certificate authority: what its certificates say, and that strict clients take them."""

from __future__ import annotations

import contextlib
import datetime
import ssl

import pytest
from tests.descriptors import opened

from ringfence.egress.authority import Authority
from ringfence.model.host import parse_host

NOW = datetime.datetime.now(datetime.UTC)


def handshake(authority: Authority, name: str, *, expects: str | None = None) -> ssl.SSLObject:
    """A client that verifies as strictly as it can, and the context for `name`, in memory."""
    client_context = ssl.create_default_context(cadata=authority.pem.decode())
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    client_context.set_alpn_protocols(["h2", "http/1.1"])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = authority.context(parse_host(name)).wrap_bio(to_server, to_client, server_side=True)
    client = client_context.wrap_bio(to_client, to_server, server_hostname=expects or name)
    for _ in range(4):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return client


@pytest.mark.parametrize("name", ["a.test", "xn--bcher-kva.test", "10.1.2.3", "fd00::1", f"{'long.' * 20}test"])
def test_a_strict_client_takes_the_certificate_of_its_host(name: str) -> None:
    client = handshake(Authority("s1", NOW), name)

    assert client.selected_alpn_protocol() == "http/1.1"


def test_no_host_s_certificate_serves_another() -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"b\.test"):
        handshake(Authority("s1", NOW), "a.test", expects="b.test")


def test_a_host_s_context_is_made_once() -> None:
    authority = Authority("s1", NOW)

    assert authority.context(parse_host("a.test")) is authority.context(parse_host("a.test"))


def test_the_key_is_nowhere_on_a_disk() -> None:
    before = opened()

    Authority("s1", NOW).context(parse_host("a.test"))

    assert opened() - before == frozenset()
