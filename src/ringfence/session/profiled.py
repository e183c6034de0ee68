"""Commands with a plan of their own, in an open session.

Which profiles a command gets, `command_plans` says. Each set of profiles is a sandbox beside the session's, made when
the first such command was allowed: the same workspace, and other files, variables and destinations.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping

import msgspec

from ringfence.model.action import Action
from ringfence.model.decision import Decision
from ringfence.model.event import NoticeGiven
from ringfence.model.situations import SandboxLost
from ringfence.policy.effective import Policy
from ringfence.policy.profiles import GIT_SETTINGS, Chosen, harmless, matching, with_profiles
from ringfence.session.command_plans import Plans
from ringfence.session.placing import Place, Starter
from ringfence.session.tally import Tally


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
        plans: Plans,
        *,
        start: Callable[[Coroutine[object, object, None]], None],
        open_beside: Open,
        tally: Tally,
    ) -> None:
        self.plans = plans
        self._start = start
        self._open = open_beside
        self._tally = tally
        self._beside: dict[tuple[str, ...], asyncio.Future[Beside]] = {}

    def request(self, argv: tuple[str, ...], cwd: str, changed: Mapping[str, str]) -> Request:
        """One command that somebody wants to start."""
        return Request(self, argv, cwd, changed)

    async def place(self, chosen: Chosen, argv: tuple[str, ...], changed: Mapping[str, str]) -> Place:
        """Where a command with a plan of its own runs."""
        # Two files may give the same id to different profiles.
        names = tuple(sorted(f"{profile.id} ({profile.origin.source})" for profile in chosen.profiles))
        beside = await self._find(names, chosen)
        environment = {**beside.environment, **changed}
        environment["PATH"] = ":".join(each for each in self.plans.path.split(":") if not self.plans.is_writable(each))
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
        policy = with_profiles(self.plans.policy, chosen.profiles)
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

    def _guards(self, environment: Mapping[str, str]) -> dict[str, str]:
        # SECURITY: the folder was looked at a moment ago, and could be another one now. With these, Git uses the
        # workspace's own repository, whose settings nobody inside can write, and runs no hook (T2).
        count = environment.get("GIT_CONFIG_COUNT", "0")
        first = int(count) if count.isdecimal() else 0
        found = {
            "GIT_DIR": os.path.join(self.plans.workspace, ".git"),
            "GIT_WORK_TREE": self.plans.workspace,
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
        self._facts = profiles.plans.facts(argv, cwd, changed)
        self.has_plan = bool(matching(profiles.plans.policy.commands.profiles, argv)) and self._facts.is_installed
        """Whether the policy names a plan for it."""
        self.changed: Mapping[str, str] = harmless(changed) if self.has_plan else changed
        """What the command gets of the variables that whoever starts it changed."""
        self.chosen = Chosen()

    def judge(self, action: Action) -> Decision:
        """The decision about it by the policy of the plan that it has."""
        decision, self.chosen = self._profiles.plans.judge(action, self._argv, self._facts)
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
        if self._profiles.plans.facts(self._argv, self._cwd, self._given) != self._facts:
            raise SandboxLost(f"`{self._argv[0]}` or its folder changed while it was decided about; start it again")
        executable = self._facts.executable
        assert executable is not None
        return await self._profiles.place(self.chosen, (executable, *self._argv[1:]), self.changed)
