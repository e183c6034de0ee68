"""A workspace in a home, outside things that must not change, and sessions in it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

from ringfence.session.snapshots import Snapshots, Undone
from ringfence.session.sources import Places


class Scene:
    """A workspace in a home, and sessions in it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.workspace = folder / "home" / "project"
        self.workspace.mkdir(parents=True)
        self.outside = folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        self.places = Places(home=str(folder / "home"), state=str(folder / "state"), user_policy="")
        self.snapshots = Snapshots(self.places, str(self.workspace))
        numbers = count(1)
        self._new: Callable[[], str] = lambda: f"id{next(numbers):03}"
        # Moments far apart and in the future: what was written before counts as settled.
        self._now = 4_000_000_000_000_000_000

    def take(self, session: str, moment: str) -> tuple[str, ...]:
        self._now += 1_000_000_000
        return self.snapshots.take(id=self._new(), session=session, moment=moment, now_ns=self._now)[1]

    def session(self, act: Callable[[], object], name: str = "session-1") -> None:
        self.take(name, "start")
        act()
        self.take(name, "end")

    def turn(self, number: int, name: str = "session-1") -> None:
        self._now += 1_000_000_000
        self.snapshots.turn(id=self._new(), session=name, number=number, now_ns=self._now)

    def undo(self, session: str = "session-1", *paths: str, force: bool = False, turn: int | None = None) -> Undone:
        self._now += 1_000_000_000
        return self.snapshots.undo(session, paths, force=force, new_id=self._new, now_ns=self._now, turn=turn)

    def git(self, *words: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.root), "GIT_CONFIG_NOSYSTEM": "1"}
        identity = ("-c", "user.name=a", "-c", "user.email=a@example")
        done = subprocess.run(
            ("git", *identity, *words), cwd=self.workspace, env=environment, capture_output=True, check=True, text=True
        )
        return done.stdout

    def tree(self) -> dict[str, tuple[str, int, bytes]]:
        """Everything in the workspace but Git's objects: kind, permission bits, content."""
        found = {}
        for folder, folders, files in os.walk(self.workspace):
            for name in (*folders, *files):
                path = Path(folder, name)
                relative = os.path.relpath(path, self.workspace)
                if relative.startswith(".git/objects"):
                    continue
                mode = path.lstat().st_mode
                if path.is_symlink():
                    found[relative] = ("link", 0, os.fsencode(os.readlink(path)))
                elif path.is_dir():
                    found[relative] = ("folder", mode & 0o7777, b"")
                elif path.is_file():
                    found[relative] = ("file", mode & 0o7777, path.read_bytes())
        return found

    def world(self) -> str:
        """A hash of everything outside the workspace and the state folder: names, kinds, modes, contents."""
        found = hashlib.sha256()
        for path in sorted(self.outside.rglob("*")):
            content = os.fsencode(os.readlink(path)) if path.is_symlink() else b""
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else content
            found.update(f"{path} {path.lstat().st_mode:o} {len(content)} ".encode() + content)
        return found.hexdigest()
