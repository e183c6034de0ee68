"""Reads what another process has open, by the links that /proc gives: `descriptors PID`, and PID 1 and its parent."""

import os

from prelude import arguments, ended

error = None
for entry in {arguments[0], "1", str(os.getppid())}:
    folder = f"/proc/{entry}/fd"
    try:
        for descriptor in os.listdir(folder):
            try:
                # Never a pipe or a terminal: reading those would take data away from innocent processes.
                if os.readlink(folder + "/" + descriptor).startswith("/dev/"):
                    continue
                opened = os.open(folder + "/" + descriptor, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
                if os.fstat(opened).st_mode & 0o170000 == 0o100000:
                    print(os.pread(opened, 4096, 0).decode(errors="replace"))
                os.close(opened)
            except OSError:
                continue
    except OSError as failure:
        error = error or failure
if error:
    raise error
ended("done")
