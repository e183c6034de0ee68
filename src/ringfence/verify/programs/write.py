"""Writes a text to a path, making the folders above it: `write PATH TEXT`."""

import os

from prelude import arguments, ended

path, text = arguments
os.makedirs(os.path.dirname(path), exist_ok=True)
with open(path, "w") as stream:
    stream.write(text)
os.chmod(path, 0o755)
ended("done")
