"""The command line that an agent is given for its hooks, in a form in which a missing part denies.

Agents let a call run when a hook's program is missing or ends with any code but 0 and 2, so a shell around the client
turns every other ending into 2 with a line on standard error.
"""

from __future__ import annotations

import os
import shlex

from ringfence.agents.agent import HOOK_PROGRAM, AgentRequest, Disk
from ringfence.model.shown import PlacedFile
from ringfence.model.situations import RingfenceError

CLIENT = os.path.join(os.path.dirname(__file__), "hook_client.py")
"""Where the client lies in the installed package."""

MARGIN_SECONDS = 30
"""By how much the agent's own time-out is longer than the client's deadline, so that the denial arrives first."""


def hook_command(request: AgentRequest, event: str) -> str:
    """The shell command for one event."""
    client = shlex.join([request.interpreter, "-I", "-S", HOOK_PROGRAM, event, str(request.answer_seconds)])
    inner = (
        f"{client}; code=$?; case $code in 0|2) exit $code;; esac; "
        'echo "ringfence: the hook client ended with code $code, so this is denied (hook.unavailable)" >&2; exit 2'
    )
    # SECURITY: the outer `|| exit 2` stands for the case that even `/bin/sh` cannot be run.
    return f"/bin/sh -c {shlex.quote(inner)} || exit 2"


def hook_timeout(request: AgentRequest) -> int:
    """The time-out to configure in the agent."""
    return request.answer_seconds + MARGIN_SECONDS


def hook_program(disk: Disk) -> PlacedFile:
    """The client, as a file inside the sandbox."""
    content = disk.read_file(CLIENT)
    if not content:
        raise RingfenceError(f"the hook client `{CLIENT}` cannot be read", remedy="install Ringfence again")
    return PlacedFile(path=HOOK_PROGRAM, content=content, mode=0o444)
