"""Links a file from elsewhere under a name of its own, changes and prints it: `hard_link SOURCE NAME TEXT`."""

import os

from prelude import arguments, ended

source, name, text = arguments
os.link(source, name)
with open(name, "r+") as stream:
    print(stream.read())
    stream.write(text)
ended("done")
