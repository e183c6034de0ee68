"""Prints files: `read PATH...`. Ends with the first error when none could be read."""

from prelude import arguments, ended

error = None
for path in arguments:
    try:
        with open(path, errors="replace") as stream:
            print(stream.read(65536))
    except OSError as failure:
        error = error or failure
if error:
    raise error
ended("done")
