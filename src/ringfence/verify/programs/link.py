"""Plants a symbolic link, after removing what stands there: `link TARGET NAME`."""

import os
import shutil

from prelude import arguments, ended

target, name = arguments
if os.path.islink(name) or os.path.isfile(name):
    os.unlink(name)
elif os.path.isdir(name):
    shutil.rmtree(name)
os.symlink(target, name)
ended("done")
