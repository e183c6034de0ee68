"""Evaluates one file of Codex rules and prints the calls that it made. Runs as a process of its own, with nothing.

Started by `starlark_rules` with an empty environment. Before a byte of the rules is looked at it gives up files,
sockets, processes, memory and time. It imports nothing of ours; whoever started it trusts nothing that it prints.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys

MAX_CALLS = 5_000
CPU_SECONDS = 2
MEMORY_BYTES = 512 * 1024 * 1024
OUTPUT_BYTES = 16 * 1024 * 1024

FUNCTIONS = ("prefix_rule", "host_executable", "network_rule")
_RECORD = "_ringfence_call"
_PRELUDE = "\n".join(
    f"def {name}(*args, **kwargs):\n    {_RECORD}({name!r}, call_stack(strip_frames = 1), list(args), kwargs)"
    for name in FUNCTIONS
)
_FRAME = re.compile(r"\* rules:(\d+)")
_PLACE = re.compile(r"--> rules:(\d+):(\d+)")
_NAME = "rules"


def main() -> None:
    """Read the rules from standard input, and print calls or an error as one JSON object."""
    sys.path.insert(0, sys.argv[1])
    import starlark  # the folder it lies in is an argument

    source = sys.stdin.buffer.read().decode("utf-8")
    _give_up()
    calls: list[dict[str, object]] = []

    def record(function: str, stack: str, positional: list[object], named: dict[str, object]) -> None:
        if len(calls) >= MAX_CALLS:
            raise ValueError(f"more than {MAX_CALLS} rules in one file")
        frames = _FRAME.findall(stack)
        lines = int(frames[-1]) if frames else 1
        calls.append({"function": function, "line": lines, "positional": positional, "named": named})

    try:
        dialect = starlark.Dialect.extended()
        dialect.enable_f_strings = True
        dialect.enable_load = False
        module = starlark.Module()
        module.add_callable(_RECORD, record)
        knows_callers = starlark.Globals.extended_by([starlark.LibraryExtension.CallStack])
        starlark.eval(module, starlark.parse("prelude", _PRELUDE, dialect), knows_callers)
        starlark.eval(module, starlark.parse(_NAME, source, dialect), starlark.Globals.standard())
        answer: dict[str, object] = {"calls": calls}
        text = json.dumps(answer)
        if len(text) > OUTPUT_BYTES:
            raise ValueError(f"more than {OUTPUT_BYTES // (1024 * 1024)} MiB of rules in one file")
    except starlark.StarlarkError as error:
        text = json.dumps({"error": _located(str(error))})
    except (ValueError, TypeError, RecursionError) as error:
        text = json.dumps({"error": {"line": 1, "column": 1, "message": str(error)}})
    sys.stdout.write(text)
    sys.stdout.flush()


def _give_up() -> None:
    # SECURITY: without descriptors to be had there is no file and no socket; an interpreter with a hole has no way out.
    limits = (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, OUTPUT_BYTES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 0),
    )
    for what, most in limits:
        resource.setrlimit(what, (most, most))
    os.umask(0o777)


def _located(text: str) -> dict[str, object]:
    place = _PLACE.search(text)
    said = next((line for line in text.splitlines() if line.startswith("error: ")), text)
    line, column = (int(place[1]), int(place[2])) if place else (1, 1)
    return {"line": line, "column": column, "message": said.removeprefix("error: ")}


if __name__ == "__main__":
    main()
