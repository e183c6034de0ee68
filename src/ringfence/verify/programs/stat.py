"""Tells size and time of a file that it may not see: `stat PATH`."""

import os

from prelude import arguments, succeeded

(path,) = arguments
found = os.stat(path)
succeeded(f"{found.st_size} bytes")
