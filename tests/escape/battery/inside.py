"""The ways to run an attack: as it is, or inside the sandbox. One more function puts another sandbox to the test."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile

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
    return (sys.executable, _NO_NAMESPACES, *_governed(stage, argv, "--min-tier", "B"))


def ringfence(stage: Stage, argv: tuple[str, ...]) -> tuple[str, ...]:
    """One governed command, by the command line that people use."""
    return _governed(stage, argv)


def _governed(stage: Stage, argv: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """SECURITY: the text of the attack comes from a file. As an argument, the rules for inline code would stop many of
    these attacks by their words, and the layer that has to stop them would not be tried.
    """
    command = argv
    if "-c" in argv[:3]:
        at = argv.index("-c")
        file = _kept(argv[at + 1])
        # A shell takes the word behind the text as its own name.
        rest = argv[at + 3 :] if argv[0].endswith("sh") else argv[at + 2 :]
        command, options = (*argv[:at], file, *rest), (*options, "--read", file)
    return (*_RINGFENCE, "exec", *options, "--workspace", stage.workspace, "--", *command)


def _kept(text: str) -> str:
    """A file with this text that everybody can read, outside of every workspace."""
    folder = os.path.join(tempfile.gettempdir(), f"ringfence-attacks-{os.getuid()}")
    os.makedirs(folder, mode=0o755, exist_ok=True)
    file = os.path.join(folder, hashlib.sha256(text.encode()).hexdigest()[:32])
    if not os.path.exists(file):
        with open(f"{file}.{os.getpid()}", "w", encoding="utf-8") as stream:
            stream.write(text)
        os.replace(stream.name, file)
    os.chmod(file, 0o644)
    return file
