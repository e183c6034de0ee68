"""Stays until it is ended: `linger MARK`."""

import os
import sys

from prelude import arguments

os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(20)", "stays-" + arguments[0]])
