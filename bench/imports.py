"""What starting costs before anything happens: `import ringfence`, `ringfence --version`, and a bare interpreter."""

from __future__ import annotations

import asyncio
import os
import sys

from bench.rounds import Contender, interleave, program, table
from bench.start import modules, ringfence

BARE = "python -c pass"


def main(rounds: int = 25) -> None:
    """Measure and print."""
    environment = {"PATH": os.environ["PATH"], **modules()}
    commands = {
        BARE: (sys.executable, "-c", "pass"),
        "python -I -S -c pass": (sys.executable, "-I", "-S", "-c", "pass"),
        "python -c 'import ringfence'": (sys.executable, "-c", "import ringfence"),
        "ringfence --version": (*ringfence(), "--version"),
        "ringfence --help": (*ringfence(), "--help"),
        "python -c 'import asyncio'": (sys.executable, "-c", "import asyncio"),
    }
    contenders = [
        Contender(name=name, act=program(argv, environment=environment, cwd="/")) for name, argv in commands.items()
    ]
    print(table(f"starting, {rounds} interleaved rounds", asyncio.run(interleave(contenders, rounds)), BARE))


if __name__ == "__main__":
    main()
