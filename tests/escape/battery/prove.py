"""Carries an attack out and judges it. The same steps with and without a sandbox: only the wrapping differs."""

from __future__ import annotations

import msgspec
from tests.escape.battery import source
from tests.escape.battery.arena import Arena
from tests.escape.battery.attack import Attack
from tests.escape.battery.ear import Ear
from tests.escape.battery.run import Streams, Wrap, start
from tests.escape.battery.stage import Person, Ran, Stage


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt."""

    ran: Ran
    evidence: str | None
    """How one sees that the attack worked; None when it did not."""

    def told(self) -> str:
        """Everything a person needs to understand a surprise."""
        return (
            f"evidence: {self.evidence}\nended: {self.ran.ended}, status {self.ran.status}\n"
            f"output: {self.ran.output[-2000:]}\nerrors: {self.ran.errors[-4000:]}"
        )


def carry_out(
    attack: Attack, wrap: Wrap, *, person: Person, secret: str, arena: Arena | None, timeout: float
) -> Result:
    """Build a stage, run the attack in it, look at the outcome, and clear everything away."""
    with Stage(person, secret) as stage:
        stage.file(f"{stage.outside}/notes", f"{secret}\n", mode=0o600)
        stage.file(f"{stage.outside}/input", "question\n", mode=0o400)
        for step in attack.setup:
            step(stage)
        if attack.arena and arena:
            stage.arena_prefix = arena.prefix(person)
            stage.ear = Ear(arena.listeners())
        if attack.first:
            earlier = source.command(attack.first, stage.fill(attack.first_arguments))
            start(stage, wrap(stage, earlier), Streams(timeout=timeout))
        argv = source.command(attack.program, stage.fill(attack.arguments))
        ran = start(stage, wrap(stage, argv), _streams(attack, timeout))
        if stage.ear:
            stage.ear.close()
        return Result(ran=ran, evidence=attack.oracle(stage, ran))


def _streams(attack: Attack, timeout: float) -> Streams:
    return Streams(stdin=attack.stdin, stderr=attack.stderr, terminal=attack.terminal, timeout=timeout)
