"""Starts the strongest sandbox that a machine gives, of those that are strong enough for the policy. One that is weaker
than the strongest is never just started: a notice says so."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.model.situations import SandboxUnavailable, TierUnavailable
from ringfence.sandbox.head_start import Launcher
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import Plan
from ringfence.sandbox.probe import ALLOW_B, require


async def start_strongest(
    plan: Plan, tiers: tuple[str, ...], *, on_lost: Callable[[], None], launcher: Launcher | None = None
) -> Sandbox:
    """Try the tiers, which come strongest first and are all strong enough. `SandboxUnavailable` says why none was."""
    refused: list[str] = []
    for tier in tiers:
        try:
            sandbox = await Sandbox.start(plan, tier=tier, on_lost=on_lost, launcher=launcher)
        except TierUnavailable as failure:
            if tier == tiers[-1]:
                raise _explained(failure, tiers, refused) from failure
            refused.append(f"tier {tier} is not possible here: {failure.message}")
            # One launcher builds one sandbox; the next is started for the next.
            launcher = None
            continue
        sandbox.notices = (*refused, *sandbox.notices)
        return sandbox
    raise AssertionError("there is at least one tier to try")


def _explained(failure: TierUnavailable, tiers: tuple[str, ...], refused: list[str]) -> SandboxUnavailable:
    remedy = failure.remedy
    if tiers == ("A",) and "B" in require("B"):
        remedy = f"{ALLOW_B}; else {remedy}"
    return SandboxUnavailable("; ".join([*refused, failure.message]), remedy=remedy)
