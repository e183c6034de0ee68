"""What the steps make of a request before it is sent: its head, and its body where the whole of it is there.

A generator, because any step may hold: what it yields waits for an answer, and what is sent in goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import TypeAlias

import msgspec

from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Amendment, Chain, Held, Request, Steps
from ringfence.model.decision import Decision

logger = logging.getLogger(__name__)


class Prepared(msgspec.Struct, frozen=True):
    """A request that is ready to be sent."""

    head: RequestHead
    body: bytes | None
    """The whole body; None where it is still on its way."""


Preparation: TypeAlias = Generator[Held, Held, Prepared]


def steps_of(amendments: tuple[Amendment, ...], request: Request) -> tuple[Steps, ...] | None:
    """The steps of everybody who wants to look into a request; None where one of them failed to say so."""
    try:
        return tuple([made for one in amendments if (made := one(request)) is not None])
    except Exception:
        logger.exception("an amendment failed")
        return None


def prepare(
    steps: tuple[Steps, ...], head: RequestHead, whole: bytes | None, fault: Callable[[], Decision]
) -> Preparation:
    """The request behind all its steps. `fault` is what a fault in one of them comes to."""
    chain = Chain(steps, fault)
    passed = chain.run(head, _request)
    while isinstance(passed, Held):
        held = yield passed
        assert isinstance(held.head, RequestHead)
        passed = chain.run(held.head, _request, resume=True)
    return Prepared(passed, None if whole is None else (yield from _body(chain, whole)))


def _body(chain: Chain, whole: bytes) -> Generator[Held, Held, bytes]:
    passed = chain.run(whole, _sent) if whole else b""
    while isinstance(passed, Held):
        held = yield passed
        passed = chain.run(held.data, _sent, resume=True)
    last = chain.finish(_sent, _all_sent)
    while isinstance(last, Held):
        held = yield last
        last = chain.finish(_sent, _all_sent, resumed=held.data)
    return passed + last


def _request(step: Steps, head: RequestHead) -> RequestHead | Held:
    return step.request(head)


def _sent(step: Steps, data: bytes) -> bytes | Held:
    return step.sent(data)


def _all_sent(step: Steps) -> bytes | Held:
    return step.all_sent()
