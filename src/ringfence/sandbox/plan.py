"""The plan of a sandbox: what the policy means for its files and its network. Pure; what is on the disk is looked at
later, in the survey, and the kernel's part is the launcher's."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

import msgspec

from ringfence.model.shown import Bind, PlacedFile
from ringfence.model.situations import SandboxUnavailable, UsageInvalid
from ringfence.policy.effective import Access, ControlFilePolicy, Limits, Origin, PathRule, Policy, WayPolicy
from ringfence.policy.globs import is_glob
from ringfence.policy.paths import TEMPORARY, anchored, path_table
from ringfence.sandbox.limits import set_limits

SYSTEM_ROOTS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu", "/home/linuxbrew",
)  # fmt: skip
"""What programs are installed in; read-only in every sandbox."""

PRIVATE = (("/tmp", 0o1777, "2g"), ("/var/tmp", 0o1777, "1g"), ("/run", 0o755, "32m"))  # noqa: S108
"""Folders that every sandbox has to itself, with their size limits; HOME is one more."""
HOME_SIZE = "2g"
SHARED_MEMORY = "512m"

_NEVER_A_WORKSPACE = ("/", "/tmp", "/var", "/var/tmp", "/run", "/etc", "/dev", "/proc", "/sys", "/home", "/root")  # noqa: S108
_HOST_PORTS_LIMIT = 100


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
    git_settings: tuple[str, ...] = ()
    """The person's and the machine's settings of Git; by default where Git looks when no variable says otherwise."""
    own: tuple[str, ...] = ()
    """Folders of Ringfence's own policy and record, which nothing inside may see."""
    program: tuple[str, ...] = ()
    """Files and folders that Ringfence itself runs from, which nothing inside may change."""
    package: str | None = None
    """The folder of this package where it lies outside of its environment, as an editable install's does: `ringfence
    mcp` inside needs it too."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """The root file system of a container image, unpacked, which takes the place of the host's programs."""

    name: str
    """As it was asked for."""
    digest: str
    root: str
    """The folder that it lies in."""
    variables: tuple[tuple[str, str], ...] = ()
    """What the image itself puts into the environment."""


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """The OCI runtime that makes the sandbox's container."""

    name: str
    program: str
    """Its real path on the host."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a sandbox is to be made of."""

    facts: HostFacts
    workspace: str
    workspace_writable: bool
    staging: str | None = None
    """The folder that keeps what the session writes to a staged workspace; None where it writes to the real one."""
    staging_shared: str | None = None
    """The same for the repository that a staged workspace shares as a linked working tree."""
    binds: tuple[Bind, ...] = ()
    files: tuple[PlacedFile, ...] = ()
    overlays: tuple[PlacedFile, ...] = ()
    """Files of ours over those of the system, where mounts are possible and the system's are visible."""
    variables: tuple[tuple[str, str], ...] = ()
    """Variables that name files beside the hook's socket; where that is elsewhere, they name that place."""
    programs: tuple[str, ...] = ()
    """Programs that have to be found inside, beside those on PATH: names or absolute paths."""
    host_ports: tuple[int, ...] = ()
    rules: tuple[PathRule, ...] = ()
    """The policy's path rules and the session's grants, which decide where patterns meet."""
    denied: tuple[str, ...] = ()
    """Absolute paths that are neither read nor written."""
    denied_globs: tuple[str, ...] = ()
    """Patterns relative to the workspace, likewise."""
    control_files: ControlFilePolicy = ControlFilePolicy()
    """What the policy adds to the table of control files, and what it takes out."""
    limits: Limits = Limits()
    ways: WayPolicy = WayPolicy()
    """What is opened between the sandbox and the host."""
    limit_origins: tuple[tuple[str, Origin], ...] = ()
    """Who set each limit."""
    image: Image | None = None
    """What programs come from; without one, the host."""
    runtime: Runtime | None = None
    """What makes a container of it; without one, our own launcher does all."""
    boundary: str = ""
    """What holds a session of tier C, as the policy declares it."""
    notices: tuple[str, ...] = ()


