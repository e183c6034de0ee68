"""The OCI runtime that a person asked for, as a program that is there. One that is missing is refused and never
replaced by another, which may contain less."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

from ringfence.model.situations import SandboxUnavailable, UsageInvalid
from ringfence.sandbox.backends.oci import RUNTIMES
from ringfence.sandbox.plan import Runtime, covers

_ALSO = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where runtimes are installed and a person's PATH often does not lead."""


def runtime(name: str, *, environ: Mapping[str, str], workspace: str) -> Runtime:
    """The runtime of this name: the first on PATH that does not lie in the workspace."""
    if name not in RUNTIMES:
        known = ", ".join(f"`{each}`" for each in RUNTIMES)
        raise UsageInvalid(f"`{name}` is not a known OCI runtime", remedy=f"use one of {known}")
    for folder in (*environ.get("PATH", "").split(os.pathsep), *_ALSO):
        found = shutil.which(name, path=folder) if os.path.isabs(folder) else None
        program = os.path.realpath(found) if found else ""
        # SECURITY: an agent writes in the workspace, and what is found there would run outside the sandbox (T2).
        if found and not any(covers(os.path.realpath(workspace), each) for each in (found, program)):
            return Runtime(name=name, program=program)
    raise SandboxUnavailable(
        f"the OCI runtime `{name}` is not on PATH",
        remedy=f"install `{name}`, or leave `--oci-runtime` out: without it the sandbox is Ringfence's own",
    )
