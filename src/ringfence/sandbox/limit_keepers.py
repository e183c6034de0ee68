"""Decides who holds each limit of a session: the kernel where it can, else the watch. Pure."""

from __future__ import annotations

from ringfence.model.situations import SandboxUnavailable
from ringfence.policy.effective import Limits
from ringfence.sandbox.limits import Keeper, set_limits

_WATCHED = ("memory_mb", "disk_mb", "processes", "open_files")


def keepers(limits: Limits, *, held: frozenset[str], tier: str, root: bool) -> dict[str, Keeper]:
    """Who holds each limit that is set. `held` are those that a control group has."""
    return {
        key: Keeper.CGROUP if key in held else _keeper(key, value, tier=tier, root=root)
        for key, value in set_limits(limits).items()
    }


def _keeper(key: str, value: int, *, tier: str, root: bool) -> Keeper:
    match key:
        case "wall_seconds":
            return Keeper.CLOCK
        case "open_files" | "file_mb":
            return Keeper.RLIMIT
        case "processes":
            # Without a namespace the account's other processes would count; and for root no such limit holds.
            return Keeper.RLIMIT if tier == "A" and not root else Keeper.WATCH
        case "cpu_percent":
            if value < 100:
                raise SandboxUnavailable(
                    f"`limits.cpu_percent = {value}` cannot be held here: a part of a processor takes a control group",
                    remedy="give `100`, or run where systemd or a group of cgroup v2 of your own can hold it; "
                    "`ringfence doctor` shows what there is",
                )
            return Keeper.PROCESSORS
        case _:
            return Keeper.WATCH


def needs_watch(limits: Limits) -> bool:
    """Whether somebody has to look at the sandbox's processes, be it only to tell what the kernel did."""
    return any(getattr(limits, key) is not None for key in _WATCHED)


def layout(limits: Limits, who: dict[str, Keeper]) -> dict[str, int | None]:
    """What the process inside has to take on itself."""
    pinned = who.get("cpu_percent") is Keeper.PROCESSORS and limits.cpu_percent is not None
    return {
        "processes": limits.processes,
        "open_files": limits.open_files,
        "file_mb": limits.file_mb,
        # Rounded down: a limit is never exceeded because it does not come out even.
        "processors": limits.cpu_percent // 100 if pinned and limits.cpu_percent is not None else None,
    }
