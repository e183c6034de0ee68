"""Starts the strongest sandbox that a machine gives, of those that are strong enough for the policy. One that is weaker
than the strongest is never just started: a notice says so."""

from __future__ import annotations

from collections.abc import Callable

from ringfence.model.situations import SandboxUnavailable, TierUnavailable
from ringfence.sandbox.head_start import Launcher
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import Plan
from ringfence.sandbox.probe import ALLOW_B, require
from ringfence.sandbox.syscalls import refusal_of_namespaces


async def start_strongest(
    plan: Plan, tiers: tuple[str, ...], *, on_lost: Callable[[], None], launcher: Launcher | None = None
) -> Sandbox:
    """Try the tiers, which come strongest first and are all strong enough. `SandboxUnavailable` says why none was."""
    refused: list[str] = []
    if plan.runtime is not None:
        # A container is asked for; a weaker sandbox without one is not what was meant.
        tiers = _contained(plan, tiers)
    if tiers[0] == "A" and len(tiers) > 1 and (refusal := filtered()):
        # The launcher would say the same, after all that the tier needs was looked for on the disk.
        refused.append(f"tier A is not possible here: new namespaces: {refusal}")
        tiers = tiers[1:]
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


def filtered(leave: Callable[[int], int] | None = None) -> str:
    """How a filter around this process refuses namespaces; empty where none does. `leave` takes the kernel's place."""
    try:
        return refusal_of_namespaces() if leave is None else refusal_of_namespaces(leave)
    except OSError as error:
        raise SandboxUnavailable(
            f"what this machine says about namespaces cannot be relied on: {error.strerror}",
            remedy="leave the container or the emulation whose filter of system calls answers for the kernel",
        ) from error


def _contained(plan: Plan, tiers: tuple[str, ...]) -> tuple[str, ...]:
    if plan.ways.nested_namespaces:
        raise SandboxUnavailable(
            "a container of an OCI runtime allows no nested namespaces",
            remedy="leave `--oci-runtime` out, or set `nested_namespaces = false` in `[sandbox]`",
        )
    if "A" not in tiers:
        raise SandboxUnavailable(
            "a container of an OCI runtime takes what tier A takes, and this machine does not give it",
            remedy="leave `--oci-runtime` out; `ringfence doctor` shows what is missing",
        )
    return ("A",)


def _explained(failure: TierUnavailable, tiers: tuple[str, ...], refused: list[str]) -> SandboxUnavailable:
    remedy = failure.remedy
    if tiers == ("A",) and "B" in require("B"):
        remedy = f"{ALLOW_B}; else {remedy}"
    return SandboxUnavailable("; ".join([*refused, failure.message]), remedy=remedy)
