"""The Seatbelt profile of a plan, for macOS: deny by default, and open what the plan opens. Pure.

The last rule that matches decides, so rules come from the least specific to the most. There are no mounts: what a plan
would show somewhere else cannot be shown, and is refused. Nothing here has run on a Mac yet.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

import msgspec

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.control_files import ControlFile, Direct, rows_with
from ringfence.policy.effective import Access, PathRule
from ringfence.policy.globs import is_glob
from ringfence.policy.paths import BINDING, TEMPORARY, anchored
from ringfence.sandbox.plan import Plan, covers
from ringfence.sandbox.seatbelt_text import LINKS, any_spelling, below, canonical, literal, quoted, subpath

SYSTEM = (
    "/usr", "/bin", "/sbin", "/opt/homebrew", "/opt/local", "/nix", "/System/Library", "/Library/Apple",
    "/Library/Developer", "/Library/Frameworks", "/System/Volumes/Preboot/Cryptexes", "/private/var/db/timezone",
    "/private/var/db/dyld", "/private/var/select", "/private/etc/ssl",
)  # fmt: skip
"""What programs are installed in, and what they need to start."""
_NAMES = ("hosts", "passwd", "group", "protocols", "services", "shells", "localtime", "resolv.conf", "paths", "profile")
_DEVICES = ("null", "zero", "random", "urandom", "dtracehelper")
_SERVICES = (
    "com.apple.system.opendirectoryd.libinfo",
    "com.apple.system.opendirectoryd.membership",
    "com.apple.bsd.dirhelper",
)
"""Users, groups, the temporary folder. Not trust, clipboard, key chain, events or the name service."""
_SYSCTL = (
    "kern.argmax", "kern.bootargs", "kern.hostname", "kern.maxfilesperproc", "kern.maxproc", "kern.ngroups",
    "kern.osproductversion", "kern.osrelease", "kern.ostype", "kern.osvariant_status", "kern.osversion",
    "kern.secure_kernel", "kern.usrstack64", "kern.version", "security.mac.lockdown_mode_state",
    "sysctl.proc_cputype", "vm.loadavg",
)  # fmt: skip
"""By name, because `kern.procargs2` tells the arguments and variables of every process."""


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """What a session makes on the host before it starts."""

    private: tuple[str, ...]
    """Folders of its own, which stand for HOME and the temporary folder."""
    hook: str
    """The socket of the hooks' server."""
    proxy_port: int
    """Where the gateway listens on the loopback."""


def profile(plan: Plan, places: Places) -> str:
    """The text for `sandbox-exec -p`."""
    rows = [
        "(version 1)",
        "(deny default)",
        *_processes(plan, places),
        *_services(),
        *_network(plan, places),
        *_files(plan, places),
    ]
    return "\n".join(rows) + "\n"


def _processes(plan: Plan, places: Places) -> list[str]:
    opened = (*SYSTEM, *_programs(plan), plan.workspace, *places.private, *_shown(plan))
    programs = dict.fromkeys(map(subpath, opened))
    return [
        "; processes: among themselves only",
        "(allow process-fork)",
        _rule("allow", "process-exec", programs),
        "(allow signal (target same-sandbox))",
        "(allow process-info* (target same-sandbox))",
        "(allow ipc-posix-sem)",
        "(allow pseudo-tty)",
        '(allow file-read* file-write* file-ioctl (literal "/dev/ptmx"))',
        # SECURITY: only terminals that were made inside; into the person's own one could type (T6).
        '(allow file-read* file-write* (require-all (regex "^/dev/ttys[0-9]+$") (extension "com.apple.sandbox.pty")))',
    ]


def _services() -> list[str]:
    return [
        "; the system",
        _rule("allow", "sysctl-read", ['(sysctl-name-prefix "hw.")', *(f"(sysctl-name {quoted(n)})" for n in _SYSCTL)]),
        _rule("allow", "mach-lookup", [f"(global-name {quoted(name)})" for name in _SERVICES]),
    ]


def _network(plan: Plan, places: Places) -> list[str]:
    # SECURITY: a filter for local addresses would open every destination (`local ip "*:*"`); these name the remote end.
    ports = sorted({places.proxy_port, *plan.host_ports})
    return [
        "; network: the gateway, the ports that the policy names, and sockets in the session's own folders",
        _rule("allow", "network-outbound", [f'(remote ip "localhost:{port}")' for port in ports]),
        _rule("allow", "network-outbound", [literal(places.hook), *map(subpath, places.private)]),
        _rule("allow", "network-bind network-inbound", map(subpath, places.private)),
    ]


def _files(plan: Plan, places: Places) -> list[str]:
    readable = [*map(subpath, (*SYSTEM, *_programs(plan))), *(literal(f"/private/etc/{name}") for name in _NAMES)]
    devices = [literal(f"/dev/{name}") for name in _DEVICES]
    opened = (*SYSTEM, *_programs(plan), plan.workspace, *places.private, places.hook, *_shown(plan))
    return [
        "; files: what programs need",
        _rule("allow", "file-read*", readable),
        _rule("allow", "file-read-metadata", [*(f"(literal {quoted(each)})" for each in (*LINKS, *_above(opened)))]),
        '(allow file-read* (literal "/"))',
        _rule("allow", "file-read* file-write-data file-ioctl", devices),
        _rule("allow", "file-read* file-write*", map(subpath, places.private)),
        "; files: what the policy opens and closes, most specific last",
        *_opened(plan),
        "; files: control files",
        *_control(plan),
        "; files: what nobody opens again",
        *_closed(plan),
    ]


