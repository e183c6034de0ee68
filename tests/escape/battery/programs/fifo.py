"""Puts a named pipe in the place of a file that others open: `fifo PATH`."""

import os

from prelude import arguments, ended

(path,) = arguments
if os.path.lexists(path):
    os.unlink(path)
os.mkfifo(path)
ended("done")
