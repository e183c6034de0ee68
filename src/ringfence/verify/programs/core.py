"""Asks whether a crash may leave the memory of a process on the disk."""

import resource

from prelude import ended, succeeded

_, most = resource.getrlimit(resource.RLIMIT_CORE)
if most != 0:
    succeeded("core files")
ended("stopped")
