"""A MariaDB of our own: Debian's packages, unpacked and not installed, with a server in a temporary folder.

The packages go to `.cache/mariadb` in the checkout, or to $RINGFENCE_TEST_CACHE, once. The server takes no root, so
that a test run by root hands it to `nobody`.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.approvals.postgresql import MEMORY
from tests.e2e.installed import Unavailable, cache_folder

PACKAGES = ("mariadb-server-core", "mariadb-client-core", "libmariadb3", "libaio1", "liburing2")
USER, PASSWORD = "app", "of-the-app"


def unpacked() -> Path:
    """The folder with the programs of the packages."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable("MariaDB is taken from Debian's packages, and there is no `apt-get` here")
    cache = cache_folder() / "mariadb"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (cache / "usr").is_dir():
            _unpack(cache)
    return cache


def _unpack(cache: Path) -> None:
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run(
            ["apt-get", "download", "-q", *PACKAGES], cwd=folder, capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            raise Unavailable(f"MariaDB's packages cannot be had: {done.stderr.strip()[-300:]}")
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), f"{folder}/root"], check=True)
        os.rename(f"{folder}/root/usr", cache / "usr")


class Server:
    """One server with one account, on every address of this machine, with and without TLS."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = Path(tempfile.mkdtemp(prefix="rf-mariadb-", dir=MEMORY))
        self._user = "nobody" if os.getuid() == 0 else None
        self.libraries = next((root / "usr" / "lib").glob("*-linux-gnu"))
        self._environment = {**os.environ, "LD_LIBRARY_PATH": str(self.libraries)}
        self._run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                  "2", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=db.test")  # fmt: skip
        statements = (f"create user {USER} identified by '{PASSWORD}';", f"grant all on *.* to {USER};")
        (self.folder / "start.sql").write_text("\n".join(statements) + "\n")
        if self._user:
            for one in (self.folder, *self.folder.iterdir()):
                os.chown(one, pwd.getpwnam(self._user).pw_uid, -1)
        self.data = self.folder / "data"
        self._run(str(root / "usr/bin/mariadb-install-db"), "--no-defaults", f"--basedir={root}/usr",
                  f"--datadir={self.data}", "--auth-root-authentication-method=normal", "--skip-test-db",
                  "--innodb-log-file-size=4M", user=self._user)  # fmt: skip
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(root / "usr/sbin/mariadbd"), "--no-defaults", f"--basedir={root}/usr", f"--datadir={self.data}",
                    f"--socket={self.folder}/socket", f"--port={self.port}", "--bind-address=127.0.0.1",
                    f"--init-file={self.folder}/start.sql", f"--ssl-cert={self.folder}/cert.pem",
                    f"--ssl-key={self.folder}/key.pem", "--skip-name-resolve", f"--pid-file={self.folder}/pid",
                    "--general-log", f"--general-log-file={self.folder}/heard",
                    "--innodb-log-file-size=4M",
                ],
                user=self._user, cwd=self.folder, env=self._environment, stdout=subprocess.DEVNULL,
                stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while not (self.folder / "pid").exists():
            assert time.monotonic() < deadline and self._process.poll() is None, self.log
            time.sleep(0.02)

    @property
    def log(self) -> str:
        """What it has written about itself."""
        return (self.folder / "log").read_text()

    @property
    def heard(self) -> str:
        """What clients asked it for, their logins among it."""
        return (self.folder / "heard").read_text()

    def close(self) -> None:
        """Stop it, and remove everything."""
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, *words: str, user: str | None = None) -> None:
        done = subprocess.run(
            words, cwd=self.folder, env=self._environment, user=user, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
