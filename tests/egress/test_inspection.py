"""The chain of steps that every inspected request goes through."""

from __future__ import annotations

from ringfence.egress.inspection import Chain, Held, Steps
from ringfence.egress.refusal import built_in
from ringfence.model.action import ConnectAction

FOUND = built_in(ConnectAction(host="a.test", port=443), "content.secret", "it holds a secret")

FAULT = built_in(ConnectAction(host="a.test", port=443), "gateway.error", "a step failed")


class Marks(Steps):
    """Puts its mark behind every piece, and one at the end."""

    def __init__(self, mark: bytes) -> None:
        self.mark = mark

    def sent(self, data: bytes) -> bytes | Held:
        return data + self.mark

    def all_sent(self) -> bytes | Held:
        return b"$" + self.mark


class Holds(Steps):
    """Holds every piece and the end."""

    def sent(self, data: bytes) -> bytes | Held:
        return Held(decision=FOUND, data=data)

    def all_sent(self) -> bytes | Held:
        return Held(decision=FOUND, data=b"!")


def sent(step: Steps, data: bytes) -> bytes | Held:
    return step.sent(data)


def all_sent(step: Steps) -> bytes | Held:
    return step.all_sent()


def test_every_piece_goes_through_all_steps_in_order() -> None:
    assert Chain([Marks(b"1"), Marks(b"2")], lambda: FAULT).run(b"x", sent) == b"x12"


def test_what_a_step_kept_back_goes_through_the_steps_behind_it() -> None:
    assert Chain([Marks(b"1"), Marks(b"2")], lambda: FAULT).finish(sent, all_sent) == b"$12$2"


def test_a_yes_to_a_held_piece_goes_on_behind_the_step_that_held_it() -> None:
    chain = Chain([Marks(b"1"), Holds(), Marks(b"3")], lambda: FAULT)

    held = chain.run(b"x", sent)

    assert held == Held(decision=FOUND, data=b"x1", by=chain.steps[1])
    assert chain.run(b"x1", sent, resume=True) == b"x13"


def test_a_yes_to_the_end_goes_on_where_each_step_held_it() -> None:
    chain = Chain([Marks(b"1"), Holds(), Marks(b"3")], lambda: FAULT)

    first = chain.finish(sent, all_sent)
    second = chain.finish(sent, all_sent, resumed=b"$1")
    last = chain.finish(sent, all_sent, resumed=b"!")

    assert first == Held(decision=FOUND, data=b"$1", by=chain.steps[1])
    assert second == Held(decision=FOUND, data=b"!", by=chain.steps[1])
    assert last == b"$1!3$3"
