"""Run any coding agent inside a bounded environment: sandbox, approvals, network policy and a tamper-evident record.

The public names are loaded on first use, so that the processes which only need a corner of the package
(the one inside the sandbox, the ledger's writer, a hook) start without paying for the rest.
"""

from ringfence.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    # Not from `typing`: that import alone doubles the start of the process inside the sandbox.
    from ringfence.session.api import Result, Session

__all__ = ["Result", "Session", "__version__"]


def __getattr__(name: str) -> object:
    if name in {"Session", "Result"}:
        from importlib import import_module

        return getattr(import_module("ringfence.session.api"), name)
    raise AttributeError(f"module `ringfence` has no attribute `{name}`")
