"""Moves the folder above protected names away and puts its own in the place: `rename_ancestor FOLDER NAME TEXT`."""

import os
import shutil

from prelude import arguments, ended

folder, name, text = arguments
os.rename(folder, folder + ".away")
shutil.copytree(folder + ".away", folder, dirs_exist_ok=True)
target = os.path.join(folder, name)
os.makedirs(os.path.dirname(target), exist_ok=True)
with open(target, "w") as stream:
    stream.write(text)
os.chmod(target, 0o755)
ended("done")
