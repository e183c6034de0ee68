"""The sandbox: plan, probe, launch. The names load on first use, because the process inside imports this package
too."""

from importlib import import_module

_PLACES = {
    "Bind": "plan", "HostFacts": "plan", "PlacedFile": "plan", "Plan": "plan", "build_plan": "plan",
    "Command": "launch", "Pty": "launch", "Sandbox": "launch", "launch": "launch",
    "probe": "probe", "require": "probe", "TierReport": "probe", "Fact": "probe", "sweep": "stubs",
}  # fmt: skip

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module `ringfence.sandbox` has no attribute `{name}`")
    return getattr(import_module(f"ringfence.sandbox.{_PLACES[name]}"), name)
