"""Types into the terminal of whoever started it: `type_ahead REQUEST TEXT`, the request as the kernel would see it."""

import ctypes
import os

from prelude import arguments, ended, syscall

request, text = arguments
IOCTL = {"x86_64": 16, "aarch64": 29}[os.uname().machine]
error = None
for path in ("/dev/tty", "/proc/self/fd/0", 0):
    try:
        terminal = path if isinstance(path, int) else os.open(path, os.O_RDWR | os.O_NOCTTY)
        for letter in text.encode():
            syscall(IOCTL, terminal, int(request, 16), ctypes.create_string_buffer(bytes([letter])))
        ended("done")
    except OSError as failure:
        error = failure
raise error
