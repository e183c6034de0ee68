"""What Git ignores in a folder: build results and packages, which a snapshot leaves out because they can be made again.

Git reads the `.gitignore` files, from a repository of ours that is empty: nothing that the workspace configures is run.
"""

from __future__ import annotations

import os
import subprocess

_SECONDS = 60
_CONFIG = b"[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
_ALWAYS_KEPT = b".env"
"""Files that people ignore and cannot make again."""


def ignored(top: str, empty_repository: str) -> frozenset[bytes]:
    """Paths below a folder that Git ignores, folders as a whole. Empty where there is no Git to ask."""
    _make(empty_repository)
    exclude = os.path.join(top, ".git", "info", "exclude")
    words = ["git", "--git-dir", empty_repository, "--work-tree", top, "ls-files", "-z", "--others", "--ignored"]
    words += ["--directory", "--exclude-standard"]
    if os.path.isfile(exclude) and not os.path.islink(exclude):
        words.append(f"--exclude-from={exclude}")
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": empty_repository,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
        "LC_ALL": "C",
    }
    try:
        done = subprocess.run(
            words,
            cwd=top,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    if done.returncode != 0:
        return frozenset()
    names = (name.rstrip(b"/") for name in done.stdout.split(b"\0") if name)
    return frozenset(name for name in names if not name.rpartition(b"/")[2].startswith(_ALWAYS_KEPT))


def _make(repository: str) -> None:
    """An empty repository: three folders and two files, as Git's own `init` makes them."""
    for folder in ("objects", "refs"):
        os.makedirs(os.path.join(repository, folder), mode=0o700, exist_ok=True)
    for name, content in (("HEAD", b"ref: refs/heads/none\n"), ("config", _CONFIG)):
        path = os.path.join(repository, name)
        if not os.path.exists(path):
            with open(path, "wb") as stream:
                stream.write(content)
