"""Runs a program in a container made from this machine's own system folders, under a default system-call profile, with
the engines that are installed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.debian import program
from tests.sandbox.tier_b.container_profile import CAPABILITIES, PROFILE

LINKS = ("bin", "sbin", "lib", "lib64")
# crun refuses a machine with both generations of control groups; in a mount namespace with the second alone it runs.
ONE_GENERATION = (
    "unshare",
    "--mount",
    "sh",
    "-c",
    'umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"',
    "sh",
)
SECONDS = 120


class NoContainer(Exception):
    """The engine makes no container here; the text says why."""


@dataclass(frozen=True)
class Engine:
    """An engine, and a folder of its own to work in."""

    name: str
    work: Path
    uid: int = 0

    def run(self, argv: list[str], *, shown: list[Path], writable: list[Path]) -> subprocess.CompletedProcess[str]:
        """A program in a new container, with the machine's network."""
        made = self._podman if self.name == "podman" else self._bundle
        command = made(argv, shown, writable)
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        if done.returncode and "hybrid mode not supported" in done.stderr:
            command = (*ONE_GENERATION, *command)
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        return done

    def check(self) -> None:
        """`NoContainer` where not even `true` can be run."""
        if os.geteuid() != 0:
            raise NoContainer("only root makes containers without more ado")
        if self.name != "podman":
            program(self.name, self.name)
        elif shutil.which("podman") is None:
            raise NoContainer("podman is not installed")
        done = self.run(["/usr/bin/true"], shown=[], writable=[])
        if done.returncode:
            raise NoContainer(f"{self.name} makes no container here: {done.stderr.strip()[-300:]}")

    def _podman(self, argv: list[str], shown: list[Path], writable: list[Path]) -> tuple[str, ...]:
        place = self.work / "podman"
        # Below what the tests themselves have, or an engine without the right to raise limits fails.
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        # crun loads a program for the kernel where it makes a control group, which takes a right of the host's root.
        runtime = ("crun", "--cgroups=disabled") if shutil.which("crun") else ("runc",)
        mounts = [f"--volume={path}:{path}:ro" for path in (Path("/usr"), *shown)]
        mounts += [f"--volume={path}:{path}" for path in writable]
        return (
            "podman",
            *(f"--root={place}/root", f"--runroot={place}/run", f"--tmpdir={place}/tmp"),
            *("--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none"),
            *(f"--runtime={runtime[0]}", "run", *runtime[1:], "--rm"),
            *("--network=host", "--tmpfs=/tmp", f"--user={self.uid}:{self.uid}"),
            *(f"--ulimit=nofile={files}:{files}", "--ulimit=nproc=4000:4000"),
            *(*mounts, "--rootfs", str(self._root()), *argv),
        )

    def _bundle(self, argv: list[str], shown: list[Path], writable: list[Path]) -> tuple[str, ...]:
        bundle = self.work / "bundle"
        bundle.mkdir(exist_ok=True)
        (bundle / "config.json").write_text(json.dumps(self._description(argv, shown, writable)))
        disabled = ("--cgroup-manager=disabled",) if self.name == "crun" else ()
        return (
            *(self.name, f"--root={self.work}/state", *disabled),
            *("run", f"--bundle={bundle}", f"ringfence-test-{os.getpid()}"),
        )

    def _description(self, argv: list[str], shown: list[Path], writable: list[Path]) -> dict[str, object]:
        binds = [(path, "ro") for path in (Path("/usr"), *shown)] + [(path, "rw") for path in writable]
        # Of a container that may change no identity, only root has any capability.
        held = CAPABILITIES if self.uid == 0 else []
        sets = {"bounding": CAPABILITIES, "permitted": held, "effective": held, "inheritable": [], "ambient": []}
        nosuid = ["nosuid", "noexec", "nodev"]
        return {
            "ociVersion": "1.0.2",
            "process": {
                "terminal": False,
                "user": {"uid": self.uid, "gid": self.uid},
                "args": argv,
                "env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
                "cwd": "/",
                "capabilities": sets,
                "noNewPrivileges": self.uid != 0,
            },
            "root": {"path": str(self._root()), "readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": nosuid},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
                {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": nosuid},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]},
                *(
                    {"destination": str(path), "type": "bind", "source": str(path), "options": ["rbind", how]}
                    for path, how in binds
                ),
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
                "seccomp": PROFILE,
            },
        }

    def _root(self) -> Path:
        root = self.work / "rootfs"
        root.mkdir(exist_ok=True)
        for name in LINKS:
            if os.path.lexists(f"/{name}") and not (root / name).is_symlink():
                (root / name).symlink_to(f"usr/{name}")
        for name in ("usr", "proc", "dev", "sys", "tmp", "etc", "run"):
            (root / name).mkdir(exist_ok=True)
        return root


def interpreter_folders() -> list[Path]:
    """Where this interpreter and its packages lie, outside the system's folders."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(os.path.realpath(sys.executable)).parents[1]}
    return sorted(path for path in found if not path.is_relative_to("/usr"))
