"""Has the kernel read the terminal by another driver: `discipline NUMBER`."""

import ctypes
import os

from prelude import arguments, succeeded, syscall

IOCTL = {"x86_64": 16, "aarch64": 29}[os.uname().machine]
TIOCSETD = 0x5423
syscall(IOCTL, 0, TIOCSETD, ctypes.create_string_buffer(int(arguments[0]).to_bytes(4, "little")))
succeeded("line discipline " + arguments[0])
