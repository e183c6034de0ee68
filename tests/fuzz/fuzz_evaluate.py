"""Fuzz decisions: `pip install atheris`, then `python tests/fuzz/fuzz_evaluate.py -max_total_time=600`.

Any bytes, as a shell string, as arguments, as a path or as a destination, must give a decision, and never one that
comes of an error in Ringfence. It is not run by pytest.
"""

from __future__ import annotations

import logging
import sys
import time

import atheris

with atheris.instrument_imports():
    from ringfence.policy.evaluate import Context, Evaluator
    from ringfence.policy.questions import action_of

from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset

SECONDS = 3.0
"""Instrumented code is many times slower than what it is made of."""
TOKENS = (
    "git ",
    "push ",
    "-c ",
    "core.pager=x ",
    "--output=",
    "curl ",
    "-o ",
    "https://a.example/ ",
    "tar ",
    "-C ",
    "xargs ",
    "-I{} ",
    "find . ",
    "-exec ",
    "{} ",
    "\\; ",
    "docker run ",
    "-v ",
    "/:/x ",
    "python3 -c ",
    "'import os' ",
    "sed -i ",
    "awk ",
    "env -S ",
    "bash -c ",
    "$(",
    ")",
    "`",
    '"',
    "'",
    "$x ",
    "x=",
    "~/.ssh/id_rsa ",
    "| ",
    "&& ",
    "> ",
    "<<E\n",
    "\nE\n",
    "npm ",
    "install ",
    "psql ",
    "-h ",
    "db ",
    "rm -rf ",
    "/ ",
    "--",
    "-",
    "=",
    "*",
    "cd ",
    "..",
    "\n",
    " ",
    "a",
)
HOME, WORKSPACE = "/home/u", "/home/u/p"

_POLICY = merge((preset("workspace"),), facts=Facts(home=HOME, workspace=WORKSPACE))
_JUDGE = Evaluator(_POLICY, Context(home=HOME, workspace=WORKSPACE))


def question_of(data: bytes) -> dict[str, object]:
    """A question: most are shell strings, of text or of tokens."""
    kind, rest = data[:1] or b"\0", data[1:]
    text = rest.decode("utf-8", "surrogateescape")
    tokens = "".join(TOKENS[byte % len(TOKENS)] for byte in rest)
    match kind[0] % 8:
        case 0:
            return {"read": text}
        case 1:
            return {"connect": text}
        case 2:
            return {"argv": text.split(" ")}
        case 3 | 4:
            return {"shell": text}
        case _:
            return {"shell": tokens}


def one(data: bytes) -> None:
    """Judge one input."""
    try:
        action = action_of(question_of(data), cwd=WORKSPACE, home=HOME)
    except ValueError:
        return
    start = time.thread_time()
    decision = _JUDGE.evaluate(action)
    taken = time.thread_time() - start
    if any(reason.rule == "evaluate.error" for reason in decision.reasons):
        raise RuntimeError(f"an error in place of a decision: {action!r}")
    if taken > SECONDS:
        raise RuntimeError(f"it took {taken:.2f} s: {action!r}")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
