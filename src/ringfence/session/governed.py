"""An open session: what can be done in it, and what has become of it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping

import msgspec

from ringfence.agents.agent import AgentSetup, HookCall
from ringfence.approvals.gate import Gate
from ringfence.egress.inspection import Inspection
from ringfence.model.action import Action, CommandAction
from ringfence.model.canonical import text_from_os
from ringfence.model.decision import Decision
from ringfence.model.situations import RingfenceError
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.sandbox.launch import Sandbox
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
    gate: Gate
    tally: Tally
    stage: Stage
    notices: tuple[str, ...]
    lost: asyncio.Future[RingfenceError]
    """Set when a part is lost without which the session must not go on."""
    staged: bool = False
    """Whether changes wait in a layer, and the real tree is as it was."""
    inspection: Inspection | None = None
    """What the gateway looks into requests with."""
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

    async def decide(self, action: Action, *, asked_by: str) -> Decision:
        """The final decision about an action, on record before it is returned."""
        return await self.gate.decide(action, asked_by=asked_by)

    async def judge_hook(self, action: Action, call: HookCall) -> Decision:
        """The final decision about one action of an agent's tool call."""
        return await self.gate.decide(action, asked_by="hook", call=call.call or None)
