"""Where the machine-readable result of `run` and `exec` goes: a file that was named, or descriptor 3."""

from __future__ import annotations

import argparse
import errno
import os

from ringfence.model.situations import UsageInvalid

RESULT_DESCRIPTOR = 3


def result_descriptor(parsed: argparse.Namespace) -> int | None:
    """Where the machine-readable line goes; opened before anything runs, so that a wrong path is found before."""
    if parsed.result:
        # SECURITY: an earlier agent may have planted a link under the name that is used each time (T2).
        follow = 0 if parsed.result.startswith(("/dev/", "/proc/")) else os.O_NOFOLLOW
        try:
            return os.open(parsed.result, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | follow, 0o644)
        except OSError as failure:
            if failure.errno == errno.ELOOP:
                raise UsageInvalid(
                    f"`{parsed.result}` is a symbolic link, and the file that it leads to would be overwritten",
                    remedy="remove the link, or name the file itself",
                ) from failure
            raise UsageInvalid(f"`{parsed.result}` cannot be written: {failure.strerror}") from failure
    if not parsed.json:
        return None
    try:
        return os.dup(RESULT_DESCRIPTOR)
    except OSError:
        raise UsageInvalid(
            "`--json` writes to descriptor 3, which is not open",
            remedy="open it (`3>result.json`), or name a file with `--result FILE`",
        ) from None
