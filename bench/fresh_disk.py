"""Runs a bench where nothing was ever removed: on a file system of its own, made for the one run and thrown away.

Blocks and inodes that were freed a moment ago are avoided by ext4 for a minute and more, so that a disk remembers what
other benches did to it. Making a file system takes root; anybody else measures beside /tmp, and it is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

_GIGABYTES = 12
_INODES = 1_500_000
_MOUNTED = 'mount -o loop "$1" "$2" && shift 2 && exec "$@"'


def on_fresh_disk(module: str, *words: str) -> None:
    """Run `python -m module WORDS FOLDER` with an empty folder on a file system of its own, where one can be had."""
    base = tempfile.mkdtemp(prefix="ringfence-bench-", dir="/var/tmp")
    try:
        os.chmod(base, 0o755)
        home, image = f"{base}/home", f"{base}/disk"
        os.mkdir(home)
        run = (sys.executable, "-m", module, *words, home)
        lacking = _made(image, home)
        print(f"on {f'/var/tmp: {lacking}' if lacking else 'an ext4 of its own, made for this run, on a loop device'}")
        sys.stdout.flush()
        # The mount ends with the namespace, and the loop device with the mount.
        own = () if lacking else ("unshare", "--mount", "sh", "-c", _MOUNTED, "sh", image, home)
        subprocess.run((*own, *run), check=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _made(image: str, home: str) -> str:
    """Why there is no file system of its own; empty where there is one."""
    if os.getuid() != 0:
        return "only root can make a file system for it"
    with open(image, "wb") as stream:
        stream.truncate(_GIGABYTES << 30)
    # Everything is laid out now: what the kernel would do later in the background would be measured.
    lazy = "lazy_itable_init=0,lazy_journal_init=0"
    make = ("mkfs.ext4", "-q", "-m", "0", "-N", str(_INODES), "-E", lazy, image)
    try_out = ("unshare", "--mount", "sh", "-c", _MOUNTED, "sh", image, home, "true")
    for command in (make, try_out):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as failure:
            return f"`{command[0]}` cannot be run: {failure.strerror}"
        if done.returncode:
            return f"`{command[0]}` failed: {done.stderr.strip()}"
    return ""
