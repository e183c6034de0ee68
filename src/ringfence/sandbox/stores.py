"""Makes the stores that tier B takes new names from, in folders that hold something hidden: see `backends/spares.py`.

A store has to lie on the file system of the folder that it serves, so it lies in it: in `.git`, where there is one. It
is gone when the session ends; what a killed session left goes when the next one starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile

from ringfence.sandbox.backends.spares import FILE, FOLDER

_PREFIX = "ringfence-spare-"
_FILES, _FOLDERS = 256, 64


class Store:
    """The store of one folder that can be written."""

    def __init__(self, root: str, levels: list[str]) -> None:
        """Make it; an `OSError` where nothing could be moved from it to all levels."""
        git = f"{root}/.git"
        above, prefix = (git, _PREFIX) if os.path.isdir(git) and not os.path.islink(git) else (root, f".{_PREFIX}")
        _remove_left(above, prefix)
        self.path = tempfile.mkdtemp(prefix=prefix, dir=above)
        # Held as long as the session lives, so that another can tell, from another container too.
        self._held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._held, fcntl.LOCK_SH)
            self._fill(levels)
        except BaseException:
            self.remove()
            raise

    def remove(self) -> None:
        """Remove it with what is left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)

    def _fill(self, levels: list[str]) -> None:
        # A linked working tree has no folder `.git`, and nobody is to add all this to a commit.
        with open(f"{self.path}/.gitignore", "x", encoding="ascii") as file:
            file.write("*\n")
        for number in range(_FILES):
            os.close(os.open(f"{self.path}/{FILE}new{number}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        for number in range(_FOLDERS):
            os.mkdir(f"{self.path}/{FOLDER}new{number}", 0o700)
        first = f"{self.path}/{FILE}new0"
        for level in levels:
            tried = f"{level}/.{_PREFIX}{os.path.basename(self.path)}"
            os.rename(first, tried)
            os.rename(tried, first)


def _remove_left(folder: str, prefix: str) -> None:
    with os.scandir(folder) as entries:
        left = [each.path for each in entries if each.name.startswith(prefix) and each.is_dir(follow_symlinks=False)]
    for path in left:
        with contextlib.suppress(OSError):
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(held)
