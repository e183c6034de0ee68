"""Reads a file by the names that /proc gives the root folder: `aliases PATH`."""

import os

from prelude import arguments, ended

(path,) = arguments
error = None
roots = ["/proc/self/root", "/proc/1/root", f"/proc/{os.getppid()}/root", "/proc/self/cwd" + "/.." * 12]
for root in (*roots, f"/proc/self/task/{os.getpid()}/root", "/oldroot", "/proc/1/cwd"):
    try:
        with open(root + path) as stream:
            print(stream.read())
    except OSError as failure:
        error = error or failure
if error:
    raise error
ended("done")
