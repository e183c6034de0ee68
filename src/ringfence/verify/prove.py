"""Carries an attack out and judges it. The same steps with and without a sandbox: only the wrapping differs."""

from __future__ import annotations

import secrets

import msgspec

from ringfence.verify import source
from ringfence.verify.arena import Arena, Loopback
from ringfence.verify.attack import Attack, Words
from ringfence.verify.ear import Ear
from ringfence.verify.oracles import ORACLES
from ringfence.verify.run import Streams, Wrap, start
from ringfence.verify.setups import SETUPS
from ringfence.verify.stage import Person, Ran, Stage
from ringfence.verify.warm import Warm


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
    attack: Attack,
    wrap: Wrap,
    *,
    person: Person,
    arena: Arena | Loopback | None,
    timeout: float,
    warm: Warm | None = None,
) -> Result:
    """Build a stage, run the attack in it, look at the outcome, and clear everything away."""
    with Stage(person, secrets.token_hex(16)) as stage:
        stage.file(f"{stage.outside}/notes", f"{stage.secret}\n", mode=0o600)
        stage.file(f"{stage.outside}/input", "question\n", mode=0o400)
        for name, *words in attack.setup:
            SETUPS[name](stage, *words)
        if attack.arena and arena:
            stage.arena_prefix, stage.network = arena.prefix(person), arena.pid
            stage.words["own_port"] = str(arena.own_port)
            stage.ear = Ear(arena.listeners(), stage.origins)
        if attack.first:
            start(stage, wrap(stage, source.command(*_filled(stage, attack.first))), Streams(timeout=timeout), warm)
        argv = source.command(*_filled(stage, attack.attack))
        ran = start(stage, wrap(stage, argv), _streams(attack, timeout), warm)
        if stage.ear:
            stage.ear.close()
        name, *words = attack.works
        return Result(ran=ran, evidence=ORACLES[name](stage, ran, *words))


def _filled(stage: Stage, words: Words) -> tuple[str, tuple[str, ...]]:
    return words[0], stage.fill(words[1:])


def _streams(attack: Attack, timeout: float) -> Streams:
    return Streams(stdin=attack.stdin, stderr=attack.stderr, terminal=attack.terminal, timeout=timeout)
