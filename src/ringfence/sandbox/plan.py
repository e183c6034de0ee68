"""The plan of a sandbox: what the policy means for its files and its network. Pure; what is on the disk is looked at
later, in the survey, and the kernel's part is the launcher's."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

import msgspec

from ringfence.model.situations import UsageInvalid
from ringfence.policy.effective import Access, Policy

SYSTEM_ROOTS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu", "/home/linuxbrew",
)  # fmt: skip
"""What programs are installed in; read-only in every sandbox."""

PRIVATE = (("/tmp", 0o1777, "2g"), ("/var/tmp", 0o1777, "1g"), ("/run", 0o755, "32m"))  # noqa: S108
"""Folders that every sandbox has to itself, with their size limits; HOME is one more."""
HOME_SIZE = "2g"
SHARED_MEMORY = "512m"

_NEVER_A_WORKSPACE = ("/", "/tmp", "/var", "/var/tmp", "/run", "/etc", "/dev", "/proc", "/sys", "/home", "/root")  # noqa: S108
_GLOB = frozenset("*?[")
_HOST_PORTS_LIMIT = 100


class Bind(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the host that is visible in the sandbox."""

    source: str
    target: str
    writable: bool = False
    required: bool = False
    """A sandbox without it is refused; else it is simply not there when the host has none."""


class PlacedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that exists in the sandbox only, and is read-only there."""

    path: str
    content: bytes
    mode: int = 0o444


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan has to know about the machine and its user."""

    home: str
    uid: int
    gid: int
    user: str
    hostname: str
    path: str
    """The user's PATH."""
    state: str = ""
    """Where it is kept what was made on the host for a session; by default below HOME."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a sandbox is to be made of."""

    facts: HostFacts
    workspace: str
    workspace_writable: bool
    workspace_mode: str = "direct"
    binds: tuple[Bind, ...] = ()
    files: tuple[PlacedFile, ...] = ()
    programs: tuple[str, ...] = ()
    """Programs that have to be found inside, beside those on PATH: names or absolute paths."""
    host_ports: tuple[int, ...] = ()
    denied: tuple[str, ...] = ()
    """Absolute paths that are neither read nor written."""
    denied_globs: tuple[str, ...] = ()
    """Patterns relative to the workspace, likewise."""
    notices: tuple[str, ...] = ()


def build_plan(
    policy: Policy,
    *,
    facts: HostFacts,
    workspace: str,
    workspace_mode: str = "direct",
    binds: Iterable[Bind] = (),
    files: Iterable[PlacedFile] = (),
    programs: Iterable[str] = (),
    host_ports: Iterable[int] = (),
    extra_read: Iterable[str] = (),
    extra_write: Iterable[str] = (),
) -> Plan:
    """The plan for a policy and a workspace. `binds` are the agent's own; a deny rule of the policy covers them too."""
    check_workspace(workspace, facts.home)
    if workspace_mode != "direct":
        raise UsageInvalid(
            f"the workspace mode `{workspace_mode}` is not available yet",
            remedy="run with `--direct`, which is the default",
        )
    ports = tuple(sorted({*policy.network.host_ports, *host_ports}))
    if len(ports) > _HOST_PORTS_LIMIT:
        raise UsageInvalid(
            f"{len(ports)} host ports are more than the {_HOST_PORTS_LIMIT} that a sandbox can have",
            remedy="remove some from `network.host_ports`",
        )
    rules = [(rule.pattern, rule.access) for rule in policy.filesystem]
    rules += [(pattern, Access.READ) for pattern in extra_read] + [(pattern, Access.WRITE) for pattern in extra_write]
    found = _Rules(facts.home, workspace)
    for pattern, access in rules:
        found.add(pattern, access)
    chosen, notices = found.binds([*found.asked.values(), *binds])
    return Plan(
        facts=facts,
        workspace=workspace,
        workspace_writable=found.workspace_writable,
        workspace_mode=workspace_mode,
        binds=chosen,
        files=tuple(files),
        programs=tuple(programs),
        host_ports=ports,
        denied=tuple(found.denied),
        denied_globs=tuple(found.globs),
        notices=(*found.notices, *notices),
    )


def covers(folder: str, path: str) -> bool:
    """Whether a path is a folder or lies below it. Both absolute and normal."""
    return folder in ("/", path) or path.startswith(folder + "/")


class _Rules:
    """Sorts path rules into binds, denied paths and denied patterns."""

    def __init__(self, home: str, workspace: str) -> None:
        self._home = home
        self._workspace = workspace
        self.asked: dict[str, Bind] = {}
        self.denied: list[str] = []
        self.globs: list[str] = []
        self.notices: list[str] = []
        self.workspace_writable = False

    def add(self, pattern: str, access: Access) -> None:
        path = _expand(pattern, self._home, self._workspace)
        if _GLOB & set(path):
            self._add_glob(pattern, path, access)
        elif access is Access.DENY:
            self.denied.append(path)
        elif path == self._workspace:
            self.workspace_writable |= access is Access.WRITE
        elif path not in ("/tmp", "/var/tmp"):  # noqa: S108 - these are there, private and writable
            writable = access is Access.WRITE or (path in self.asked and self.asked[path].writable)
            self.asked[path] = Bind(source=path, target=path, writable=writable)

    def binds(self, wanted: list[Bind]) -> tuple[tuple[Bind, ...], tuple[str, ...]]:
        """The binds that no deny rule takes away. Deny wins on the same path; the more specific path wins otherwise."""
        kept: list[Bind] = []
        for bind in wanted:
            deeper = [path for path in self.denied if covers(path, bind.target) or covers(path, bind.source)]
            if not deeper or all(self._more_specific(bind, path) for path in deeper):
                kept.append(bind)
        return tuple(kept), ()

    def _more_specific(self, bind: Bind, denied: str) -> bool:
        return bind.source != denied and bind.target != denied and bind.target in self.asked

    def _add_glob(self, pattern: str, path: str, access: Access) -> None:
        if access is not Access.DENY:
            self.notices.append(
                f"the pattern `{pattern}` has no effect in `{access.value}`: name a path without wildcards"
            )
        elif covers(self._workspace, path):
            self.globs.append(posixpath.relpath(path, self._workspace))
        else:
            # Outside the workspace only what is bound can be seen, and the survey looks for matches there.
            self.globs.append(path)


def _expand(pattern: str, home: str, workspace: str) -> str:
    for token, place in (("~", home), (":home", home), (":workspace", workspace), (":tmp", "/tmp")):  # noqa: S108
        if pattern == token:
            return place
        if pattern.startswith(token + "/"):
            return posixpath.normpath(place + pattern[len(token) :])
    if pattern.startswith("/"):
        return posixpath.normpath(pattern)
    return posixpath.normpath(f"{workspace}/{pattern}")


def check_workspace(workspace: str, home: str) -> None:
    """Refuse a workspace that would open what a sandbox is there to close."""
    remedy = "give a project folder with `--workspace DIR`"
    if not workspace.startswith("/"):
        raise UsageInvalid(f"the workspace `{workspace}` is not an absolute path", remedy=remedy)
    if workspace in (*_NEVER_A_WORKSPACE, *SYSTEM_ROOTS):
        raise UsageInvalid(f"the workspace `{workspace}` is a folder of the system, not of a project", remedy=remedy)
    if workspace == home:
        raise UsageInvalid(f"the workspace `{workspace}` is your home folder, with your keys in it", remedy=remedy)
    if covers(workspace, home):
        raise UsageInvalid(f"the workspace `{workspace}` contains your home folder `{home}`", remedy=remedy)
