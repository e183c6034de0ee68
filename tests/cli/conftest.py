"""A person with a home and a project, root or not, who types commands."""

from __future__ import annotations

import json
import os
import pwd
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from ringfence.verify.warm import Start, Warm

SECONDS = 60
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
    warm: Warm

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

    def types(self, *words: str, given: str = "", env: dict[str, str] | None = None, cwd: Path | None = None) -> Done:
        """The command line in a session of its own, in a process that need not load it first."""
        start = Start(
            words=words,
            environment={**self.environment, **(env or {})},
            cwd=str(cwd or self.project),
            uid=self.uid,
            gid=self.gid,
            namespaces=True,
            network=0,
        )
        typed, ours = os.pipe()
        os.write(ours, given.encode())
        os.close(ours)
        out, theirs_out = os.pipe()
        err, theirs_err = os.pipe()
        running = self.warm.start(start, (typed, theirs_out, theirs_err))
        for each in (typed, theirs_out, theirs_err):
            os.close(each)
        said = _all_of(out, err)
        return Done(running.wait(SECONDS), *said)

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


def _all_of(*pipes: int) -> list[str]:
    """What is said on some pipes until nobody holds their other ends any more."""
    heard = {pipe: bytearray() for pipe in pipes}
    end = time.monotonic() + SECONDS
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            assert time.monotonic() < end, heard
            for key, _ in selector.select(1):
                piece = os.read(key.fd, 1 << 16)
                heard[key.fd] += piece
                if not piece:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [heard[pipe].decode() for pipe in pipes]


def accounts() -> list[str]:
    return ["root", "nobody"] if os.getuid() == 0 else [pwd.getpwuid(os.getuid()).pw_name]


@cache
def _unreadable(uid: int, gid: int) -> str:
    """Why an account cannot use this checkout; empty where it can."""
    done = subprocess.run(
        [sys.executable, "-c", "import ringfence"],
        user=uid,
        group=gid,
        extra_groups=[] if os.getuid() == 0 else None,
        check=False,
        capture_output=True,
        cwd="/",
    )
    return done.stderr.decode()[-200:] if done.returncode else ""


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process that has our command line loaded."""
    with Warm() as made:
        yield made


@pytest.fixture(params=accounts())
def person(request: pytest.FixtureRequest, warm: Warm) -> Iterator[Person]:
    account = pwd.getpwnam(request.param)
    if reason := _unreadable(account.pw_uid, account.pw_gid):
        pytest.skip(f"{account.pw_name} cannot read this checkout or its interpreter: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="ringfence-test-"))
    home = folder / "home"
    project = home / "project"
    project.mkdir(parents=True)
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text(KEY)
    (home / ".gitconfig").write_text("[user]\n\tname = n\n\temail = e@example.com\n[init]\n\tdefaultBranch = main\n")
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    yield Person(account.pw_uid, account.pw_gid, home, project, warm)
    shutil.rmtree(folder, ignore_errors=True)
