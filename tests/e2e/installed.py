"""The real agents, installed once from npm in the versions that `agents.json` pins.

They go to `.cache/agents` in the checkout, or to $RINGFENCE_TEST_CACHE, readable for every user, because the tests run
the agents as another user too. `python -m tests.e2e.installed` installs all of them beforehand.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSIONS = Path(__file__).parent / "agents.json"
SETTINGS_VERSIONS = Path(__file__).parent / "settings_agents.json"
"""The agents of which only the settings are tried."""
REPOSITORY = Path(__file__).parents[2]


class Unavailable(Exception):
    """The agents cannot be had here; the text says why."""


def cache_folder() -> Path:
    """Where tests keep what is worth keeping."""
    return Path(os.environ.get("RINGFENCE_TEST_CACHE") or REPOSITORY / ".cache")


def place_folder() -> Path:
    """Where homes and projects are made: not below a temporary folder, which every sandbox has to itself, so that
    what is written there would be neither outside nor refused."""
    for folder in (cache_folder(), Path("/srv"), Path("/opt"), Path.home()):
        temporary = any(folder.resolve().is_relative_to(each) for each in ("/tmp", "/var/tmp"))
        if not temporary and os.access(folder, os.W_OK):
            return folder
    raise Unavailable("there is no folder for the homes of the tests that is not below a temporary one")


def installed_agents(versions: Path = VERSIONS) -> Path:
    """The folder with the programs that a file of versions names: `codex` and `claude`, where none is given."""
    cache = cache_folder() / versions.stem
    wanted = json.loads(versions.read_text())
    if not _is_current(cache, wanted):
        _install(cache, wanted)
    if shutil.which("node") is None:
        raise Unavailable("`node` is not on PATH, and Codex starts through it")
    return cache / "node_modules" / ".bin"


def _is_current(cache: Path, wanted: dict[str, str]) -> bool:
    for package, version in wanted.items():
        manifest = cache / "node_modules" / package / "package.json"
        if not manifest.exists() or json.loads(manifest.read_text())["version"] != version:
            return False
    return True


def _install(cache: Path, wanted: dict[str, str]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("`npm` is not on PATH")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_current(cache, wanted):
                _replace(npm, cache, wanted)
    except OSError as error:
        raise Unavailable(f"the agents cannot be installed to `{cache}`: {error}") from error


def _replace(npm: str, cache: Path, wanted: dict[str, str]) -> None:
    # Whole or not at all: another process that looks meanwhile must not take half of them for installed.
    with tempfile.TemporaryDirectory(prefix="new-", dir=cache) as new:
        _run_npm(npm, new, wanted)
        if (cache / "node_modules").exists():
            os.rename(cache / "node_modules", f"{new}/old")
        os.rename(f"{new}/node_modules", cache / "node_modules")


def _run_npm(npm: str, folder: str, wanted: dict[str, str]) -> None:
    # `--force`: one of the packages asks for a newer Node than its program needs.
    packages = [f"{package}@{version}" for package, version in wanted.items()]
    argv = [npm, "install", "--prefix", folder, "--force", "--no-audit", "--no-fund", "--no-save", *packages]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, umask=0o022)
    except subprocess.TimeoutExpired:
        raise Unavailable("npm did not install the agents within five minutes") from None
    if done.returncode:
        raise Unavailable(f"npm could not install the agents: {done.stderr.strip()[-500:]}")


def main() -> None:
    """Install all agents; why one cannot be had is said, as the tests that need it will say it again."""
    for versions in (VERSIONS, SETTINGS_VERSIONS):
        try:
            installed_agents(versions)
        except Unavailable as reason:
            print(reason)


if __name__ == "__main__":
    main()
