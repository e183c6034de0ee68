"""Leaves things on which a careless reader hangs: `plant fifo|endless|huge PATH...`."""

import os

from prelude import arguments, ended

kind, *paths = arguments
for path in paths:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "endless":
        os.symlink("/dev/zero", path)
    else:
        with open(path, "wb") as stream:
            stream.truncate(1 << 42)
ended("done")
