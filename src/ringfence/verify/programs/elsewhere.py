"""Makes another folder its own and writes there by a relative name: `elsewhere FOLDER NAME TEXT`."""

import os

from prelude import arguments, ended

folder, name, text = arguments
os.chdir(folder)
with open(name, "w") as stream:
    stream.write(text)
ended("done")
