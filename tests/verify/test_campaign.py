"""The internets that attacks are handed: never one for two, and none asked for again once the machine refused."""

from __future__ import annotations

from ringfence.verify.arena import Arena
from ringfence.verify.campaign import Arenas


class Bare(Arena):
    """An arena without a namespace."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Machine:
    """Gives so many arenas and then refuses."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.made: list[Bare] = []
        self.asked = 0

    def make(self) -> Arena:
        self.asked += 1
        if len(self.made) == self.room:
            raise OSError("no namespace could be made")
        self.made.append(Bare())
        return self.made[-1]


def test_two_attacks_at_once_never_share_an_internet() -> None:
    machine = Machine(2)
    with Arenas(machine.make) as places:
        taken = [places.take(), places.take()]

        assert taken == machine.made


def test_an_internet_that_was_given_back_serves_the_next_attack() -> None:
    machine = Machine(2)
    with Arenas(machine.make) as places:
        first = places.take()
        assert first
        places.give(first)

        assert places.take() is first
        assert machine.asked == 1


def test_after_a_refusal_what_was_given_back_is_still_taken_and_nothing_new_is_asked_for() -> None:
    machine = Machine(1)
    with Arenas(machine.make) as places:
        first = places.take()
        assert first
        refused = places.take()
        places.give(first)

        assert (refused, places.take(), places.take()) == (None, first, None)
        assert machine.asked == 2


def test_every_internet_is_closed_at_the_end() -> None:
    machine = Machine(2)
    with Arenas(machine.make) as places:
        first = places.take()
        places.take()
        assert first
        places.give(first)

    assert [arena.closed for arena in machine.made] == [True, True]
