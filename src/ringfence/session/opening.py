"""Opens a governed session and closes it: ledger, policy, gate, sandbox, gateway, hooks, in that order and back.

Orchestration only. Whatever cannot be had stops the opening with its reason, and then nothing has run; whatever is lost
later ends the session.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager

from ringfence.agents import AgentRequest, AgentSetup, HostDisk, detect, serve_hooks
from ringfence.agents.agent import Agent
from ringfence.agents.agent import Bind as AgentBind
from ringfence.agents.generic import Generic
from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate, Site
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.egress import Gateway
from ringfence.model.canonical import text_from_os
from ringfence.model.event import DecisionMade, NoticeGiven, SessionEnded, SessionStarted, WorkspaceChanged
from ringfence.model.ids import new_id
from ringfence.model.situations import LedgerBroken, RingfenceError, SandboxLost
from ringfence.policy.control_files import is_reported
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.plan import Bind, HostFacts, PlacedFile, Plan, build_plan
from ringfence.sandbox.probe import require
from ringfence.session import environment
from ringfence.session.asking import channel_for
from ringfence.session.background import Background
from ringfence.session.governed import Governed
from ringfence.session.housekeeping import without_asking
from ringfence.session.network import GatewayJudge
from ringfence.session.options import Options
from ringfence.session.policy_files import SessionGrants, load_policy
from ringfence.session.sources import Places, User, places, user
from ringfence.session.stage import Stage
from ringfence.session.tally import Tally
from ringfence.session.workspaces import find_workspace
from ringfence.telemetry.ledger import Cleanup, Ledger
from ringfence.version import __version__
from ringfence.workspace.changes import changes_since


class SystemClock:
    """The machine's clock (`ringfence.model.ports.Clock`)."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def time_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()


class Asked:
    """What was asked for: everything that comes from outside, read once."""

    def __init__(self, options: Options, argv: tuple[str, ...], environ: Mapping[str, str], cwd: str) -> None:
        self.options = options
        self.argv = argv
        self.environ = environ
        self.cwd = os.path.realpath(cwd)
        self.places: Places = places(environ)
        self.user: User = user()
        self.workspace = find_workspace(options.workspace, self.cwd, self.places.home)
        self.session = new_id()


@asynccontextmanager
async def open_session(
    options: Options,
    *,
    argv: tuple[str, ...],
    environ: Mapping[str, str],
    cwd: str,
    whole_agent: bool,
    on_denial: Callable[[DecisionMade], None],
    announce: Callable[[str], None],
) -> AsyncIterator[Governed]:
    """A session for the length of a block. `whole_agent` gives `argv` its agent's profile; without, it is a program."""
    asked = Asked(options, argv, environ, cwd)
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        cleanup = Cleanup(module="ringfence.sandbox.stubs", function="sweep", argument=asked.places.state)
        ledger = await Ledger.start(asked.places.ledger, session=asked.session, cleanup=cleanup)
        # A single command does not wait for the checkpoint; the writer signs it and cleans up in its own time.
        stack.push_async_callback(ledger.close, sealed=whole_agent)
        agent = detect(argv, environ, asked.places.home) if whole_agent else Generic(asked.places.home)
        setup = _prepare(agent, asked)
        for folder in setup.folders:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        policy = load_policy(asked.places, asked.workspace, choice=options.policy, grants=_grants(asked, setup))
        require(options.min_tier or policy.min_tier)
        plan = build_plan(
            policy,
            facts=_facts(asked),
            workspace=asked.workspace,
            binds=[_bind(one) for one in setup.binds],
            files=[PlacedFile(path=one.path, content=one.content, mode=one.mode) for one in setup.files],
            programs=(argv[0], _interpreter()),
            host_ports=setup.host_ports,
        )
        governed = await _assemble(stack, asked, agent, setup, policy, plan, ledger, on_denial, announce)
        try:
            yield governed
        except Exception as error:  # noqa: BLE001 - raised again once everything is closed, without the groups around it
            failure = error
            governed.outcome = "failed" if governed.broken is None else governed.outcome
    # The loss of a part explains what failed because of it.
    failure = governed.broken or failure
    if failure is not None:
        raise failure


