"""Sets the times of a file, its mode by a descriptor, or its generation: `touch FILE times|mode|held|generation`."""

import fcntl
import os

from prelude import arguments, succeeded

path, what = arguments
if what == "times":
    os.utime(path, (1, 1))
elif what == "mode":
    os.fchmod(os.open(path, os.O_RDONLY), 0o666)
elif what == "generation":
    # FS_IOC_SETVERSION, one of many controls of file systems that are content with a descriptor for reading.
    fcntl.ioctl(os.open(path, os.O_RDONLY), 0x40087602, bytes((77, 0, 0, 0, 0, 0, 0, 0)))
else:
    os.chmod(f"/proc/self/fd/{os.open(path, os.O_PATH)}", 0o666)
succeeded(what)
