"""What a side of an inspected connection knows about what may still be read, without trying to read it.

An edge is reported once: a leg that forgets one, or takes it for followed too early, waits for ever.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator

import pytest
from tests.egress.inspecting import inside, serving, session

from ringfence.egress.leg import TlsLeg
from ringfence.model.host import parse_host

Pair = tuple[TlsLeg, TlsLeg]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    server = TlsLeg(ours, session().context(parse_host("a.test")), server_name=None)
    client = TlsLeg(theirs, inside(), server_name="a.test")
    done: set[int] = set()
    while len(done) < 2:
        done |= {number for number, leg in enumerate((server, client)) if leg.handshake()}
    while client.read() is not None:
        """Tickets."""
    yield server, client
    server.sock.close()
    client.sock.close()


def test_a_leg_that_was_read_to_its_end_waits_for_an_edge(pair: Pair) -> None:
    server, client = pair
    client.write(b"all of it")

    assert (server.read(), server.ready) == (b"all of it", False)


def test_a_leg_with_another_record_behind_the_first_goes_on(pair: Pair) -> None:
    server, client = pair
    client.write(b"first")
    client.write(b"second")

    assert (server.read(), server.ready) == (b"first", True)
    assert (server.read(), server.ready) == (b"second", False)


@pytest.mark.parametrize("end", [lambda client: client.finish().close(), lambda client: client.sock.close()])
def test_a_leg_whose_other_side_ended_behind_its_bytes_goes_on(pair: Pair, end: Callable[[TlsLeg], object]) -> None:
    server, client = pair
    client.write(b"last words")
    end(client)
    server.stirred(select.EPOLLIN | select.EPOLLRDHUP)

    assert (server.read(), server.ready) == (b"last words", True)
    assert (server.read(), server.ended) == (b"", True)


def test_an_end_that_comes_behind_the_last_read_makes_an_edge(pair: Pair) -> None:
    server, client = pair
    with select.epoll() as poll:
        poll.register(server.sock, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
        client.write(b"last words")
        for _, events in poll.poll(1):
            server.stirred(events)
        assert (server.read(), server.ready) == (b"last words", False)

        client.sock.close()
        for _, events in poll.poll(1):
            server.stirred(events)
        assert server.ready


def test_a_leg_is_idle_until_its_other_side_speaks_or_goes(pair: Pair) -> None:
    server, client = pair

    assert server.idle()
    client.write(b"nobody asked")
    assert not server.idle()


def test_a_leg_whose_other_side_is_gone_is_not_idle(pair: Pair) -> None:
    server, client = pair
    client.sock.close()

    assert not server.idle()


def test_tickets_that_a_server_sends_when_it_likes_are_no_word_of_its() -> None:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
    context = serving()
    context.num_tickets = 2
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    server, client = TlsLeg(ours, context, server_name=None), TlsLeg(theirs, trusting, server_name="a.test")
    done: set[int] = set()
    while len(done) < 2:
        done |= {number for number, leg in enumerate((server, client)) if leg.handshake()}

    assert client.idle()
    server.sock.close()
    client.sock.close()
