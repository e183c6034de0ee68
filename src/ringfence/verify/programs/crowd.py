"""Asks how many of itself it may start. It starts none: a machine under test has other work to do."""

import os
import resource

from prelude import ended, succeeded

# The limit of an account does not hold for root; that of a process namespace does, where the kernel has one.
if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 14):
    with open("/proc/sys/kernel/pid_max") as stream:
        numbers = int(stream.read())
    if numbers > 20000:
        succeeded(f"{numbers} process numbers")
_, most = resource.getrlimit(resource.RLIMIT_NPROC)
if most == resource.RLIM_INFINITY or most > 20000:
    succeeded("no limit" if most == resource.RLIM_INFINITY else f"{most} processes")
ended("stopped")
