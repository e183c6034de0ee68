"""Writes a text to each of several paths, making the folders above them: `write_all TEXT PATH...`."""

import os

from prelude import arguments, ended

text, *paths = arguments
for path in paths:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as stream:
        stream.write(text)
ended("done")
