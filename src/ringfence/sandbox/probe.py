"""Says which tier of sandbox this machine can give, by trying, and what to do where it cannot. Never lowers a demand:
what is not there is refused by whoever asked."""

from __future__ import annotations

import contextlib
import os
import platform

import msgspec

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import Limits
from ringfence.sandbox import landlock, limit_groups
from ringfence.sandbox.head_start import Launcher
from ringfence.sandbox.interpreter import interpreter, start

TIERS = ("A", "B", "C")
"""Strongest first."""

_NAMESPACES = ("namespaces", "inner user namespace", "no capabilities")
_FILES = ("mounts by descriptor", "private proc", "private devices", "private root")
_NETWORK = ("loopback", "every address", "capture")
REQUIRED = ("landlock", "seccomp", *_NAMESPACES, *_FILES, *_NETWORK)
"""What tier A needs."""
REQUIRED_B = ("landlock", "seccomp", "landlock truncation", "user notification", "calls answered")
"""What tier B needs."""
OPTIONAL = (
    "overlay",
    "cgroup delegation",
    "landlock truncation",
    "landlock scopes",
    "user notification",
    "calls answered",
)
"""What later layers use where it is there."""

_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_CLONE = "/proc/sys/kernel/unprivileged_userns_clone"
_LIMIT = "/proc/sys/user/max_user_namespaces"
_REMEDY = "`ringfence doctor` shows what this machine can enforce and how to get the rest"


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was tried."""

    name: str
    ok: bool
    detail: str = ""
    fix: str = ""
    required: bool = True
    """Whether tier A needs it."""


class TierReport(msgspec.Struct, frozen=True, kw_only=True):
    """What this machine can enforce."""

    tier: str
    """`A`, `B`, `C` or `none`: the strongest that the machine could give."""
    facts: tuple[Fact, ...]


def probe() -> TierReport:
    """Try everything, in a process that is thrown away."""
    if platform.system() != "Linux":
        fact = Fact(name="kernel", ok=False, detail=f"{platform.system()} is not supported in this version")
        return TierReport(tier="none", facts=(fact,))
    tried = {**_tried(), "cgroup delegation": _group()}
    facts = tuple(_fact(name, tried.get(name)) for name in (*REQUIRED, *OPTIONAL))
    return TierReport(tier=_tier({fact.name for fact in facts if fact.ok}), facts=facts)


def require(min_tier: str, boundary: str = "") -> tuple[str, ...]:
    """The tiers that a session may try, strongest first, or `SandboxUnavailable` when the machine is known to give
    none that is strong enough. `boundary` is what the policy declares to hold a session of tier C.

    Cheap: it reads what the kernel says of itself. What only a trial shows, the start of the sandbox shows, and
    refuses.
    """
    if min_tier not in TIERS:
        raise SandboxUnavailable(f"there is no tier `{min_tier}`", remedy="the tiers are `A`, `B` and `C`")
    obstacles = {"A": _obstacle(), "B": _obstacle_to_b(), "C": ("", "") if boundary else _UNDECLARED}
    allowed = tuple(tier for tier in TIERS if tier <= min_tier)
    possible = tuple(tier for tier in allowed if not obstacles[tier][0])
    if not possible:
        reason, fix = obstacles[allowed[-1]]
        remedy = f"{fix}; {_REMEDY}" if fix else _REMEDY
        if allowed == ("A",) and not obstacles["B"][0]:
            remedy = f"{ALLOW_B}; else {remedy}"
        raise SandboxUnavailable(
            f"{reason}; there is no sandbox here that is strong enough: at least tier {min_tier} is asked for",
            remedy=remedy,
        )
    return possible


_UNDECLARED = (
    "tier C is no sandbox, and the policy does not declare what holds the session instead",
    'where a container or a machine of its own does, say so in your policy, under `[sandbox]`: `boundary = "..."`',
)
ALLOW_B = (
    "this machine may give a sandbox of tier B, without namespaces: allow it with `--min-tier B`, "
    'or with `min_tier = "B"` under `[sandbox]` in your policy'
)


def fix_for(name: str) -> str:
    """What to do about a trial that failed, on this machine."""
    if name in _NAMESPACES:
        return _namespace_fix()
    if name == "private proc" and _in_container():
        return (
            "the container hides parts of /proc, so a new one is refused; run it with "
            "`--security-opt systempaths=unconfined` (Docker) or `procMount: Unmasked` (Kubernetes)"
        )
    if name in ("mounts by descriptor", "private devices", "private root") and _in_container():
        return "allow the mount calls: `--security-opt seccomp=unconfined --security-opt apparmor=unconfined` (Docker)"
    if name == "landlock":
        return "use a kernel from 5.13 on, with `landlock` in its `lsm=` boot parameter (see /sys/kernel/security/lsm)"
    if name == "landlock truncation":
        return "use a kernel from 6.2 on; tier B needs it, tier A does not"
    if name == "landlock scopes":
        return "use a kernel from 6.12 on, which keeps signals inside; before, tier B's supervisor does"
    if name == "capture":
        return "load the kernel modules `nf_tables`, `nft_redir` and `nf_nat` (`sudo modprobe nft_redir nf_nat`)"
    if name == "cgroup delegation":
        return (
            "run where systemd's user manager runs (`loginctl enable-linger`), or below a cgroup v2 group that hands "
            "out memory, pids and cpu and that you may write in"
        )
    return "use a kernel from 5.13 on"


def _obstacle() -> tuple[str, str]:
    if platform.system() != "Linux":
        return f"{platform.system()} is not supported", "run on Linux"
    try:
        landlock.version()
    except OSError as error:
        return f"the kernel offers no Landlock: {error.strerror}", fix_for("landlock")
    if _read(_LIMIT) == "0":
        return "user namespaces are switched off on this machine", _namespace_fix()
    if os.geteuid() != 0 and _read(_CLONE) == "0":
        return "unprivileged user namespaces are switched off on this machine", _namespace_fix()
    return "", ""


def _obstacle_to_b() -> tuple[str, str]:
    if platform.system() != "Linux":
        return f"{platform.system()} is not supported", "run on Linux"
    try:
        generation = landlock.version()
    except OSError as error:
        return f"the kernel offers no Landlock: {error.strerror}", fix_for("landlock")
    if generation < landlock.TRUNCATE_SINCE:
        return (
            f"tier B needs Landlock's generation {landlock.TRUNCATE_SINCE}, which keeps files from being cut short, "
            f"and the kernel has {generation}",
            "use a kernel from 6.2 on",
        )
    return "", ""


def _namespace_fix() -> str:
    if _read(_LIMIT) == "0":
        return "allow user namespaces: `sudo sysctl user.max_user_namespaces=15000`"
    if _read(_CLONE) == "0":
        return "allow them for users: `sudo sysctl kernel.unprivileged_userns_clone=1`"
    if _read(_APPARMOR) == "1":
        return (
            "AppArmor keeps user namespaces from users here: "
            "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, "
            f"or an AppArmor profile with `userns,` for `{interpreter()}`"
        )
    if _in_container():
        return "the container forbids namespaces: run it with `--security-opt seccomp=unconfined --cap-add SYS_ADMIN`"
    return "use a kernel with user namespaces (CONFIG_USER_NS)"


def _tried() -> dict[str, tuple[bool, str]]:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid = start("trial", {1: writer})
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    rows = [line.split("\t") for line in text.splitlines()]
    return {row[0]: (row[1] == "ok", row[2]) for row in rows if len(row) == 3}


def _group() -> tuple[bool, str]:
    """Whether a group with every limit can be had, found out by making one."""
    limits = Limits(memory_mb=1024, processes=1024, cpu_percent=100)
    launcher = Launcher()
    try:
        group = limit_groups.place(limits, launcher.pid, f"{limit_groups.PREFIX}{os.getpid()}-doctor", uid=os.getuid())
    finally:
        launcher.abandon()
    if group is None:
        return False, (
            "none: a watch outside the sandbox holds `limits.memory_mb`, `disk_mb` and `processes`, "
            "and `cpu_percent` by whole processors"
        )
    group.remove()
    return True, "the kernel holds `limits.memory_mb`, `processes` and `cpu_percent`"


def _fact(name: str, outcome: tuple[bool, str] | None) -> Fact:
    ok, detail = outcome or (False, "not reached, because an earlier trial failed")
    fix = "" if ok or outcome is None else fix_for(name)
    return Fact(name=name, ok=ok, detail=detail, fix=fix, required=name in REQUIRED)


def _tier(passed: set[str]) -> str:
    if passed.issuperset(REQUIRED):
        return "A"
    if passed.issuperset(REQUIRED_B):
        return "B"
    return "C"


def _in_container() -> bool:
    return os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv") or "KUBERNETES_PORT" in os.environ


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
