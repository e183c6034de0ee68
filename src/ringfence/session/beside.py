"""Opens the places of commands that have a plan of their own: a sandbox beside the session's, with a gateway and a gate
of its own, so that each connection is judged by the plan of the command that makes it; or the host, where the policy
permits that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack

import msgspec

from ringfence.agents.agent import AgentSetup
from ringfence.model.situations import SandboxLost, SandboxUnavailable
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Evaluator
from ringfence.policy.profiles import Chosen
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import Plan
from ringfence.sandbox.probe import require
from ringfence.sandbox.strongest import start_strongest
from ringfence.session import environment
from ringfence.session.asked import Asked
from ringfence.session.background import Background
from ringfence.session.governed import Governed
from ringfence.session.network import gateway_of
from ringfence.session.outside import Host, without_gateway
from ringfence.session.profiled import Beside
from ringfence.session.revoking import close_revoked
from ringfence.session.ways.opened import Ways, way_variables


class Places:
    """Everything of a session that runs beside its own sandbox."""

    def __init__(self, asked: Asked, governed: Governed, also: Callable[[Sandbox], None]) -> None:
        self._asked = asked
        self._looking = governed.looking
        self._tally = governed.tally
        self._new_gate = governed.new_gate
        self._also = also
        self._ends: list[Callable[[], None]] = []
        self._ended = False

    def end(self) -> None:
        """End everything at once: the session is over, or lost."""
        self._ended = True
        for end in self._ends:
            end()

    async def open(self, policy: Policy, chosen: Chosen, ready: Callable[[Beside], None]) -> None:
        """Open a place, keep it until it is lost or this is cancelled, and leave nothing behind."""
        if self._ended:
            raise SandboxLost("the session is ending")
        async with AsyncExitStack() as stack:
            if chosen.outside:
                await self._host(stack, policy, ready)
            else:
                await self._sandbox(stack, policy, chosen, ready)

    async def _host(self, stack: AsyncExitStack, policy: Policy, ready: Callable[[Beside], None]) -> None:
        host = Host()
        self._ends.append(host.end)
        stack.callback(host.end)
        ready(Beside(starter=host, environment=without_gateway(self._variables(policy))))
        await asyncio.get_running_loop().create_future()

    async def _sandbox(
        self, stack: AsyncExitStack, policy: Policy, chosen: Chosen, ready: Callable[[Beside], None]
    ) -> None:
        evaluator = Evaluator(policy, self._asked.places.context(self._asked.workspace))
        lost = asyncio.Event()
        plan = self._plan(policy, chosen)
        if plan.staging is not None:
            raise SandboxUnavailable(
                "a command with a plan of its own cannot run in a staged session: its changes would go past the layer",
                remedy="run the session with `--direct`",
            )
        tiers = require(self._asked.options.min_tier or policy.min_tier, policy.boundary)
        sandbox = await start_strongest(plan, tiers, on_lost=lost.set)
        self._also(sandbox)
        stack.push_async_callback(sandbox.close)
        # No agent's hook asks from there.
        if "hook" in sandbox.listeners:
            sandbox.listeners["hook"].close()
        gate = self._new_gate(stack, policy, evaluator)
        await stack.enter_async_context(gate)
        gateway = gateway_of(gate, evaluator, self._tally, self._looking)
        network = ExitStack()
        network.callback(gateway.close)
        stack.callback(network.close)
        self._ends += [network.close, sandbox.end]
        gateway.serve(sandbox.listeners)
        sandbox.take_arrivals(gateway.arrive)
        background = await stack.enter_async_context(Background())
        background.start(
            close_revoked(
                gateway, gate.grants, gate.opened, session=self._asked.session, workspace=self._asked.workspace
            )
        )
        ways = Ways(policy.ways, sandbox, self._tally, self._asked.outside, self._asked.places.home)
        await ways.open(stack, background.start)
        ready(Beside(starter=sandbox, environment={**self._variables(policy), **sandbox.variables}))
        await lost.wait()

    def _plan(self, policy: Policy, chosen: Chosen) -> Plan:
        names = tuple(name for profile in chosen.profiles for name in profile.prefix[0])
        plan = self._asked.plan(
            policy, AgentSetup(name="generic", argv=()), self._looking.trust, canaries=self._looking.leaving.files
        )
        return msgspec.structs.replace(plan, programs=(*plan.programs, *names))

    def _variables(self, policy: Policy) -> Mapping[str, str]:
        credentials = self._looking.credentials
        variables = environment.inside(
            self._asked.environ,
            keep=policy.environment.keep,
            fixed=(*policy.environment.set, *way_variables(policy.ways).items()),
            session=self._asked.session,
            user=self._asked.user.name,
            remove=(*policy.environment.remove, *credentials.removed),
        )
        return credentials.inside(variables | dict(self._looking.leaving.variables))
