"""Makes a user namespace of its own, where it would be root: `new_namespace unshare|clone|clone-high-bits|clone3`."""

import ctypes
import os
import signal
import struct

from prelude import arguments, ended, succeeded, syscall

(how,) = arguments
NEWUSER = 0x10000000
UNSHARE, CLONE = {"x86_64": (272, 56), "aarch64": (97, 220)}[os.uname().machine]
CLONE3 = 435
if how == "unshare":
    syscall(UNSHARE, NEWUSER)
    succeeded("unshare")
if how == "clone":
    child = syscall(CLONE, NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
elif how == "clone-high-bits":
    child = syscall(CLONE, 1 << 40 | NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
else:
    child = syscall(
        CLONE3, ctypes.create_string_buffer(struct.pack("=8Q", NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)), 64
    )
if child == 0:
    os._exit(7)
_, status = os.waitpid(child, 0)
if os.waitstatus_to_exitcode(status) == 7:
    succeeded(how)
ended("the child did not come up")
