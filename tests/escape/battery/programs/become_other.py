"""Leaves a program that gives whoever runs it the rights of this account: `become_other PATH`."""

import os
import shutil

from prelude import arguments, ended

(path,) = arguments
shutil.copyfile("/bin/true", path)
os.chmod(path, 0o6755)
ended("done" if os.stat(path).st_mode & 0o6000 else "the bits were dropped")
