"""Fuzz the reading of shell strings: `pip install atheris`, then `python tests/fuzz/fuzz_shell.py -max_total_time=180`.

Any text must give a script, without an exception and within the limit on time. It is not run by pytest.
"""

from __future__ import annotations

import sys
import time

import atheris

with atheris.instrument_imports():
    from ringfence.policy.shell.parse import parse
    from ringfence.policy.shell.tree import Dialect

SECONDS = 2.0
"""Instrumented code is many times slower than what it is made of."""
TOKENS = (
    "$(", "${", "$((", "((", "))", "`", '"', "'", "$'", "\\\n", "<<E\n", "\nE\n", "<<<", "{", "}", "[[ ", " ]]", "if ",
    "then ", "fi", "for x in ", "do ", "done", "case x in ", ";;", "esac", "x=", "$x", "${x:=y}", " | ", " && ",
    " & ", ">",
    "2>&1", "f() ", "export ", "read ", "eval ", "~", "{a,b}", "{1..9}", "git ", "push ", "a", " ", "\n", ";", "(",
    ")", "!",
    "#",
)  # fmt: skip


def text_of(data: bytes) -> str:
    """Half of the inputs are texts, the other half rows of tokens: both find what the other does not."""
    if data[:1] < b"\x80":
        return data[1:].decode("utf-8", "surrogateescape")
    return "".join(TOKENS[byte % len(TOKENS)] for byte in data[1:])


def one(data: bytes) -> None:
    """Read one input in a dialect that it chooses."""
    text = text_of(data)
    dialects = list(Dialect)
    start = time.thread_time()
    parse(text, home="/home/u", dialect=dialects[len(data) % len(dialects)])
    if time.thread_time() - start > SECONDS:
        raise TimeoutError(text)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
