"""What Git's index lists, without what it remembers about files: two that list the same are the same to a person."""

from __future__ import annotations

import os
import tempfile

from ringfence.workspace.entries import open_below, open_file, open_folder
from ringfence.workspace.ignored import ask_git, make_repository
from ringfence.workspace.taking import MAX_FILE


def index_listing(content: bytes, empty_repository: str) -> bytes | None:
    """Mode, object, stage and path of each entry; None where Git cannot read it."""
    make_repository(empty_repository)
    with tempfile.TemporaryDirectory(dir=empty_repository, prefix="index-") as folder:
        path = os.path.join(folder, "index")
        with open(path, "wb") as stream:
            stream.write(content)
        return ask_git(["ls-files", "--stage", "-z"], folder, empty_repository, {"GIT_INDEX_FILE": path})


def read_index(workspace: str, path: bytes) -> bytes:
    """The index at a path of the workspace."""
    above, _, name = path.rpartition(b"/")
    top = open_folder(workspace)
    try:
        folder = open_below(top, above)
    finally:
        os.close(top)
    try:
        with open(open_file(name, folder), "rb") as stream:
            content = stream.read(MAX_FILE + 1)
        if len(content) > MAX_FILE:
            raise OSError(0, "it is too large for an index")
        return content
    finally:
        os.close(folder)
