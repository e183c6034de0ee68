"""Container images as what a sandbox's programs come from: asked of Podman or Docker, unpacked once, kept by digest.

No container is run: the sandbox is ours, with everything the policy says, and the image only fills it. Nothing is
fetched from a registry here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from ringfence.model.situations import SandboxUnavailable
from ringfence.sandbox.plan import Image, covers
from ringfence.sandbox.survey_unshared import PROXIED

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs lie in an image that does not say it."""
_TOOLS = ("podman", "docker")
_LOOK = "look at the image by hand: `podman image inspect NAME`"
_SECONDS = 600.0
_OURS = frozenset({"HOME", "USER", "LOGNAME", "TMPDIR", "HOSTNAME", "TERM", "NO_PROXY", *map(str.upper, PROXIED)})
"""Variables that a session sets, whatever an image says."""


def image(name: str, *, state: str, environ: Mapping[str, str]) -> Image:
    """The image of this name, or the folder at this path, ready to be used."""
    if os.path.isabs(name):
        return _folder(name, environ.get("HOME", ""))
    tool = next((found for each in _TOOLS if (found := shutil.which(each, path=environ.get("PATH")))), None)
    if tool is None:
        raise SandboxUnavailable(
            f"the image `{name}` cannot be looked up: neither `podman` nor `docker` is on PATH",
            remedy="install one of them, or give the folder of an unpacked image: `--image /path/to/rootfs`",
        )
    said = _run((tool, "image", "inspect", "--", name), environ)
    if said is None:
        fetch = f"`{os.path.basename(tool)} pull {name}`"
        raise SandboxUnavailable(f"there is no image `{name}` on this machine", remedy=f"fetch it first: {fetch}")
    digest, variables = read_inspection(said)
    root = os.path.join(state, "images", digest)
    if not os.path.isdir(root):
        _unpack(tool, digest, root, environ)
    return Image(name=name, digest=digest, root=os.path.realpath(root), variables=variables)


def read_inspection(text: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    """What `image inspect` says: the identity of the image and its variables."""
    try:
        found = json.loads(text)[0]
        digest = str(found["Id"]).removeprefix("sha256:")
        config = found.get("Config") or {}
        pairs = [str(each).partition("=") for each in config.get("Env") or ()]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SandboxUnavailable("the image's description cannot be read", remedy=_LOOK) from error
    if not digest.isalnum():
        raise SandboxUnavailable("the image's identity is not a digest", remedy=_LOOK)
    named = [(key, value) for key, _, value in pairs if key.upper() not in _OURS and not key.startswith("RINGFENCE")]
    return digest, (("PATH", _PATH), *(pair for pair in named if pair[0]))


def _folder(path: str, home: str) -> Image:
    real = os.path.realpath(path)
    if covers(real, os.path.realpath(home)):
        # SECURITY: of this machine, or of a home folder, everything would be shown that has another name than usual.
        raise SandboxUnavailable(
            f"`{path}` holds your home folder, so it is no image",
            remedy="leave `--image` out for this machine's programs",
        )
    if not os.path.isdir(os.path.join(real, "usr")) and not os.path.isdir(os.path.join(real, "bin")):
        raise SandboxUnavailable(
            f"`{path}` is not an unpacked image: there is neither `usr` nor `bin` in it",
            remedy="give the folder of a root file system, or the name of an image",
        )
    return Image(name=path, digest="folder", root=real, variables=(("PATH", _PATH),))


def _unpack(tool: str, digest: str, root: str, environ: Mapping[str, str]) -> None:
    making = f"{root}.{os.getpid()}"
    container = f"ringfence-unpack-{os.getpid()}"
    os.makedirs(making, mode=0o700)
    try:
        # Made and never started: a container is the only form in which both tools give out a file system.
        if _run((tool, "create", "--name", container, digest, "none"), environ) is None:
            raise SandboxUnavailable(f"`{tool} create {digest}` failed", remedy="try it by hand")
        with subprocess.Popen((tool, "export", container), stdout=subprocess.PIPE, env=dict(environ)) as export:
            # SECURITY: tar refuses names that lead out, and makes links last; device nodes are left out.
            argv = ("tar", "-x", "-C", making, "--no-same-owner", "--exclude=dev/*", "--exclude=./dev/*")
            unpacked = subprocess.run(argv, stdin=export.stdout, env=dict(environ), check=False, timeout=_SECONDS)
        if export.returncode or unpacked.returncode:
            raise SandboxUnavailable(f"the image `{digest[:12]}` cannot be unpacked", remedy="is the disk full?")
        with contextlib.suppress(OSError):
            # Somebody else may have been faster; theirs is the same.
            os.rename(making, root)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxUnavailable(f"the image cannot be unpacked: {error}", remedy="is the disk full?") from error
    finally:
        _run((tool, "rm", "-f", container), environ)
        shutil.rmtree(making, ignore_errors=True)


def _run(argv: Sequence[str], environ: Mapping[str, str]) -> bytes | None:
    try:
        done = subprocess.run(
            argv, env=dict(environ), stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
