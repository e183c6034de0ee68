"""Sets the times of a file, or its mode by a descriptor: `touch FILE times|mode|held`."""

import os

from prelude import arguments, succeeded

path, what = arguments
if what == "times":
    os.utime(path, (1, 1))
elif what == "mode":
    os.fchmod(os.open(path, os.O_RDONLY), 0o666)
else:
    os.chmod(f"/proc/self/fd/{os.open(path, os.O_PATH)}", 0o666)
succeeded(what)
