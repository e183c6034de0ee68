"""The event loop of the data path: nobody waits for ever behind somebody who always has something to do."""

from __future__ import annotations

import asyncio
import socket

from ringfence.egress.engine import READABLE, Engine


async def test_a_connection_that_never_stops_leaves_the_event_loop_its_turns() -> None:
    engine = Engine()
    turns = 0

    def turn() -> None:
        nonlocal turns
        turns += 1
        engine.again(turn)

    try:
        engine.again(turn)
        async with asyncio.timeout(5):
            for _ in range(20):
                await asyncio.sleep(0)
    finally:
        engine.close()

    assert turns >= 20


async def test_a_descriptor_that_is_used_again_in_the_same_turn_gets_no_event_of_the_one_before() -> None:
    engine = Engine()
    (first, first_peer), (second, second_peer) = socket.socketpair(), socket.socketpair()
    seen: list[str] = []

    def end(events: int) -> None:
        for sock in (first, second):
            if sock.fileno() >= 0:
                engine.discard(sock)
        ours, theirs = socket.socketpair()
        # The numbers of the discarded ones are still taken.
        assert {ours.fileno(), theirs.fileno()}.isdisjoint(numbers)
        ours.close()
        theirs.close()
        seen.append("ended" if events & READABLE else "")

    numbers = {first.fileno(), second.fileno()}
    try:
        for sock, peer in ((first, first_peer), (second, second_peer)):
            sock.setblocking(False)
            engine.watch(sock, end)
            peer.send(b"x")
        async with asyncio.timeout(5):
            while not seen:
                await asyncio.sleep(0)
            await asyncio.sleep(0)
    finally:
        engine.close()
        first_peer.close()
        second_peer.close()

    assert seen == ["ended"]