def _opened(plan: Plan) -> list[str]:
    found = {(plan.workspace, Access.WRITE if plan.workspace_writable else Access.READ)}
    for bind in plan.binds:
        if bind.source != bind.target:
            raise SandboxUnavailable(
                f"`{bind.source}` cannot be shown at `{bind.target}`: macOS has no mounts for that",
                remedy="open it where it lies, with `--read` or in `[filesystem]`",
            )
        found.add((bind.source, Access.WRITE if bind.writable else Access.READ))
    found |= {(path, rule.access) for path, rule in _anchored(plan) if not is_glob(path)}
    strength = [Access.WRITE, Access.READ, Access.DENY]
    ordered = sorted(found, key=lambda each: (canonical(each[0]).count("/"), strength.index(each[1]), each[0]))
    # The temporary folders of a session are its private ones.
    return [row for path, access in ordered if path not in ("/", *TEMPORARY) for row in _access(path, access)]


def _access(path: str, access: Access) -> list[str]:
    match access:
        case Access.WRITE:
            return [f"(allow file-read* file-write* {subpath(path)})"]
        case Access.READ:
            return [f"(allow file-read* {subpath(path)})", f"(deny file-write* {subpath(path)})"]
        case Access.DENY:
            return [f"(deny file-read* file-write* {any_spelling(path)})"]


def _control(plan: Plan) -> list[str]:
    """Read-only, and not to be made where it is missing; what holds one can be neither renamed nor replaced."""
    if not plan.workspace_writable:
        return []
    rows = [
        row
        for row in rows_with(plan.control_files.rows, plan.control_files.exempt)
        if not row.pattern.startswith("**/") and row.direct is not Direct.REPORT
    ]
    lines = [f"(deny file-write* {_place(plan, row)})" for row in rows if row.direct is Direct.PROTECT]
    lines += [
        # It may be made where it is missing; whoever made it cannot change it again.
        f"(deny file-write-data file-write-unlink {_place(plan, row)})"
        for row in rows
        if row.direct is Direct.KEEP
    ]
    pinned = {posixpath.dirname(row.pattern) for row in rows} | {r.pattern for r in rows if r.direct is Direct.PIN}
    holders = sorted({plan.workspace, *(f"{plan.workspace}/{each}" for each in pinned if each and not is_glob(each))})
    lines += [f"(deny file-write-unlink {literal(each)})" for each in holders]
    return lines


def _place(plan: Plan, row: ControlFile) -> str:
    if is_glob(row.pattern):
        return below(row.pattern, plan.workspace, any_case=True)
    return any_spelling(f"{plan.workspace}/{row.pattern}")


def _closed(plan: Plan) -> list[str]:
    """Patterns that deny, what binding layers deny, and our own places. No path opens any of it again, which is
    stricter than the policy where a path that is opened lies below a pattern that denies."""
    lines = [
        f"(deny file-read* file-write* {below(path, plan.workspace, any_case=True)})"
        for path, rule in _anchored(plan)
        if is_glob(path) and rule.access is Access.DENY
    ]
    lines += [
        f"(deny file-read* file-write* {any_spelling(path)})"
        for path, rule in _anchored(plan)
        if not is_glob(path) and rule.access is Access.DENY and rule.origin.layer in BINDING
    ]
    lines += [f"(deny file-write* {any_spelling(each)})" for each in plan.facts.program]
    lines += [f"(deny file-read* file-write* {any_spelling(each)})" for each in plan.facts.own]
    return list(dict.fromkeys(lines))


def _anchored(plan: Plan) -> list[tuple[str, PathRule]]:
    home, workspace = plan.facts.home, plan.workspace
    return [(path, rule) for rule in plan.rules for path in anchored(rule.pattern, home=home, workspace=workspace)]


def _shown(plan: Plan) -> list[str]:
    return [path for path, rule in _anchored(plan) if not is_glob(path) and rule.access is not Access.DENY] + [
        bind.source for bind in plan.binds
    ]


def _programs(plan: Plan) -> list[str]:
    """Folders of PATH that the system's do not hold, but for those of which everything private would come along."""
    home = plan.facts.home
    wanted = (*plan.facts.path.split(":"), *(each for each in plan.programs if each.startswith("/")))
    if plan.facts.package is not None:
        wanted = (*wanted, plan.facts.package)
    folders = dict.fromkeys(each for each in wanted if each.startswith("/") and not covers(each, home))
    return [each for each in folders if not any(covers(root, each) for root in SYSTEM)]


def _above(paths: Iterable[str]) -> list[str]:
    found: set[str] = set()
    for path in paths:
        above = posixpath.dirname(canonical(path))
        while above != "/":
            found.add(above)
            above = posixpath.dirname(above)
    return sorted({*found, "/private"}, key=lambda each: (each.count("/"), each))


def _rule(verdict: str, what: str, filters: Iterable[str]) -> str:
    return f"({verdict} {what}\n  " + "\n  ".join(filters) + ")"
