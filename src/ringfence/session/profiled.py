"""Commands with a plan of their own, in an open session.

Which profiles a command gets, `policy.profiles` says; the facts for that are looked up here, on the host, where nobody
inside can write. Each set of profiles is a sandbox beside the session's, made when the first such command was allowed:
the same workspace, and other files, variables and destinations.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine, Mapping, Sequence

import msgspec

from ringfence.model.action import Action
from ringfence.model.decision import Decision
from ringfence.model.event import NoticeGiven
from ringfence.model.situations import SandboxLost
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.profiles import GIT_SETTINGS, Chosen, Facts, choose, harmless, matching, told, with_profiles
from ringfence.sandbox.plan import covers
from ringfence.session.placing import Place, Starter
from ringfence.session.tally import Tally

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm", "/run", "/proc")  # noqa: S108 - where nothing is installed


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Where commands of some profiles are started, with the variables that they get."""

    starter: Starter
    environment: Mapping[str, str]


Open = Callable[[Policy, Chosen, Callable[[Beside], None]], Coroutine[object, object, None]]
"""Opens a place for commands, says so, and closes it when it is cancelled."""


class Profiles:
    """The plans of a session's commands."""

    def __init__(
        self,
        evaluator: Evaluator,
        *,
        workspace: str,
        path: str,
        writable: Sequence[str],
        start: Callable[[Coroutine[object, object, None]], None],
        open_beside: Open,
        tally: Tally,
    ) -> None:
        self._evaluator = evaluator
        self.policy = evaluator.policy
        self._workspace = os.path.realpath(workspace)
        self._path = path
        self._writable = tuple(os.path.realpath(each) for each in (workspace, *writable, *_TEMPORARY))
        self._start = start
        self._open = open_beside
        self._tally = tally
        self._beside: dict[tuple[str, ...], asyncio.Future[Beside]] = {}

    def request(self, argv: tuple[str, ...], cwd: str, changed: Mapping[str, str]) -> Request:
        """One command that somebody wants to start."""
        return Request(self, argv, cwd, changed)

    def facts(self, argv: Sequence[str], cwd: str, changed: Mapping[str, str]) -> Facts:
        """What is known of a command."""
        found = shutil.which(os.path.basename(argv[0]), path=self._path)
        executable = None if found is None else os.path.realpath(found)
        if "/" in argv[0] and os.path.realpath(os.path.join(cwd, argv[0])) != executable:
            # Another program of that name; what it is called is all that it has in common with the installed one.
            return Facts(executable=os.path.join(cwd, argv[0]), is_installed=False)
        folder = os.path.realpath(cwd)
        return Facts(
            executable=executable,
            is_installed=executable is not None and not self._is_writable(executable),
            changed=tuple(sorted(changed.keys() - harmless(changed).keys())),
            in_workspace=covers(self._workspace, folder),
            own_repository=covers(self._workspace, folder) and self._has_own_repository(folder),
        )

    def judge(self, action: Action, argv: Sequence[str], facts: Facts) -> tuple[Decision, Chosen]:
        """The decision about a command by the policy of its plan, and which plan that is."""
        decision = self._evaluator.evaluate(action)
        chosen = choose(self.policy, decision, argv, facts)
        if chosen.profiles and not chosen.refused:
            own = Evaluator(with_profiles(self.policy, chosen.profiles), self._evaluator.context)
            decision = own.evaluate(action)
        return told(decision, chosen), chosen

    async def place(self, chosen: Chosen, argv: tuple[str, ...], changed: Mapping[str, str]) -> Place:
        """Where a command with a plan of its own runs."""
        names = tuple(sorted(profile.id for profile in chosen.profiles))
        beside = await self._find(names, chosen)
        environment = {**beside.environment, **changed}
        environment["PATH"] = ":".join(each for each in self._path.split(":") if not self._is_writable(each))
        if chosen.widens:
            environment |= self._guards(environment)
        return Place(starter=beside.starter, argv=argv, environment=environment, profiles=names)

    def say(self, text: str) -> None:
        """Put on record what a person may want to know about a command's plan."""
        self._tally.record_soon(NoticeGiven(topic="profile", text=text))

    async def _find(self, names: tuple[str, ...], chosen: Chosen) -> Beside:
        found = self._beside.get(names)
        if found is None:
            found = self._beside[names] = asyncio.get_running_loop().create_future()
            self._start(self._keep(names, chosen, found))
        return await asyncio.shield(found)

    async def _keep(self, names: tuple[str, ...], chosen: Chosen, found: asyncio.Future[Beside]) -> None:
        """Open a place and keep it; one that cannot be opened, or is lost, is opened anew for the next command."""
        policy = with_profiles(self.policy, chosen.profiles)
        failure: Exception = SandboxLost("the sandbox of this command ended unexpectedly")
        try:
            await self._open(policy, chosen, lambda beside: None if found.done() else found.set_result(beside))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits; the session goes on without this place
            failure = error
        finally:
            self._beside.pop(names, None)
            if not found.done():
                found.set_exception(failure)
                # Nobody may be waiting any more, which is no fault worth a warning.
                found.exception()

    def _is_writable(self, path: str) -> bool:
        """Whether something inside could have written there."""
        if not path.startswith("/"):
            return True
        return any(covers(each, os.path.realpath(path)) for each in self._writable)

    def _has_own_repository(self, folder: str) -> bool:
        """Whether Git would take the folder for part of a repository below the workspace."""
        while folder != self._workspace:
            bare = all(os.path.lexists(os.path.join(folder, name)) for name in ("HEAD", "objects", "refs"))
            if bare or os.path.lexists(os.path.join(folder, ".git")):
                return True
            folder = os.path.dirname(folder)
        return False

    def _guards(self, environment: Mapping[str, str]) -> dict[str, str]:
        # SECURITY: the folder was looked at a moment ago, and could be another one now. With these, Git uses the
        # workspace's own repository, whose settings nobody inside can write, and runs no hook (T2).
        count = environment.get("GIT_CONFIG_COUNT", "0")
        first = int(count) if count.isdecimal() else 0
        found = {
            "GIT_DIR": os.path.join(self._workspace, ".git"),
            "GIT_WORK_TREE": self._workspace,
            "GIT_ALLOW_PROTOCOL": "https:http:ssh:git",
            "GIT_CONFIG_COUNT": str(first + len(GIT_SETTINGS)),
        }
        for number, (key, value) in enumerate(GIT_SETTINGS, first):
            found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return found


