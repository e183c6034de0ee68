"""Judges commands that have a plan of their own, as they stand on this machine: which program a name means, whether
somebody inside could have written it, and whose repository a folder belongs to. Looks at the disk, and starts nothing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence

from ringfence.model.action import Action, CommandAction
from ringfence.model.decision import Decision
from ringfence.policy.effective import Access
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.globs import is_glob
from ringfence.policy.paths import anchored
from ringfence.policy.profiles import Chosen, Facts, choose, harmless, matching, plain_words, told, with_profiles
from ringfence.sandbox.plan import covers

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/proc")  # noqa: S108 - where nothing is installed


class Plans:
    """The plans of a policy's commands, in one workspace. `path` is the session's PATH, `writable` what an agent's
    profile opens for writing beside the policy."""

    def __init__(self, evaluator: Evaluator, *, path: str, writable: Iterable[str] = ()) -> None:
        context = evaluator.context
        self.evaluator = evaluator
        self.policy = evaluator.policy
        self.workspace = os.path.realpath(context.workspace)
        self.path = path
        opened = [
            place
            for rule in self.policy.filesystem
            if rule.access is Access.WRITE
            for place in anchored(rule.pattern, home=context.home, workspace=context.workspace)
            if not is_glob(place)
        ]
        self._writable = {os.path.realpath(each) for each in (context.workspace, *opened, *writable, *_TEMPORARY)}

    def facts(self, argv: Sequence[str], cwd: str, changed: Mapping[str, str]) -> Facts:
        """What is known of a command."""
        found = shutil.which(os.path.basename(argv[0]), path=self.path)
        executable = None if found is None else os.path.realpath(found)
        if "/" in argv[0] and os.path.realpath(os.path.join(cwd, argv[0])) != executable:
            # Another program of that name; what it is called is all that it has in common with the installed one.
            return Facts(executable=os.path.join(cwd, argv[0]), is_installed=False)
        folder = os.path.realpath(cwd)
        return Facts(
            executable=executable,
            is_installed=executable is not None and not self.is_writable(executable),
            changed=tuple(sorted(changed.keys() - harmless(changed).keys())),
            in_workspace=covers(self.workspace, folder),
            own_repository=covers(self.workspace, folder) and self._has_own_repository(folder),
        )

    def judge(self, action: Action, argv: Sequence[str], facts: Facts) -> tuple[Decision, Chosen]:
        """The decision about a command by the policy of its plan, and which plan that is."""
        decision = self.evaluator.evaluate(action)
        chosen = choose(self.policy, decision, argv, facts)
        if chosen.profiles and not chosen.refused:
            own = Evaluator(with_profiles(self.policy, chosen.profiles), self.evaluator.context)
            decision = own.evaluate(action)
        return told(decision, chosen), chosen

    def explain(self, action: Action) -> Decision:
        """The decision about any action, by the policy of its plan. A script has that of the one command in it, which
        a shell inside starts through its stand-in; one that does more is the session's."""
        if not isinstance(action, CommandAction) or not self.policy.commands.profiles:
            return self.evaluator.evaluate(action)
        words = action.argv if action.shell is None else plain_words(action.shell, self.evaluator.context.home)
        if not words or not matching(self.policy.commands.profiles, words):
            return self.evaluator.evaluate(action)
        return self.judge(action, words, self.facts(words, action.cwd, dict(action.environment)))[0]

    def is_writable(self, path: str) -> bool:
        """Whether something inside could have written there."""
        if not path.startswith("/"):
            return True
        return any(covers(each, os.path.realpath(path)) for each in self._writable)

    def _has_own_repository(self, folder: str) -> bool:
        """Whether Git would take the folder for part of a repository below the workspace."""
        while folder != self.workspace:
            bare = all(os.path.lexists(os.path.join(folder, name)) for name in ("HEAD", "objects", "refs"))
            if bare or os.path.lexists(os.path.join(folder, ".git")):
                return True
            folder = os.path.dirname(folder)
        return False
