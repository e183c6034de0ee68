"""Keeps what Git stored: a second name for every object file, so that deleting the first loses nothing.

Git never changes an object once it is written, so a hard link costs a name and no space. Where the state folder lies on
another file system nothing is linked, and the caller is told.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable

from ringfence.workspace.entries import open_below, open_folder

_Linking = Callable[[int, bytes], str]
_MODE = 0o700


def keep_objects(workspace: str, kept: str) -> str:
    """Link every object file that has no second name yet; why not, where that cannot be done."""
    try:
        top = open_folder(workspace)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    try:
        return _for_each_object(top, kept, _link)
    finally:
        os.close(top)


def give_back_objects(workspace: str, kept: str) -> str:
    """Give the workspace's repository every object file back that it has lost; why not all of them, where that fails.

    SECURITY: a link that somebody put in the place of the objects is not followed, and goes.
    """
    problem = ""
    top = open_folder(workspace)
    try:
        for folder in _folders(kept):
            for place in (b".git/objects", b".git/objects/" + folder):
                _clear(top, place)
            try:
                _give_back(top, b".git/objects/" + folder, os.path.join(os.fsencode(kept), folder))
            except OSError as error:
                problem = problem or (error.strerror or str(error)).lower()
    finally:
        os.close(top)
    return problem


def _give_back(top: int, path: bytes, kept: bytes) -> None:
    theirs = open_below(top, path, make=True)
    try:
        mine = open_folder(kept)
        try:
            for name in os.listdir(mine):
                with contextlib.suppress(FileExistsError):
                    os.link(name, name, src_dir_fd=mine, dst_dir_fd=theirs, follow_symlinks=False)
        finally:
            os.close(mine)
    finally:
        os.close(theirs)


def _clear(top: int, path: bytes) -> None:
    """Remove what stands in the place of a folder and is none."""
    above, _, name = path.rpartition(b"/")
    with contextlib.suppress(OSError):
        folder = open_below(top, above)
        try:
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)


def remove_objects(workspace: str, repository: bytes) -> None:
    """Remove the stored objects of a repository that goes as a whole; nothing happens where there are none."""
    top = open_folder(workspace)
    try:
        try:
            folder = open_below(top, repository)
        except OSError:
            return
        try:
            # By descriptor, not following links: what somebody swaps meanwhile is removed as a link.
            shutil.rmtree("objects", ignore_errors=True, dir_fd=folder)
        finally:
            os.close(folder)
    finally:
        os.close(top)


def _for_each_object(top: int, kept: str, link: _Linking) -> str:
    try:
        objects = open_below(top, b".git/objects")
    except OSError:
        return ""
    try:
        for name in sorted(os.fsencode(one) for one in os.listdir(objects)):
            if len(name) != 2 and name not in {b"pack"}:
                continue
            try:
                folder = open_below(objects, name)
            except OSError:
                continue
            try:
                problem = link(folder, os.path.join(os.fsencode(kept), name))
            finally:
                os.close(folder)
            if problem:
                return problem
    finally:
        os.close(objects)
    return ""


def _link(folder: int, target: bytes) -> str:
    os.makedirs(target, mode=_MODE, exist_ok=True)
    mine = open_folder(target)
    try:
        known = set(os.listdir(mine))
        for name in os.listdir(folder):
            if name in known or name.startswith("tmp_"):
                continue
            try:
                if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                    continue
                os.link(name, name, src_dir_fd=folder, dst_dir_fd=mine, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                return (error.strerror or str(error)).lower()
    finally:
        os.close(mine)
    return ""


def _folders(kept: str) -> list[bytes]:
    try:
        return sorted(os.fsencode(name) for name in os.listdir(kept))
    except FileNotFoundError:
        return []
