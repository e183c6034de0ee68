"""A real OpenSSH server on loopback, its keys, and a client that reaches it through a gateway."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.debian import program
from tests.egress.gatewaying import listening

from ringfence.egress import Authorize, Gateway
from ringfence.model.decision import Decision
from ringfence.model.event import ConnectionClosed

_KEYS = {"ed25519": "-t ed25519", "ecdsa": "-t ecdsa", "rsa": "-t rsa -b 2048"}


class Server:
    """One server with a key of each kind, and a user's key that opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user = getpass.getuser()
        self._program = program("sshd", "openssh-server")
        for name, options in _KEYS.items():
            _keygen(*options.split(), "-f", str(folder / f"host_{name}"))
        _keygen("-t", "ed25519", "-f", str(folder / "id"))
        shutil.copy(folder / "id.pub", folder / "authorized_keys")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def fingerprint(self, kind: str) -> str:
        """Of one of its keys, as OpenSSH shows it."""
        return _keygen("-l", "-f", str(self.folder / f"host_{kind}.pub")).split()[1]

    def certify(self, kind: str) -> None:
        """Have a key signed by an authority, so that the server offers a certificate too."""
        _keygen("-t", "ed25519", "-f", str(self.folder / "authority"))
        _keygen("-s", str(self.folder / "authority"), "-h", "-I", "host", str(self.folder / f"host_{kind}.pub"))

    def start(self, kind: str, **settings: str) -> None:
        """Serve with one of the keys."""
        Path("/run/sshd").mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        certificate = self.folder / f"host_{kind}-cert.pub"
        lines = {
            "Port": str(self.port),
            "ListenAddress": "127.0.0.1",
            "HostKey": str(self.folder / f"host_{kind}"),
            **({"HostCertificate": str(certificate)} if certificate.exists() else {}),
            "AuthorizedKeysFile": str(self.folder / "authorized_keys"),
            "PidFile": "none",
            "StrictModes": "no",
            "PasswordAuthentication": "no",
            **settings,
        }
        file = self.folder / "sshd_config"
        file.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
        with (self.folder / "sshd.log").open("wb") as log:
            self._process = subprocess.Popen([self._program, "-D", "-e", "-f", str(file)], stderr=log)
        for _ in range(500):
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", self.port)):
                    return
            time.sleep(0.01)
        raise AssertionError((self.folder / "sshd.log").read_text())

    def stop(self) -> None:
        """Serve no more."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)


def _keygen(*arguments: str) -> str:
    new = ("-q", "-N", "") if "-t" in arguments else ()
    done = subprocess.run(["ssh-keygen", *new, *arguments], capture_output=True, text=True, check=True)
    return done.stdout


class Through:
    """A gateway before a server, and a port that clients dial as if it were the server's."""

    def __init__(self, server: Server, authorize: Authorize, **options: Any) -> None:
        self.server = server
        self.refused: list[Decision] = []
        self.closed: list[ConnectionClosed] = []
        self.gateway = Gateway(authorize, on_refused=self.refused.append, on_closed=self.closed.append, **options)
        self._listener = listening()
        self.port = self._listener.getsockname()[1]
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.gateway.arrive(f"capture4 127.0.0.1 {self.server.port}", client)

    def close(self) -> None:
        """No more."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self.gateway.close()

    async def ssh(self, *words: str, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        """Run a command there: its status, output and errors."""
        return await run(*self.command(*options), f"{self.server.user}@127.0.0.1", *words)

    def command(self, *options: str) -> list[str]:
        """The client, without the destination."""
        settings = [
            "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "GlobalKnownHostsFile=/dev/null",
            "BatchMode=yes", "IdentitiesOnly=yes", "ConnectTimeout=10", *options,
        ]  # fmt: skip
        given = [part for one in settings for part in ("-o", one)]
        return ["ssh", "-F", "none", "-i", str(self.server.folder / "id"), "-p", str(self.port), *given]


async def run(*words: str, **environment: str) -> tuple[int, str, str]:
    """Run a program to its end."""
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    async with asyncio.timeout(30):
        out, errors = await process.communicate()
    return process.returncode or 0, out.decode(), errors.decode()
