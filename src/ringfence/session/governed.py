"""An open session: what can be done in it, and what has become of it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

import msgspec

from ringfence.agents.agent import AgentSetup, HookCall, HookMoment
from ringfence.approvals.channels.channel import OwnPrompt
from ringfence.approvals.gate import Gate
from ringfence.model.action import Action, CommandAction, McpAction
from ringfence.model.canonical import text_from_os
from ringfence.model.decision import Decision, Verdict
from ringfence.model.situations import RingfenceError
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import Plan
from ringfence.sandbox.way_places import COMMANDS_NAME
from ringfence.session.network import Looking
from ringfence.session.placing import Place
from ringfence.session.profiled import Profiles, Request
from ringfence.session.stage import Stage
from ringfence.session.tally import Tally
from ringfence.workspace.changes import Changes


class Governed(msgspec.Struct, kw_only=True):
    """One open session."""

    session: str
    workspace: str
    cwd: str
    setup: AgentSetup
    policy: Policy
    evaluator: Evaluator
    environment: Mapping[str, str]
    sandbox: Sandbox
    plan: Plan
    gate: Gate
    new_gate: Callable[[AsyncExitStack, Policy, Evaluator], Gate]
    """Makes a gate for commands with a plan of their own."""
    tally: Tally
    stage: Stage
    notices: tuple[str, ...]
    lost: asyncio.Future[RingfenceError]
    """Set when a part is lost without which the session must not go on."""
    profiles: Profiles | None = None
    """The plans of single commands; there once the session is connected."""
    staged: bool = False
    """Whether changes wait in a layer, and the real tree is as it was."""
    looking: Looking
    """What gateways look into requests with."""
    broken: RingfenceError | None = None
    """Why the session had to end, where that was not the command's doing."""
    exit_code: int | None = None
    """How the session's command ended, once it has."""
    outcome: str = "exited"
    changes: Changes | None = None
    """What was left in the workspace, once the session is over."""
    replaced: tuple[str, ...] = ()
    """What was replaced outside although it is protected inside."""
    kept_out: tuple[str, ...] = ()
    """What the session changed in Git's settings and did not reach the real ones."""
    unkept: tuple[str, ...] = ()
    """What could not be kept of the workspace as the session left it."""

    def command(
        self, argv: tuple[str, ...], *, cwd: str | None = None, changed: Mapping[str, str] | None = None
    ) -> CommandAction:
        """A command as it would run here: resolved program, real folder, changed variables."""
        folder = os.path.join(self.cwd, cwd) if cwd else self.cwd
        path = (changed or {}).get("PATH", self.environment.get("PATH"))
        found = shutil.which(argv[0] if "/" not in argv[0] else os.path.join(folder, argv[0]), path=path)
        return CommandAction(
            argv=tuple(map(text_from_os, argv)),
            cwd=text_from_os(folder),
            environment=tuple(sorted((changed or {}).items())),
            executable=text_from_os(os.path.realpath(found)) if found else None,
        )

    async def decide(
        self, action: Action, *, asked_by: str, within: Callable[[Action], Decision] | None = None
    ) -> Decision:
        """The final decision about an action, on record before it is returned."""
        return await self.gate.decide(action, asked_by=asked_by, within=within)

    def request(self, argv: tuple[str, ...], *, cwd: str | None = None, changed: Mapping[str, str]) -> Request:
        """A command that somebody wants to start, for which the policy may have a plan of its own."""
        assert self.profiles is not None
        return self.profiles.request(argv, os.path.join(self.cwd, cwd) if cwd else self.cwd, changed)

    async def place(self, request: Request, argv: tuple[str, ...]) -> Place:
        """Where a command runs that was allowed, and with which variables."""
        own = await request.place()
        return own or Place(starter=self.sandbox, argv=argv, environment={**self.environment, **request.changed})

    async def judge_hook(self, action: Action, call: HookCall) -> Decision:
        """The final decision about one action of an agent's tool call."""
        # Where shells find the stand-ins, the command that the agent is about to start has its own plan.
        plans = self.profiles.plans if self.profiles is not None and COMMANDS_NAME in self.sandbox.listeners else None
        within = None if plans is None else plans.explain
        several = "" if len(call.actions) == 1 and plans is None else "the tool call is judged in more than one way"
        refusal = self.setup.own_prompt or call.own_prompt or several
        own = OwnPrompt(agent=self.setup.name, call=call.call, arguments=call.arguments, refusal=refusal)
        if not isinstance(action, McpAction):
            return await self.gate.decide(action, asked_by="hook", call=call.call or None, within=within, own=own)
        known = self.looking.servers.reported(action)
        decision = await self.gate.decide(known, asked_by="hook", call=call.call or None, within=within, own=own)
        if decision.verdict is Verdict.ALLOW:
            self.looking.servers.told(known)
        return decision

    def hear(self, call: HookCall) -> None:
        """What an agent reports, for the questions that were left to its own prompt."""
        delegation = self.gate.delegation
        if delegation is None:
            return
        match call.moment:
            case HookMoment.PROMPTED:
                delegation.prompted(call.arguments)
            case HookMoment.AFTER_TOOL:
                delegation.ran(call.call, call.arguments)
            case HookMoment.BATCH:
                delegation.refused(call.calls)
            case HookMoment.PROMPT | HookMoment.TURN_END:
                delegation.turn_ended()
            case HookMoment.BEFORE_TOOL | HookMoment.SESSION:
                pass
