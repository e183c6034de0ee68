"""Ends another process: `signal PID`."""

import os

from prelude import arguments, ended

os.kill(int(arguments[0]), 15)
ended("done")
