"""What Git ignores in a folder: build results and packages, which a snapshot leaves out because they can be made again.

Git reads the `.gitignore` files, from a repository of ours that is empty: nothing that the workspace configures is run.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterable

from ringfence.workspace.entries import open_below, open_folder
from ringfence.workspace.git_pipes import pipes_for_git, release
from ringfence.workspace.store import SnapshotsBroken

_SECONDS = 60
_PATIENCE = 1.0
"""Seconds after which Git is looked after: it may be waiting for a pipe."""
_TRIES = 20
_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
_ALWAYS_KEPT = b".env"
"""Files that people ignore and cannot make again."""
_INSIDE = b"\x01"
"""A name that no pattern is written for: whether it is ignored tells whether its folder is."""


def ignored(top: str, empty_repository: str) -> frozenset[bytes]:
    """Paths below a folder that Git ignores, folders as a whole. Empty where there is no Git to ask."""
    make_repository(empty_repository)
    words = ["ls-files", "-z", "--others", "--ignored", "--directory", "--exclude-standard"]
    exclude = _exclude(top)
    if exclude:
        words.append(f"--exclude-from={exclude}")
    # What the repository's own index holds is tracked, whatever a pattern says of it.
    index = os.path.join(top, ".git", "index")
    known = {"GIT_INDEX_FILE": index} if os.path.isfile(index) and not os.path.islink(index) else {}
    said = ask_git(words, top, empty_repository, known) if known else None
    if said is None:
        said = ask_git(words, top, empty_repository, {})
    names = (name.rstrip(b"/") for name in (said or b"").split(b"\0") if name)
    return frozenset(name for name in names if not _kept(name))


def ignored_among(
    files: Iterable[bytes],
    folders: Iterable[bytes],
    ignore_files: Iterable[tuple[bytes, bytes]],
    *,
    workspace: str,
    empty_repository: str,
) -> frozenset[bytes]:
    """Which of these paths Git ignores, going by the contents of the ignore files: nothing of them has to be there."""
    make_repository(empty_repository)
    probes = {b"%b/%b" % (folder, _INSIDE): folder for folder in folders}
    asked = [*files, *probes]
    if not asked:
        return frozenset()
    exclude = _exclude(workspace)
    words = ["-c", f"core.excludesFile={exclude or os.devnull}", "check-ignore", "-z", "--stdin", "--no-index"]
    with tempfile.TemporaryDirectory(dir=empty_repository, prefix="tree-") as tree:
        _write_down(tree, ignore_files)
        said = ask_git(words, tree, empty_repository, {}, b"\0".join(asked) + b"\0", fine=(0, 1))
    names = [name for name in (said or b"").split(b"\0") if name]
    return frozenset(probes.get(name, name) for name in names if not _kept(name))


def _kept(name: bytes) -> bool:
    return name.rpartition(b"/")[2].startswith(_ALWAYS_KEPT)


def _exclude(top: str) -> str:
    path = os.path.join(top, ".git", "info", "exclude")
    return path if os.path.isfile(path) and not os.path.islink(path) else ""


def _write_down(tree: str, ignore_files: Iterable[tuple[bytes, bytes]]) -> None:
    top = open_folder(tree)
    try:
        for path, content in ignore_files:
            above, _, name = path.rpartition(b"/")
            folder = open_below(top, above, make=True)
            try:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
                with open(os.open(name, flags, 0o600, dir_fd=folder), "wb") as stream:
                    stream.write(content)
            finally:
                os.close(folder)
    finally:
        os.close(top)


def ask_git(
    words: list[str],
    tree: str,
    repository: str,
    more: dict[str, str],
    asked: bytes = b"",
    fine: tuple[int, ...] = (0,),
) -> bytes | None:
    """What Git says, asked from a repository of ours with no configuration; None where it says nothing, and
    `SnapshotsBroken` where it does not end."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": repository,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
        **more,
    }
    try:
        git = subprocess.Popen(
            ["git", "--git-dir", repository, "--work-tree", tree, *words],
            cwd=tree,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None
    with git:
        said = _said(git, asked, tree)
    return said if git.returncode in fine else None


def _said(git: subprocess.Popen[bytes], asked: bytes, tree: str) -> bytes:
    waited = _PATIENCE
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return git.communicate(asked, timeout=_PATIENCE)[0]
        while waited < _SECONDS:
            pipes = pipes_for_git(tree)
            for _ in range(_TRIES):
                release(tree, pipes)
                waited += _PATIENCE / _TRIES
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return git.communicate(timeout=_PATIENCE / _TRIES)[0]
    except BaseException:
        git.kill()
        raise
    git.kill()
    raise SnapshotsBroken(
        f"Git did not say within {_SECONDS} seconds what it ignores",
        remedy="look for pipes among the `.gitignore` files and in the `.git` folders of the workspace",
    )


def make_repository(repository: str) -> None:
    """An empty repository: three folders and two files, as Git's own `init` makes them."""
    for folder in ("objects", "refs"):
        os.makedirs(os.path.join(repository, folder), mode=0o700, exist_ok=True)
    for name, content in (("HEAD", b"ref: refs/heads/none\n"), ("config", _CONFIG)):
        path = os.path.join(repository, name)
        if not os.path.exists(path):
            with open(path, "wb") as stream:
                stream.write(content)
