"""Leaves a process behind that nobody waits for: `outlive MARK`."""

import os
import sys

from prelude import arguments, ended

(mark,) = arguments
# Closed where the other program begins: before that nobody could tell the process by its mark.
begun, starting = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        null = os.open("/dev/null", os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.execv(sys.executable, [sys.executable, "-c", "import sys, time; print(); time.sleep(20)", "stays-" + mark])
    os._exit(0)
os.close(starting)
os.read(begun, 1)
os.wait()
ended("done")
