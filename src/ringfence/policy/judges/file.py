"""Files: the most specific path rule decides; what no rule opens is not there inside the sandbox."""

from __future__ import annotations

from ringfence.model.action import Effect, EffectKind, FileAction, FileOperation
from ringfence.model.decision import Reason, Verdict
from ringfence.policy.control_files import protected, rows_with
from ringfence.policy.effective import Access, Policy
from ringfence.policy.judges.finding import Finding, built_in, reason
from ringfence.policy.paths import SYSTEM_RULES, PathTable, normalise
from ringfence.policy.schema import escaped

_KIND = {FileOperation.READ: EffectKind.READ, FileOperation.WRITE: EffectKind.WRITE}


class FileJudge:
    """The path rules of a policy."""

    def __init__(self, policy: Policy, *, home: str, workspace: str) -> None:
        self._written = PathTable(policy.filesystem, home=home, workspace=workspace)
        self._workspace = normalise(workspace)
        named = policy.control_files
        self._control_files = rows_with(named.rows, named.exempt)
        self._named = {row.pattern: origin for row, origin in zip(named.rows, named.origins, strict=True)}
        self._system = PathTable(SYSTEM_RULES, home=home, workspace=workspace)

    def judge(self, action: FileAction) -> Finding:
        """The finding about a tool that reads or writes a file itself."""
        if not action.path.startswith("/"):
            text = f"path `{escaped(action.path)}` is not absolute"
            return Finding(reasons=(built_in("filesystem.relative", Verdict.DENY, text),), opaque=True)
        effect = Effect(kind=_KIND[action.operation], object=action.path)
        return Finding(reasons=(self.reason(action.path, action.operation),), effects=(effect,))

    def reason(self, path: str, operation: FileOperation) -> Reason:
        """The one reason that decides about an absolute path."""
        if "\0" in path:
            return built_in("filesystem.invalid", Verdict.DENY, "a path cannot hold a null character")
        match = self._written.match(path) or self._system.match(path)
        shown = f"`{escaped(path)}`"
        if match is None:
            text = f"no rule opens {shown}: it is outside the workspace and not there inside the sandbox"
            return built_in("filesystem.default", Verdict.DENY, text)
        rule = match.rule
        name = f"filesystem.{rule.access.value}:{rule.pattern}"
        why = f": {rule.reason}" if rule.reason else ""
        match rule.access:
            case Access.DENY:
                return reason(name, rule.origin, Verdict.DENY, f"{shown} can be neither read nor written{why}")
            case Access.READ if operation is FileOperation.WRITE:
                return reason(name, rule.origin, Verdict.DENY, f"{shown} can be read, not written{why}")
            case _:
                if operation is FileOperation.WRITE and (held := self._control_file(path)) is not None:
                    return held
                return reason(name, rule.origin, Verdict.ALLOW, f"{shown} may be {_done(operation)}{why}")

    def _control_file(self, path: str) -> Reason | None:
        """What the sandbox keeps read-only, said before it is tried."""
        inside = normalise(path).removeprefix(f"{self._workspace}/")
        row = None if inside.startswith("/") else protected(inside, self._control_files)
        if row is None:
            return None
        text = f"`{escaped(inside)}` is a control file: {row.why}; it cannot be changed in a session"
        name, origin = f"control-file:{row.pattern}", self._named.get(row.pattern)
        return built_in(name, Verdict.DENY, text) if origin is None else reason(name, origin, Verdict.DENY, text)

    def denied_by_rule(self, path: str) -> Reason | None:
        """The reason of a rule that denies a path in so many words; nothing where no rule names it."""
        match = self._written.match(path)
        if match is None or match.rule.access is not Access.DENY:
            return None
        return self.reason(path, FileOperation.READ)


def _done(operation: FileOperation) -> str:
    return "read" if operation is FileOperation.READ else "written"