class Request:
    """One command on its way: what is known of it, and the plan that it gets."""

    def __init__(self, profiles: Profiles, argv: tuple[str, ...], cwd: str, changed: Mapping[str, str]) -> None:
        self._profiles = profiles
        self._argv = argv
        self._cwd = cwd
        self._given = changed
        self._facts = profiles.facts(argv, cwd, changed)
        self.has_plan = bool(matching(profiles.policy.commands.profiles, argv)) and self._facts.is_installed
        """Whether the policy names a plan for it."""
        self.changed: Mapping[str, str] = harmless(changed) if self.has_plan else changed
        """What the command gets of the variables that whoever starts it changed."""
        self.chosen = Chosen()

    def judge(self, action: Action) -> Decision:
        """The decision about it by the policy of the plan that it has."""
        decision, self.chosen = self._profiles.judge(action, self._argv, self._facts)
        return decision

    @property
    def notices(self) -> tuple[str, ...]:
        """What whoever started it should know."""
        dropped = ", ".join(f"`{name}`" for name in self.chosen.dropped) if self.chosen.profiles else ""
        text = f"{dropped} of whoever starts it do not reach a command with a plan of its own"
        return (*self.chosen.notices, text) if dropped else self.chosen.notices

    async def place(self) -> Place | None:
        """Where it runs, once it is allowed; nothing where that is the session's own sandbox."""
        for text in self.notices:
            self._profiles.say(text)
        if not self.chosen.profiles:
            return None
        # What was shown is what runs.
        if self._profiles.facts(self._argv, self._cwd, self._given) != self._facts:
            raise SandboxLost(f"`{self._argv[0]}` or its folder changed while it was decided about; start it again")
        executable = self._facts.executable
        assert executable is not None
        return await self._profiles.place(self.chosen, (executable, *self._argv[1:]), self.changed)
