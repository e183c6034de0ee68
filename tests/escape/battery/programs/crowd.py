"""Asks how many of itself it may start. It starts none: a machine under test has other work to do."""

import resource

from prelude import ended, succeeded

_, most = resource.getrlimit(resource.RLIMIT_NPROC)
if most == resource.RLIM_INFINITY or most > 20000:
    succeeded("no limit" if most == resource.RLIM_INFINITY else f"{most} processes")
ended("stopped")
