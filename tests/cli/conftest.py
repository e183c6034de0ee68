"""A person with a home and a project, root or not, who types commands."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n"


@dataclass
class Done:
    """A command that ended."""

    code: int
    out: str
    err: str


@dataclass
class Person:
    """Who types, and where."""

    uid: int
    gid: int
    home: Path
    project: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
        }

    def start(self, *words: str, **options: object) -> subprocess.Popen[str]:
        environment = {**self.environment, **options.pop("env", {})}  # type: ignore[dict-item]
        return subprocess.Popen(
            [sys.executable, "-m", "ringfence", *words],
            cwd=options.pop("cwd", self.project),  # type: ignore[arg-type]
            env=environment,
            user=self.uid,
            group=self.gid,
            extra_groups=[] if os.getuid() == 0 else None,
            text=True,
            **options,  # type: ignore[arg-type]
        )

    def types(self, *words: str, given: str = "", **options: object) -> Done:
        running = self.start(
            *words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        out, err = running.communicate(given, timeout=60)
        return Done(running.returncode, out, err)

    def git(self, *words: str) -> None:
        subprocess.run(
            ["git", *words],
            cwd=self.project,
            env=self.environment,
            user=self.uid,
            group=self.gid,
            extra_groups=[] if os.getuid() == 0 else None,
            check=True,
            capture_output=True,
        )

    def log(self, *words: str) -> list[dict[str, object]]:
        """What the record holds of the newest session."""
        done = self.types("log", "--json", *words)
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]


def accounts() -> list[str]:
    return ["root", "nobody"] if os.getuid() == 0 else [pwd.getpwuid(os.getuid()).pw_name]


@pytest.fixture(params=accounts())
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    account = pwd.getpwnam(request.param)
    readable = subprocess.run(
        [sys.executable, "-c", "import ringfence"],
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=[] if os.getuid() == 0 else None,
        check=False,
        capture_output=True,
        cwd="/",
    )
    if readable.returncode:
        pytest.skip(
            f"{account.pw_name} cannot read this checkout or its interpreter: {readable.stderr.decode()[-200:]}"
        )
    folder = Path(tempfile.mkdtemp(prefix="ringfence-test-"))
    home = folder / "home"
    project = home / "project"
    project.mkdir(parents=True)
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text(KEY)
    (home / ".gitconfig").write_text("[user]\n\tname = n\n\temail = e@example.com\n[init]\n\tdefaultBranch = main\n")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    yield Person(account.pw_uid, account.pw_gid, home, project)
    shutil.rmtree(folder, ignore_errors=True)
