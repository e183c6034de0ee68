"""What may be changed where, in a sandbox without mounts. Pure: paths in, answers out; whoever asks has found out
first which path it really is."""

from __future__ import annotations


class Guard:
    """The folders that may be written through the supervisor, and what is protected in them.

    `roots`: the workspace and what the policy opens for writing. `private`: folders of the sandbox's own, where
    Landlock allows everything. `closed`: what is not changed, nor made where it is missing, with all that is below.
    `pinned`: folders whose contents may change, but which are neither removed, renamed nor replaced. All are real
    paths.
    """

    def __init__(self, roots: list[str], private: list[str], closed: list[str], pinned: list[str]) -> None:
        self.roots = tuple(roots)
        self.private = tuple(private)
        self._closed = frozenset(closed)
        # INVARIANT: every folder above something closed is fixed, or it could be moved away and another put there.
        above = {each for path in (*closed, *pinned) for each in _folders_above(path)}
        self._fixed = frozenset((*roots, *pinned)) | above

    def is_served(self, path: str) -> bool:
        """Whether changes at a path are the supervisor's to make."""
        return not self.is_private(path) and any(_covers(root, path) for root in self.roots)

    def is_private(self, path: str) -> bool:
        """Whether a path lies in a folder of the sandbox's own."""
        return any(_covers(folder, path) for folder in self.private)

    def may_change(self, path: str) -> bool:
        """Whether what is at a path may be written, or a folder made there."""
        if not self.is_served(path):
            return False
        return path not in self._closed and self._closed.isdisjoint(_folders_above(path))

    def may_replace(self, path: str) -> bool:
        """Whether a name may come to be something else: be made, removed, or renamed from or to."""
        return self.may_change(path) and path not in self._fixed


def _covers(folder: str, path: str) -> bool:
    return folder in ("/", path) or path.startswith(folder + "/")


def _folders_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(2, len(parts))]
