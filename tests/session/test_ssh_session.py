"""A real session from which git and ssh reach a real server by a rule: nothing has to be answered or set up inside."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.egress.ssh.sshd import Server

from ringfence.model.host import HOST_LOOPBACK

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


class World:
    """A server outside, a workspace with the key that opens it, and a person's folders."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder)
        self.server.start("ed25519")
        self.folder, self.home, self.workspace = folder, folder / "home", folder / "w"
        for one in (self.home, self.workspace):
            one.mkdir()
        shutil.copy(folder / "id", self.workspace / "id")
        subprocess.run(["git", "init", "-q", "--bare", str(folder / "origin.git")], check=True)

    def policy(self, kind: str) -> None:
        words = (self.folder / f"host_{kind}.pub").read_text().split()
        (self.folder / "policy.toml").write_text(
            f'extends = "workspace"\n[[network.rule]]\nhosts = ["{HOST_LOOPBACK}:{self.server.port}"]\n'
            f'verdict = "allow"\nprotocol = "ssh"\nhost_keys = ["{words[0]} {words[1]}"]\n'
        )

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command from a script of the workspace, as a build does."""
        script = self.workspace / "step.sh"
        script.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n")
        script.chmod(0o755)
        words = (sys.executable, "-m", "ringfence", "exec", "--ask", "deny", "--policy", f"{self.folder}/policy.toml")
        return subprocess.run(
            (*words, "--", "./step.sh"),
            cwd=self.workspace,
            env={**os.environ, "HOME": str(self.home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def address(self) -> str:
        return f"{self.server.user}@{HOST_LOOPBACK}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("ssh"))
    yield made
    made.server.stop()


def test_git_clones_over_ssh_and_asks_nobody(world: World) -> None:
    world.policy("ed25519")
    url = f"ssh://{world.address}:{world.server.port}{world.folder}/origin.git"

    done = world.run("git", "-c", f"core.sshCommand=ssh -i {world.workspace}/id", "clone", "-q", url, "cloned")

    assert done.returncode == 0, done.stderr
    assert (world.workspace / "cloned" / ".git" / "HEAD").is_file()


def test_another_server_is_refused_and_the_client_says_why(world: World) -> None:
    world.policy("rsa")

    done = world.run("ssh", "-i", "id", "-o", "StrictHostKeyChecking=no", "-p", str(world.server.port), world.address)

    assert done.returncode == 255
    assert "ringfence: connection to" in done.stderr
    assert "which is none of those that it may show" in done.stderr


def test_a_port_that_is_opened_for_ssh_takes_nothing_else(world: World) -> None:
    world.policy("ed25519")

    done = world.run("curl", "-sSi", "-m", "10", f"http://{HOST_LOOPBACK}:{world.server.port}/")

    assert "X-Ringfence-Verdict: deny" in done.stdout
    assert "no rule opens host" in done.stdout