async def _assemble(
    stack: AsyncExitStack,
    asked: Asked,
    agent: Agent,
    setup: AgentSetup,
    policy: Policy,
    plan: Plan,
    ledger: Ledger,
    on_denial: Callable[[DecisionMade], None],
    announce: Callable[[str], None],
) -> Governed:
    tally = Tally(ledger, on_denial=on_denial)
    evaluator = Evaluator(policy, Context(home=asked.places.home, workspace=asked.workspace))
    stage = Stage()
    store = SqliteStore(asked.places.approvals)
    stack.callback(store.close)
    desk = Desk(store, time.time_ns, new_id)
    lost: asyncio.Future[RingfenceError] = asyncio.get_running_loop().create_future()

    def lose(reason: RingfenceError) -> None:
        if not lost.done():
            lost.set_result(reason)

    sandbox = await Sandbox.start(plan, on_lost=lambda: lose(SandboxLost("the sandbox ended unexpectedly")))
    stack.push_async_callback(sandbox.close)
    started, began = time.monotonic_ns(), time.time_ns()
    await tally.record(_started(asked, setup, policy, sandbox))
    notices = tuple(dict.fromkeys((*policy.notices, *setup.notices, *plan.notices, *sandbox.notices)))
    for text in notices:
        tally.record_soon(NoticeGiven(topic="session", text=text))
    gate = Gate(
        evaluate=without_asking(evaluator.evaluate, setup.unasked, setup.name),
        desk=desk,
        channel=channel_for(asked.options.ask, stage, asked.user.name, announce),
        recorder=tally,
        clock=SystemClock(),
        site=Site(
            session=asked.session,
            workspace=asked.workspace,
            policy=policy.digest,
            timeout_seconds=policy.approvals.timeout_seconds,
        ),
    )
    governed = Governed(
        session=asked.session,
        workspace=asked.workspace,
        cwd=asked.cwd,
        setup=setup,
        policy=policy,
        sandbox=sandbox,
        gate=gate,
        tally=tally,
        stage=stage,
        notices=notices,
        environment=environment.inside(
            asked.environ,
            keep=(*policy.environment.keep, *setup.keep),
            fixed=(*policy.environment.set, *setup.set),
            session=asked.session,
            user=asked.user.name,
        ),
    )
    stack.push_async_callback(_ended, governed, started, began)
    await stack.enter_async_context(gate)
    background = await stack.enter_async_context(Background())
    gateway = Gateway(
        GatewayJudge(gate, evaluator),
        on_closed=tally.record_soon,
        on_refused=lambda decision: tally.record_soon(DecisionMade(decision=decision, asked_by="gateway")),
    )
    once = ExitStack()
    once.callback(gateway.close)
    stack.callback(once.close)
    gateway.serve(sandbox.listeners)
    background.start(_end_with(ledger, lose))
    background.start(_remember_loss(lost, governed, once))
    background.start(serve_hooks(sandbox.listeners["hook"], agent, governed.judge_hook, tally))
    return governed


async def _end_with(ledger: Ledger, lose: Callable[[RingfenceError], None]) -> None:
    """No record, no session: whatever cannot be put on record must not happen."""
    lose(await ledger.lost())


async def _remember_loss(lost: asyncio.Future[RingfenceError], governed: Governed, network: ExitStack) -> None:
    """Whatever part was lost, the rest ends: first the network, then everything inside."""
    governed.broken = await lost
    governed.outcome = "broken"
    network.close()
    governed.sandbox.end()


async def _ended(governed: Governed, started_ns: int, began_ns: int) -> None:
    """The last events of a session. A ledger that is broken has said so already."""
    await governed.sandbox.close()
    changes = changes_since(governed.workspace, began_ns, is_reported)
    governed.changes = changes
    if isinstance(governed.broken, LedgerBroken):
        return
    if changes.files or changes.control_files:
        await governed.tally.record(WorkspaceChanged(files=changes.files, control_files=changes.control_files))
    duration = (time.monotonic_ns() - started_ns) // 1_000_000
    await governed.tally.record(
        SessionEnded(exit_code=governed.exit_code, outcome=governed.outcome, duration_ms=duration)
    )


def _prepare(agent: Agent, asked: Asked) -> AgentSetup:
    request = AgentRequest(
        argv=asked.argv,
        environ=dict(asked.environ),
        home=asked.places.home,
        workspace=asked.workspace,
        session=asked.session,
        interpreter=_interpreter(),
    )
    return agent.prepare(request, HostDisk())


def _interpreter() -> str:
    """The real interpreter: a version manager's shim or a virtual environment's link need not be there inside."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _grants(asked: Asked, setup: AgentSetup) -> tuple[SessionGrants, ...]:
    """What the agent's profile opens, and what the person at the keyboard does."""
    profile = SessionGrants(
        allow_hosts=setup.destinations, host_ports=setup.host_ports, source=f"the profile of the agent {setup.name}"
    )
    person = SessionGrants(
        allow_hosts=asked.options.allow_hosts,
        read=tuple(_path(path, asked) for path in asked.options.read),
        write=tuple(_path(path, asked) for path in asked.options.write),
        environment=asked.options.environment,
    )
    return tuple(one for one in (profile, person) if one != SessionGrants(source=one.source))


def _path(written: str, asked: Asked) -> str:
    """A path of the command line, which is relative to where it was typed."""
    if written.startswith(("/", "~", ":")):
        return written
    return os.path.normpath(os.path.join(asked.cwd, written))


def _facts(asked: Asked) -> HostFacts:
    return HostFacts(
        home=asked.places.home,
        uid=asked.user.uid,
        gid=asked.user.gid,
        user=asked.user.name,
        hostname=asked.user.host,
        path=asked.environ.get("PATH", ""),
        state=asked.places.state,
    )


def _bind(one: AgentBind) -> Bind:
    return Bind(source=one.source, target=one.target, writable=one.writable, required=one.required)


def _started(asked: Asked, setup: AgentSetup, policy: Policy, sandbox: Sandbox) -> SessionStarted:
    enforcement = dict(sandbox.enforcement)
    return SessionStarted(
        agent=setup.name,
        argv=tuple(map(text_from_os, asked.argv)),
        cwd=text_from_os(asked.cwd),
        workspace=text_from_os(asked.workspace),
        workspace_mode="direct",
        user=asked.user.name,
        host=asked.user.host,
        tier=enforcement.pop("tier", "?"),
        enforcement=tuple(enforcement.items()),
        policy=policy.digest,
        layers=policy.layers,
        version=__version__,
    )
