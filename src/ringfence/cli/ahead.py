"""Gives the sandbox's launcher a head start: while its interpreter starts, this process imports everything else."""

from __future__ import annotations

import argparse
import os

from ringfence.cli.result import result_descriptor
from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.head_start import Launcher
from ringfence.session.options import Options


def conduct_ahead(command: tuple[str, ...], options: Options, parsed: argparse.Namespace, *, whole_agent: bool) -> int:
    """Run a command in a session of its own and return the exit code of the contract."""
    # Before anything of ours is opened: a descriptor 3 that the user did not open must not be one of ours.
    result = result_descriptor(parsed)
    try:
        launcher = Launcher()
    except OSError as error:
        raise SandboxUnavailable(f"the sandbox's launcher did not start: {error}") from error
    try:
        from ringfence.cli.conduct import conduct

        return conduct(command, options, parsed, whole_agent=whole_agent, result=result, launcher=launcher)
    finally:
        launcher.abandon()
        if result is not None:
            os.close(result)
