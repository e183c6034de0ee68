"""Fuzz the readers of the wire: `pip install atheris`, then
`python -m tests.fuzz.fuzz_wire request_head -max_total_time=600 NEW tests/fuzz/corpus/request_head`.

The first word names one of `properties`; what is found new goes to the folder `NEW`. It is not run by pytest.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["ringfence"]):
    from tests.fuzz import properties

from tests.fuzz.tokens import input_of

SECONDS = 20.0
"""Instrumented code is many times slower than what it is made of."""


def main(name: str) -> None:
    """Fuzz one property: half of the inputs are bytes, the others rows of words."""

    def one(data: bytes) -> None:
        properties.holds(name, input_of(name, data), seconds=SECONDS)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv.pop(1))
