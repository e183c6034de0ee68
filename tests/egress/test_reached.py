"""Where requests of one connection went."""

from __future__ import annotations

from ringfence.egress.reached import Reached
from ringfence.model.host import Destination, parse_host


def at(name: str) -> Destination:
    return Destination(host=parse_host(name), port=443)


def test_only_what_a_connection_is_not_named_after_is_worth_saying() -> None:
    reached = Reached()

    nowhere = reached.beside(at("a.test"))
    reached.add(at("b.test"), "")
    reached.add(at("a.test"), "192.0.2.1")
    there = reached.beside(at("a.test"))
    reached.add(at("b.test"), "192.0.2.2")
    reached.add(at("b.test"), "192.0.2.2")

    assert (nowhere, there) == ((), ())
    assert reached.beside(at("a.test")) == ("a.test:443", "b.test:443")
    assert reached.beside(at("b.test")) == ("a.test:443", "b.test:443")
