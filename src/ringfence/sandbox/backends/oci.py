"""The description of a container for an OCI runtime (`crun`, `runc`, gVisor's `runsc`), as a pure function of a
sandbox's layout. The root file system is handed over as it stands in every sandbox, with everything hidden, read-only
and private in its place; what is said here is the rest: namespaces, devices, process files, rights and limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ringfence.sandbox.mounts import DEVICES, PROC_MASKED, PROC_READ_ONLY

if TYPE_CHECKING:
    from ringfence.sandbox import wire

RUNTIMES = ("runsc", "crun", "runc")
"""The runtimes that are known, the strongest first."""
WITHOUT_KERNEL = ("runsc",)
"""Runtimes that bring a kernel of their own, which has neither Landlock nor our system-call filter."""
OWN = "/.ringfence/program"
"""Where the supervisor's own program lies in the container."""
_VERSION = "1.0.2"
_SETS = ("bounding", "permitted", "effective", "inheritable", "ambient")
_SUPERVISOR = "CAP_SETFCAP"
"""The one capability of the supervisor, in a user namespace of ours: without it the kernel lets nobody go on into a
namespace of his own from user 0. It is given up on the way, so that no command ever has any."""
_NAMESPACES = ("pid", "mount", "ipc", "uts")


def config(layout: wire.Request, *, root: str, argv: tuple[str, ...], ceilings: dict[str, int]) -> dict[str, object]:
    """The container's `config.json`. `ceilings` are the limits of the starting process, which nothing can raise.

    The network namespace is the one that the runtime is started in, where the gateway's listeners stand already.
    """
    held = layout["runtime"][0] not in WITHOUT_KERNEL
    return {
        "ociVersion": _VERSION,
        "hostname": layout["hostname"],
        "root": {"path": root, "readonly": True},
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(argv),
            "env": [],
            "cwd": "/",
            "capabilities": {each: [_SUPERVISOR] if held and each in _SETS[:3] else [] for each in _SETS},
            "noNewPrivileges": True,
            "rlimits": _limits(layout["limits"], ceilings),
        },
        "mounts": _mounts(layout),
        "linux": {
            "namespaces": [{"type": each} for each in _NAMESPACES],
            "maskedPaths": [f"/proc/{each}" for each in PROC_MASKED],
            "readonlyPaths": [f"/proc/{each}" for each in PROC_READ_ONLY],
        },
    }


def command(runtime: str, program: str, bundle: str, state: str, *, descriptors: int, named: str) -> tuple[str, ...]:
    """How the runtime is started, so that the container has the descriptors from 3 on."""
    action = ("run", f"--bundle={bundle}")
    match runtime:
        case "crun":
            # Control groups are the session's own, made before anything starts.
            options = [f"--root={state}", "--cgroup-manager=disabled"]
            return (program, *options, *action, f"--preserve-fds={descriptors}", named)
        case "runc":
            return (program, f"--root={state}", *action, f"--preserve-fds={descriptors}", named)
        case "runsc":
            # The network is the namespace that it is started in, and files of others may change under it.
            options = [f"--root={state}", "--ignore-cgroups", "--network=host", "--host-uds=all"]
            options.append("--file-access=shared")
            passed = [f"--pass-fd={each}:{each}" for each in range(3, 3 + descriptors)]
            return (program, *options, *action, *passed, named)
    raise ValueError(f"`{runtime}` is not a known runtime")


def _mounts(layout: wire.Request) -> list[dict[str, object]]:
    private = ["nosuid", "noexec", "nodev"]
    found: list[dict[str, object]] = [
        _mount("/proc", "proc", private),
        _mount("/dev", "tmpfs", ["nosuid", "noexec", "mode=755", "size=64k"]),
        _mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
        _mount("/dev/shm", "tmpfs", ["nosuid", "nodev", "mode=1777", f"size={layout['shared_memory']}"]),  # noqa: S108
    ]
    for name in layout["devices"]:
        if name not in DEVICES:
            found.append(_mount(f"/dev/{name}", "bind", ["bind", "nosuid", "noexec"], source=f"/dev/{name}"))
    return found


def _mount(target: str, kind: str, options: list[str], source: str = "") -> dict[str, object]:
    return {"destination": target, "type": kind, "source": source or kind, "options": options}


def _limits(limits: wire.Request, ceilings: dict[str, int]) -> list[dict[str, object]]:
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": limits["open_files"],
        "RLIMIT_FSIZE": limits["file_mb"] and limits["file_mb"] * 1024 * 1024,
    }
    found: list[dict[str, object]] = []
    for name, value in wanted.items():
        if value is None or (value == 0 and name != "RLIMIT_CORE"):
            continue
        ceiling = ceilings.get(name, -1)
        held = value if ceiling < 0 else min(value, ceiling)
        found.append({"type": name, "hard": held, "soft": held})
    return found
