"""A PostgreSQL server of our own: started from the machine's packages, in a temporary folder, as an unprivileged user.

PostgreSQL refuses to run as root, so that a test run by root hands it to `nobody`.
"""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from itertools import count

import psycopg

_NUMBERS = count(1)
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where files cost no wait for a disk; None where there is no such place."""


def programs() -> str | None:
    """The folder of the server's programs; None where it is not installed."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    on_path = shutil.which("initdb")
    return os.path.dirname(found[-1]) if found else os.path.dirname(on_path) if on_path else None


class Server:
    """One server, reachable by a socket in its own folder."""

    def __init__(self, **settings: str) -> None:
        folder = programs()
        assert folder is not None
        self._programs = folder
        self._user = "nobody" if os.getuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="rf-postgres-", dir=MEMORY or "/tmp")
        if self._user:
            os.chown(self.folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._data = os.path.join(self.folder, "data")
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "ringfence", "--no-sync", "-E", "UTF8", "--locale=C")
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.folder,
            "max_connections": "260",
            "shared_buffers": "16MB",
            "fsync": "off",
            **self._settings,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = subprocess.Popen(
            [os.path.join(self._programs, "postgres"), "-D", self._data, *words],
            user=self._user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline and self._process.poll() is None, "PostgreSQL did not start"
            time.sleep(0.02)

    def stop(self, *, clean: bool = True) -> None:
        """Stop it: in order, or as a machine that loses its power does."""
        assert self._process is not None
        self._process.terminate() if clean else self._process.kill()
        self._process.wait(20)

    def close(self) -> None:
        """Stop it and remove everything."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self) -> str:
        """The address of a new, empty database."""
        name = f"approvals_{next(_NUMBERS)}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy")  # type: ignore[arg-type]
        return f"postgresql://ringfence@/{name}?host={self.folder}"

    def _address(self, name: str) -> str:
        return f"host={self.folder} user=ringfence dbname={name} connect_timeout=2"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._address("postgres")).close()
        except (psycopg.OperationalError, OSError):
            return False
        return True

    def _run(self, program: str, *words: str) -> None:
        path = os.path.join(self._programs, program)
        done = subprocess.run([path, *words], user=self._user, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
