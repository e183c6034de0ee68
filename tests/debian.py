"""Programs that tests need and that are not Python's: taken from Debian's packages where root runs the tests."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable

import pytest

_LOCK = os.path.join(tempfile.gettempdir(), "ringfence-tests-apt.lock")
_SECONDS = 300


def program(name: str, package: str) -> str:
    """The path of a program; it is installed where it is missing, and the test is skipped where that cannot be."""
    needed(package, lambda: shutil.which(name) is not None)
    return str(shutil.which(name))


def needed(package: str, is_there: Callable[[], bool]) -> None:
    """Install a package unless what it brings is there."""
    if is_there():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"only root can install what this needs: `apt-get install {package}`")
    with open(_LOCK, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        problem = "" if is_there() else _install(package)
    if not is_there():
        pytest.skip(f"{package} could not be installed: {problem}")


def _install(package: str) -> str:
    # Run level 1 keeps what is a service from being started.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    words = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
    for again in (False, True):
        if again:
            subprocess.run(["apt-get", "update", "-qq"], env=environment, capture_output=True, timeout=_SECONDS)
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=_SECONDS)
        if done.returncode == 0:
            return ""
    return done.stderr.strip()[-200:]
