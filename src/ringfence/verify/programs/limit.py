"""Gives another process a limit or a priority that it cannot work with: `limit PID files|priority`."""

import os
import resource

from prelude import arguments, succeeded

process = int(arguments[0])
if arguments[1] == "files":
    resource.prlimit(process, resource.RLIMIT_NOFILE, (1, 1))
else:
    os.setpriority(os.PRIO_PROCESS, process, 19)
succeeded(arguments[1])
