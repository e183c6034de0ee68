"""Looks for a mark in the memory of another process: `memory PID MARK`, and of PID 1 and its parent."""

import os
import re

from prelude import arguments, ended

process, start = arguments
mark = re.compile(re.escape(start.encode()) + b"[0-9a-f]{32}")
error = None


def search(process):
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            low, high = (int(word, 16) for word in span.split("-"))
            if not rights.startswith("rw") or high - low > 64 << 20:
                continue
            try:
                memory.seek(low)
                for hit in mark.findall(memory.read(high - low)):
                    print(hit.decode())
            except (OSError, OverflowError, ValueError):
                continue


for entry in {process, "1", str(os.getppid())}:
    try:
        search(entry)
    except OSError as failure:
        error = error or failure
if error:
    raise error
ended("done")
