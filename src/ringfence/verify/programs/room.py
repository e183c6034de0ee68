"""Asks how much may be written to a folder: `room [FOLDER]`. It writes nothing: the machine has other work to do."""

import os
import resource
import tempfile

from prelude import arguments, ended, succeeded

folder = arguments[0] if arguments else tempfile.gettempdir()
place = os.statvfs(folder)
free = place.f_bavail * place.f_frsize
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
if free > 4 << 30 and (most == resource.RLIM_INFINITY or most > 4 << 30):
    succeeded(f"{free >> 30} GiB")
ended("stopped")