def build_plan(
    policy: Policy,
    *,
    facts: HostFacts,
    workspace: str,
    staging: str | None = None,
    staging_shared: str | None = None,
    binds: Iterable[Bind] = (),
    files: Iterable[PlacedFile] = (),
    overlays: Iterable[PlacedFile] = (),
    variables: Iterable[tuple[str, str]] = (),
    programs: Iterable[str] = (),
    host_ports: Iterable[int] = (),
    extra_read: Iterable[str] = (),
    extra_write: Iterable[str] = (),
    image: Image | None = None,
    runtime: Runtime | None = None,
) -> Plan:
    """The plan for a policy and a workspace. `binds` are the agent's own; a deny rule of the policy covers them too."""
    check_workspace(workspace, facts.home)
    ports = tuple(sorted({*policy.network.host_ports, *host_ports}))
    if len(ports) > _HOST_PORTS_LIMIT:
        raise UsageInvalid(
            f"{len(ports)} host ports are more than the {_HOST_PORTS_LIMIT} that a sandbox can have",
            remedy="remove some from `network.host_ports`",
        )
    rules = (*policy.filesystem, *_granted(extra_read, Access.READ), *_granted(extra_write, Access.WRITE))
    found = _Rules(rules, facts.home, workspace)
    return Plan(
        facts=facts,
        workspace=workspace,
        workspace_writable=found.workspace_writable,
        staging=staging if found.workspace_writable else None,
        staging_shared=staging_shared if found.workspace_writable else None,
        binds=found.binds(binds),
        files=tuple(files),
        overlays=tuple(overlays),
        variables=tuple(variables),
        programs=tuple(programs),
        host_ports=ports,
        rules=rules,
        denied=tuple(found.denied),
        denied_globs=tuple(found.globs),
        control_files=policy.control_files,
        image=image,
        runtime=runtime,
        boundary=policy.boundary,
        limits=policy.limits,
        ways=policy.ways,
        limit_origins=tuple((key, policy.origin_of(f"limits.{key}")) for key in set_limits(policy.limits)),
        notices=tuple(found.notices),
    )


def covers(folder: str, path: str) -> bool:
    """Whether a path is a folder or lies below it. Both absolute and normal."""
    return folder in ("/", path) or path.startswith(folder + "/")


class Below:
    """Whether paths are one of some folders or lie below one; asked of many paths. All absolute and normal."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = frozenset(folders)
        self._prefixes = tuple(f"{folder.rstrip('/')}/" for folder in self._folders)

    def __contains__(self, path: str) -> bool:
        return path in self._folders or path.startswith(self._prefixes)


class _Rules:
    """Sorts path rules into binds, denied paths and denied patterns; which rule wins is the policy's own table to
    say."""

    def __init__(self, rules: Iterable[PathRule], home: str, workspace: str) -> None:
        rules = tuple(rules)
        self._home = home
        self._workspace = workspace
        self._table = path_table(rules, home, workspace)
        self._asked: dict[str, Bind] = {}
        self.denied: list[str] = []
        self.globs: list[str] = []
        self.notices: list[str] = []
        self.workspace_writable = self._access(workspace) is Access.WRITE
        for rule in rules:
            for path in anchored(rule.pattern, home=home, workspace=workspace):
                self._sort(rule, path)

    def binds(self, own: Iterable[Bind]) -> tuple[Bind, ...]:
        """What the rules and the agent ask for, without what a deny rule takes away."""
        wanted = [*self._asked.values(), *own]
        return tuple(
            bind for bind in wanted if Access.DENY not in (self._access(bind.source), self._access(bind.target))
        )

    def _access(self, path: str) -> Access | None:
        found = self._table.match(path)
        return found.rule.access if found else None

    def _sort(self, rule: PathRule, path: str) -> None:
        if is_glob(path):
            self._sort_glob(rule, path)
        elif rule.access is Access.DENY:
            self.denied.append(path)
        elif path not in (self._workspace, *TEMPORARY):
            # The strongest rule on a path decides for it, whichever comes first.
            self._asked[path] = Bind(source=path, target=path, writable=self._access(path) is Access.WRITE)

    def _sort_glob(self, rule: PathRule, path: str) -> None:
        inside = covers(self._workspace, path)
        if rule.access is Access.DENY:
            # Elsewhere only what is bound can be seen, and the survey looks for matches there.
            self.globs.append(posixpath.relpath(path, self._workspace) if inside else path)
        elif not inside:
            # In the workspace it is an exception from a deny pattern.
            text = f"the pattern `{rule.pattern}` has no effect in `{rule.access.value}`: name a path without wildcards"
            self.notices.append(text)


def _granted(patterns: Iterable[str], access: Access) -> list[PathRule]:
    origin = Origin(layer="session", source="command line")
    return [PathRule(pattern=pattern, access=access, origin=origin) for pattern in patterns]


def check_workspace(workspace: str, home: str) -> None:
    """Refuse a workspace that would open what a sandbox is there to close."""
    remedy = "give a project folder with `--workspace DIR`"
    if not workspace.startswith("/"):
        raise SandboxUnavailable(f"the workspace `{workspace}` is not an absolute path", remedy=remedy)
    if workspace in (*_NEVER_A_WORKSPACE, *SYSTEM_ROOTS):
        raise SandboxUnavailable(
            f"the workspace `{workspace}` is a folder of the system, not of a project", remedy=remedy
        )
    if workspace == home:
        raise SandboxUnavailable(
            f"the workspace `{workspace}` is your home folder, with your keys in it", remedy=remedy
        )
    if covers(workspace, home):
        raise SandboxUnavailable(f"the workspace `{workspace}` contains your home folder `{home}`", remedy=remedy)
