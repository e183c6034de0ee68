"""The host's files, as a profile asks for them. The only module of this package that touches the disk."""

from __future__ import annotations

import os

LARGEST = 8 * 1024 * 1024


class HostDisk:
    """Reads regular files up to a limit; everything else is as if it were not there."""

    def read_file(self, path: str) -> bytes | None:
        """The content, or None."""
        try:
            # A FIFO or a device in the place of a settings file must not block the start.
            if not os.path.isfile(path):
                return None
            with open(path, "rb") as file:
                content = file.read(LARGEST + 1)
        except OSError:
            return None
        return content if len(content) <= LARGEST else None

    def exists(self, path: str) -> bool:
        """Whether there is anything at this path."""
        return os.path.lexists(path)

    def is_link(self, path: str) -> bool:
        """Whether a symbolic link stands at this path."""
        return os.path.islink(path)

    def list_folder(self, path: str) -> tuple[str, ...]:
        """The names in a folder, sorted."""
        try:
            return tuple(sorted(os.listdir(path)))
        except OSError:
            return ()
