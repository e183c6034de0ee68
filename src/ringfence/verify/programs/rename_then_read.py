"""Gives the folder above a covered file another name, then reads it there: `rename_then_read FOLDER NAME`."""

import os

from prelude import arguments, ended

folder, name = arguments
os.rename(folder, folder + "2")
with open(os.path.join(folder + "2", name)) as stream:
    print(stream.read())
ended("done")
