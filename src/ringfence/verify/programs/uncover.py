"""Takes a mount away from above a protected folder and writes there: `uncover FOLDER NAME TEXT`."""

import errno
import os

from prelude import arguments, ended, libc

folder, name, text = arguments
MNT_DETACH = 2
if libc.umount2(folder.encode(), MNT_DETACH) and libc.umount2(os.path.dirname(folder).encode(), MNT_DETACH):
    # Not the end: the write below shows whether the folder is protected at all.
    print("umount2 failed")
try:
    with open(os.path.join(folder, name), "w") as stream:
        stream.write(text)
except OSError as error:
    ended(errno.errorcode[error.errno])
ended("done")
