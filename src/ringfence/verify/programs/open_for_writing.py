"""Opens files of the kernel for writing, and writes nothing: `open_for_writing PATH...`."""

import os

from prelude import arguments, succeeded

error = None
for path in arguments:
    try:
        os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as failure:
        error = error or failure
        continue
    succeeded(path)
raise error
