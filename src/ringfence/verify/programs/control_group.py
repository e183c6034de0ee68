"""Makes a control group of its own, outside of its limits."""

import os

from prelude import succeeded

error = FileNotFoundError(2, "no control groups")
for folder, names, _ in os.walk("/sys/fs/cgroup"):
    if folder.count("/") > 5:
        names.clear()
    try:
        os.mkdir(folder + "/ringfence-battery")
        os.rmdir(folder + "/ringfence-battery")
    except OSError as failure:
        error = failure
        continue
    if os.statvfs(folder).f_files == 0:
        succeeded(folder)
raise error
