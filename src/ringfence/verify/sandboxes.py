"""The ways to run an attack: as it is, or inside a tier of the sandbox. One more function tests another sandbox."""

from __future__ import annotations

import hashlib
from functools import cache

from ringfence.sandbox.probe import REQUIRED_B, probe
from ringfence.verify import source
from ringfence.verify.attack import Attack
from ringfence.verify.run import Wrap
from ringfence.verify.stage import Stage
from ringfence.verify.warm import COLD, WITHOUT_NAMESPACES


@cache
def possible_tiers() -> tuple[str, ...]:
    """The tiers that this machine's kernel can give and that the battery knows."""
    report = probe()
    gives = {fact.name for fact in report.facts if fact.ok}
    without = ("B",) if gives.issuperset(REQUIRED_B) else ()
    return ("A", *without) if report.tier == "A" else without


def plainly(attack: Attack) -> Wrap:
    """No sandbox; only what the attack needs to have something to attack."""
    return lambda stage, argv: (*attack.plainly, *argv)


def in_tier_a(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
    """One governed command, by the command line that people use."""
    return _governed(stage, argv, "--min-tier", "A")


def in_tier_b(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The same, where namespaces are forbidden and the person accepts the tier without them."""
    return (*WITHOUT_NAMESPACES, *_governed(stage, argv, "--min-tier", "B"))


TIERS: dict[str, Wrap] = {"A": in_tier_a, "B": in_tier_b}
"""Strongest first."""


def from_a_file(stage: Stage, argv: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The argv with the text of its program in a file of the stage, and that file; empty where there is none.

    SECURITY: as an argument, the rules for inline code would stop many of these attacks by their words, and the layer
    that has to stop them would not be tried.
    """
    if "-c" not in argv[:4]:
        return argv, ""
    at = argv.index("-c")
    file = f"{stage.base}/programs/{hashlib.sha256(argv[at + 1].encode()).hexdigest()[:16]}"
    stage.file(file, argv[at + 1])
    # A shell takes the word behind the text as its own name.
    rest = argv[at + 3 :] if argv[0].endswith("sh") else argv[at + 2 :]
    return (*argv[:at], file, *rest), file


def _governed(stage: Stage, argv: tuple[str, ...], *options: str) -> tuple[str, ...]:
    command, file = from_a_file(stage, argv)
    seen = tuple(word for place in (file, source.library()) if place for word in ("--read", place))
    return (*COLD, "exec", *options, *seen, "--workspace", stage.workspace, "--", *command)
