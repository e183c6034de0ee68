"""Opens a socket of a family: `open_socket FAMILY TYPE PROTOCOL`, as the numbers that the kernel gets."""

import os

from prelude import arguments, succeeded, syscall

SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
syscall(SOCKET, *(int(word, 0) for word in arguments))
succeeded("socket " + " ".join(arguments))
