"""What a command says and returns when it cannot do its work: one place that turns situations into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ringfence.cli import codes
from ringfence.model.situations import PolicyInvalid, RingfenceError, RunDenied, UsageInvalid


class _Commands(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Commands of a command: the help of each opens with the line that lists it."""

    def add_parser(self, name: str, **words: Any) -> Arguments:
        about: str = words.get("help", "")
        words.setdefault("description", f"{about[:1].upper()}{about[1:]}.")
        made: Arguments = super().add_parser(name, **words)
        return made


class Arguments(argparse.ArgumentParser):
    """An argument parser that leaves with the contract's code for wrong usage, and says where to read on."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.register("action", "parsers", _Commands)

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        sessions = "`ringfence sessions` lists the sessions; " if "required: SESSION" in message else ""
        self.exit(codes.USAGE, f"{self.prog}: {message}\n  what to do: {sessions}`{self.prog} --help` explains it\n")


def guarded(command: Callable[[], int]) -> int:
    """Run a command; a situation becomes its message, its remedy and its exit code."""
    try:
        return command()
    except PolicyInvalid as invalid:
        for diagnostic in invalid.diagnostics:
            print(diagnostic, file=sys.stderr)
        _explain([f"nothing ran: the policy is invalid ({_count(len(invalid.diagnostics))})"], invalid.remedy)
        return codes.POLICY_INVALID
    except UsageInvalid as wrong:
        _explain([wrong.message], wrong.remedy)
        return codes.USAGE
    except RunDenied as denied:
        _explain([denied.message], denied.remedy)
        return codes.DENIED
    except RingfenceError as situation:
        _explain([situation.message], situation.remedy)
        return codes.UNAVAILABLE
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:
        # The reader went away (`ringfence log | head`): that is how a pipe ends, not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13


def _count(number: int) -> str:
    return "1 fault" if number == 1 else f"{number} faults"


def _explain(lines: Sequence[str], remedy: str) -> None:
    for line in lines:
        print(f"ringfence: {line}", file=sys.stderr)
    if remedy:
        print(f"  what to do: {remedy}", file=sys.stderr)
