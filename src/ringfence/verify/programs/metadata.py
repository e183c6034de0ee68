"""Changes the mode and the times of a file that it may not write: `metadata PATH`."""

import os

from prelude import arguments, ended

(path,) = arguments
os.chmod(path, 0o777)
os.utime(path, (1, 1))
ended("done")
