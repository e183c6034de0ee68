"""What a package manager fetches from when nobody told it anything: asked of the program itself, and remembered.

It runs in an empty folder with an empty home, for a few seconds at most, and again only when the program changes.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile

import msgspec

from ringfence.session.registries.remembered import Remembered

SECONDS = 10.0

_DEFAULT = re.compile(r"default:?\s*<?(https?://[^\s)>\]]+)")
_URL = re.compile(r"https?://[^\s,|)>\]\"']+")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """How a program is asked for its default."""

    programs: tuple[str, ...]
    arguments: tuple[str, ...]
    in_help: bool = False
    """Whether the answer is a sentence of the help, and not the output itself."""


ASKS = {
    "pip": Ask(programs=("pip3", "pip"), arguments=("install", "--help"), in_help=True),
    "uv": Ask(programs=("uv",), arguments=("pip", "install", "--help"), in_help=True),
    "npm": Ask(programs=("npm",), arguments=("config", "get", "registry")),
    "pnpm": Ask(programs=("pnpm",), arguments=("config", "get", "registry")),
    "yarn": Ask(programs=("yarn",), arguments=("config", "get", "registry")),
    "go": Ask(programs=("go",), arguments=("env", "GOPROXY", "GOSUMDB")),
}


def own_default(name: str, program: str, home: str, remembered: Remembered) -> tuple[str, ...]:
    """The addresses that a program names; none where it does not answer."""
    ask = ASKS[name]
    try:
        status = os.stat(program)
    except OSError:
        return ()
    key = f"{name} {os.path.realpath(program)} {status.st_mtime_ns} {status.st_size}"
    known = remembered.defaults.get(key)
    if known is not None:
        return known
    # A version manager's shim finds its program only with the user's home; the answer is a constant all the same.
    urls = _urls(ask, _output(program, ask.arguments, None)) or _urls(ask, _output(program, ask.arguments, home))
    if urls:
        remembered.add_default(key, urls)
    return urls


def _urls(ask: Ask, output: str) -> tuple[str, ...]:
    found = _DEFAULT.findall(" ".join(output.split()))[:1] if ask.in_help else _URL.findall(output)
    return tuple(url.rstrip(".,") for url in found)


def _output(program: str, arguments: tuple[str, ...], home: str | None) -> str:
    with tempfile.TemporaryDirectory(prefix="ringfence-") as empty:
        folders = dict.fromkeys((os.path.dirname(program), "/usr/local/bin", "/usr/bin", "/bin"))
        environment = {
            "PATH": ":".join(folders),
            "HOME": home or empty,
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "400",
            "GOWORK": "off",
        }
        try:
            done = subprocess.run(
                (program, *arguments),
                cwd=empty,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
