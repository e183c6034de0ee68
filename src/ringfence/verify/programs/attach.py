"""Attaches to a process as a debugger would: `attach PID`, else PID 1, else its parent."""

import os

from prelude import arguments, succeeded, syscall

PTRACE = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
SEIZE = 0x4206
error = None
for process in (int(arguments[0]), 1, os.getppid()):
    try:
        syscall(PTRACE, SEIZE, process, 0, 0)
    except OSError as failure:
        error = error or failure
        continue
    succeeded(f"attached to {process}")
raise error
