"""Programs of Debian packages that a machine lacks, unpacked in the tests' cache: nothing is installed.

A program that is there already is taken. Needs `apt-get` and `dpkg-deb`, and no rights.
`python -m tests.debian` fetches all of them beforehand.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.installed import Unavailable, cache_folder

SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = {
    "chromium-headless-shell": ("chromium-headless-shell", "usr/lib/chromium/chromium-headless-shell"),
    "crun": ("crun", "usr/bin/crun"),
    "runc": ("runc", "usr/sbin/runc"),
    "dbus-daemon": ("dbus-daemon", "usr/bin/dbus-daemon"),
    "dbus-send": ("dbus-bin", "usr/bin/dbus-send"),
    "xdg-dbus-proxy": ("xdg-dbus-proxy", "usr/bin/xdg-dbus-proxy"),
}
"""The package of each, and where it lies in that."""
_SECONDS = 300


def program(name: str) -> str:
    """Where a program is; `Unavailable` where it cannot be had."""
    found = shutil.which(name, path=SYSTEM)
    if found is not None:
        return found
    if name not in PROGRAMS:
        raise Unavailable(f"{name} is not installed")
    made = cache_folder() / "debian" / name
    if not made.exists():
        _fetch(name, made)
    return str(made / "bin" / name)


def _fetch(name: str, made: Path) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    with open(made.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if made.exists():
            return
        with tempfile.TemporaryDirectory(prefix="new-", dir=made.parent) as new:
            os.chmod(new, 0o755)
            _unpack(name, Path(new), made)
            # Whole or not at all. An empty folder that bears the name is replaced.
            os.rename(f"{new}/made", made)


def _unpack(name: str, new: Path, made: Path) -> None:
    package, place = PROGRAMS[name]
    archives, root = new / "archives", new / "made" / "root"
    for folder in (archives, root, new / "made" / "bin"):
        folder.mkdir(parents=True)
    _run(name, ["apt-get", *_lists(new, package), "download", "-q", *_missing(name, new, package)], archives)
    for archive in sorted(archives.iterdir()):
        _run(name, ["dpkg-deb", "-x", str(archive), str(root)], new)
    libraries = sorted({path.parent for path in root.glob("usr/lib/**/*.so*")} | {root / "usr" / "lib"})
    where = os.pathsep.join(str(made / path.relative_to(new / "made")) for path in libraries)
    start = new / "made" / "bin" / name
    start.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={where} exec {made}/root/{place} "$@"\n')
    start.chmod(0o755)


def _missing(name: str, new: Path, package: str) -> list[str]:
    """The package, and what it needs that this machine lacks."""
    options = ["-s", "-qq", "--no-install-recommends", "-o", "Debug::NoLocking=1"]
    said = _run(name, ["apt-get", *_lists(new, package), "install", *options, package], new)
    return [line.split()[1] for line in said.splitlines() if line.startswith("Inst ")]


def _lists(new: Path, package: str) -> list[str]:
    """Which lists of packages to go by: the machine's, or fresh ones of ours where it has none."""
    options = ["-o", f"Dir::State::lists={new}/lists", "-o", f"Dir::Cache={new}/cache", "-o", "APT::Sandbox::User="]
    if (new / "lists").exists():
        return options
    known = subprocess.run(["apt-cache", "show", "-q", package], capture_output=True, check=False)
    if known.returncode == 0:
        return []
    for folder in ("lists/partial", "cache/archives/partial"):
        (new / folder).mkdir(parents=True)
    _run(package, ["apt-get", *options, "update", "-qq"], new)
    return options


def _run(name: str, argv: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(
            argv, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False, umask=0o022
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{name} is not installed, and cannot be fetched: {error}") from None
    if done.returncode:
        raise Unavailable(f"{name} is not installed, and cannot be fetched: {done.stderr.strip()[-300:]}")
    return done.stdout


def main() -> None:
    """Fetch all of them; why one cannot be had is said, as the tests that need it will say it again."""
    for name in PROGRAMS:
        try:
            program(name)
        except Unavailable as reason:
            print(reason, file=sys.stderr)


if __name__ == "__main__":
    main()
