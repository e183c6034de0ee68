"""Writes through a symbolic link of its own: `write_through_link TARGET LINK NAME TEXT`, NAME may be empty."""

import os

from prelude import arguments, ended

target, link, name, text = arguments
os.symlink(target, link)
with open(os.path.join(link, name) if name else link, "w") as stream:
    stream.write(text)
ended("done")
