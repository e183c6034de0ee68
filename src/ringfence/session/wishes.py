"""What `--read`, `--write` and `--env` ask for and the session cannot give: said at the start, never passed over.

A path that is not there is wrong usage. A path that the policy keeps shut stays shut; the person is told by which rule.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from ringfence.model.action import FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.globs import is_glob
from ringfence.session.options import Options


def without_effect(
    options: Options, *, absolute: Callable[[str], str], home: str, environ: Mapping[str, str], evaluator: Evaluator
) -> tuple[str, ...]:
    """A notice for each wish that changes nothing; `UsageInvalid` for a path that does not exist, or a value."""
    notices = []
    for operation, paths in ((FileOperation.READ, options.read), (FileOperation.WRITE, options.write)):
        for written in paths:
            place = _place(absolute(written), home)
            if place is None:
                continue
            option = f"`--{operation.value} {visible(written)}`"
            if not os.path.exists(place):
                raise UsageInvalid(f"{option}: there is no such file or folder", remedy="make it before the session")
            decision = evaluator.evaluate(FileAction(operation=operation, path=place))
            if decision.verdict is Verdict.DENY and decision.because is not None:
                notices.append(f"{option} has no effect: {decision.because.text} (rule {decision.because.rule})")
    for name, given, _ in (written.partition("=") for written in options.environment):
        if given:
            # SECURITY: what stands behind the `=` may be a secret: it is not repeated.
            raise UsageInvalid(
                f"`--env {visible(name)}=…` gives a value, and `--env` takes the name of a variable alone",
                remedy=f"set the variable before, and pass it on with `--env {visible(name)}`",
            )
    missing = [name for name in options.environment if not name.endswith("*") and name not in environ]
    return (*notices, *(f"`--env {visible(name)}`: your environment has no such variable" for name in missing))


def _place(path: str, home: str) -> str | None:
    """The path on this machine; None for a pattern or a place that only the policy knows."""
    if path.startswith(":") or is_glob(path):
        return None
    return home + path[1:] if path.startswith("~") else path
