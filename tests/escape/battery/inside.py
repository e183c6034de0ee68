"""The ways to run an attack: as it is, or inside the sandbox. One more function puts another sandbox to the test."""

from __future__ import annotations

import sys

from tests.escape.battery.attack import Attack
from tests.escape.battery.run import Wrap
from tests.escape.battery.stage import Stage

_RINGFENCE = (sys.executable, "-c", "import sys; from ringfence.cli.entry import main; sys.exit(main())")


def plainly(attack: Attack) -> Wrap:
    """No sandbox; only what the attack needs to have something to attack."""
    return lambda stage, argv: (*attack.plainly, *argv)


def ringfence(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
    """One governed command, by the command line that people use."""
    return (*_RINGFENCE, "exec", "--workspace", stage.workspace, "--", *argv)
