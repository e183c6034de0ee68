"""The ways to run an attack: as it is, or inside the sandbox. One more function puts another sandbox to the test."""

from __future__ import annotations

import os
import sys

from tests.escape.battery.attack import Attack
from tests.escape.battery.run import Wrap
from tests.escape.battery.stage import Stage

from ringfence.sandbox.probe import require

_RINGFENCE = (sys.executable, "-c", "import sys; from ringfence.cli.entry import main; sys.exit(main())")

_NO_NAMESPACES = os.path.join(os.path.dirname(__file__), "..", "..", "sandbox", "no_namespaces.py")


def possible_tiers() -> tuple[str, ...]:
    """The tiers that this machine's kernel can give."""
    return require("C")


def plainly(attack: Attack) -> Wrap:
    """No sandbox; only what the attack needs to have something to attack."""
    return lambda stage, argv: (*attack.plainly, *argv)


def in_tier_b(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The same, where namespaces are forbidden and the person accepts the tier without them."""
    container = (sys.executable, _NO_NAMESPACES)
    return (*container, *_RINGFENCE, "exec", "--min-tier", "B", "--workspace", stage.workspace, "--", *argv)


def ringfence(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
    """One governed command, by the command line that people use."""
    return (*_RINGFENCE, "exec", "--workspace", stage.workspace, "--", *argv)
