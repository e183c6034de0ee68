"""A WebSocket between a client and a server: each message is whole before the steps see it, and is framed anew behind
them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import msgspec

from ringfence.egress.exchange import Side
from ringfence.egress.inspection import Chain, Held, Steps
from ringfence.egress.leg import Leg
from ringfence.egress.websocket_frames import Control, FrameInvalid, FrameReader, Item, Message, Opcode, frame
from ringfence.model.decision import Decision, Verdict

POLICY_VIOLATION = 1008
_ENOUGH = 262_144
_ROUNDS = 16
_LONGEST_REASON = 123


class Owner(Protocol):
    """Who runs it."""

    def held(self, side: Side, held: Held) -> None:
        """A step holds a message. `WebSocket.resume` goes on, or the owner ends it."""
        ...

    def hold_bytes(self, size: int) -> bool:
        """Hold so many bytes of messages that are not complete. False: there is no room, and it is over."""
        ...

    def again(self) -> None:
        """Call `WebSocket.move` after the others had their turn."""
        ...

    def websocket_over(self, error: str) -> None:
        """Both said goodbye, one went away, or somebody did not keep to the protocol."""
        ...


class WebSocket:
    """Both directions of one."""

    def __init__(
        self,
        owner: Owner,
        client: Leg,
        server: Leg,
        steps: tuple[Steps, ...],
        *,
        unread: bytes,
        rest: bytes,
        fault: Callable[[], Decision],
    ) -> None:
        self._owner = owner
        self._legs = {Side.UP: (client, server), Side.DOWN: (server, client)}
        self._chains = {Side.UP: Chain(steps, fault), Side.DOWN: Chain(steps, fault)}
        self._readers = {Side.UP: FrameReader(masked=True), Side.DOWN: FrameReader(masked=False)}
        self._readers[Side.UP].feed(unread)
        self._readers[Side.DOWN].feed(rest)
        self._held: dict[Side, bool] = {}
        """The directions in which a message waits for an answer, and whether it is text."""
        self._closed: set[Side] = set()
        self._over = False

    def move(self) -> None:
        """Move what can be moved, both ways."""
        for side in (Side.UP, Side.DOWN):
            if not self._over:
                try:
                    self._move(side)
                except FrameInvalid as invalid:
                    self._end(str(invalid))

    def resume(self, side: Side, held: Held) -> None:
        """What was held may go on."""
        text = self._held.pop(side)
        self._deliver(side, self._chains[side].run(held.data, _step(side, text=text), resume=True), text=text)
        self.move()

    def refuse(self, reason: str) -> None:
        """Tell both sides why it ends, in their own protocol."""
        words = POLICY_VIOLATION.to_bytes(2, "big") + reason.encode()[:_LONGEST_REASON].decode(errors="ignore").encode()
        for side in (Side.UP, Side.DOWN):
            self._write(side, Opcode.CLOSE, words)

    def _move(self, side: Side) -> None:
        source, sink = self._legs[side]
        for _ in range(_ROUNDS):
            while side not in self._held and not self._over and sink.waiting <= _ENOUGH:
                item = self._readers[side].next()
                if item is None:
                    break
                self._take(side, item)
            else:
                return None
            data = source.read() if source.ready else None
            held = sum(one.held for one in self._readers.values())
            if data is None:
                self._owner.hold_bytes(held)  # less than before, where messages went on
                return None
            if not data:
                return self._end("" if self._closed else "one side went away without a goodbye")
            if not self._owner.hold_bytes(held + len(data)):
                self._over = True
                return None
            self._readers[side].feed(data)
        self._owner.again()
        return None

    def _take(self, side: Side, item: Item) -> None:
        match item:
            case Message(data=data, text=text):
                self._deliver(side, self._chains[side].run(data, _step(side, text=text)), text=text)
            case Control(opcode=opcode, data=data):
                if data:
                    # SECURITY: a ping has room for words too, in both directions. Nobody is asked about one.
                    passed = self._chains[side].run(data, _step(side, text=False))
                    if isinstance(passed, Held):
                        self._held[side] = False
                        denied = msgspec.structs.replace(passed.decision, verdict=Verdict.DENY)
                        return self._owner.held(side, Held(decision=denied))
                    data = passed if side is Side.DOWN else data
                self._write(side, opcode, data)
                if opcode is Opcode.CLOSE:
                    self._closed.add(side)
                    if len(self._closed) == 2:
                        self._end("")
        return None

    def _deliver(self, side: Side, passed: bytes | Held, *, text: bool) -> None:
        if isinstance(passed, Held):
            self._held[side] = text
            self._owner.held(side, passed)
        else:
            self._write(side, Opcode.TEXT if text else Opcode.BINARY, passed)

    def _write(self, side: Side, opcode: Opcode, data: bytes) -> None:
        self._legs[side][1].write(frame(opcode, data, os.urandom(4) if side is Side.UP else None))

    def _end(self, error: str) -> None:
        if not self._over:
            self._over = True
            self._owner.websocket_over(error)


def _step(side: Side, *, text: bool) -> Callable[[Steps, bytes], bytes | Held]:
    """Shows a message of one kind to a step."""
    if side is Side.UP:
        return lambda step, data: step.message_sent(data, text=text)
    return lambda step, data: step.message_received(data, text=text)
