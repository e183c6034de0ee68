"""Prints what begins with a word in a file of every other process: `others environ|cmdline WORD`."""

import os

from prelude import arguments, ended

name, word = arguments
error = None
for entry in os.listdir("/proc"):
    if entry.isdigit() and int(entry) != os.getpid():
        try:
            with open(f"/proc/{entry}/{name}", "rb") as stream:
                for part in stream.read().split(b"\0"):
                    if part.startswith(word.encode()):
                        print(part.decode(errors="replace"))
        except OSError as failure:
            error = error or failure
if error:
    raise error
ended("done")
