"""Opens a governed session and closes it: ledger, policy, sandbox, gate, gateway, hooks, in that order and back.

Orchestration only. Whatever cannot be had stops the opening with its reason, and then nothing has run; whatever is lost
later ends the session.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import cache, partial

from ringfence.agents import detect, serve_hooks
from ringfence.agents.agent import Agent, AgentSetup
from ringfence.agents.generic import Generic
from ringfence.approvals.desk import Desk
from ringfence.approvals.gate import Gate, Site
from ringfence.approvals.stores.sqlite import SqliteStore
from ringfence.model.clock import SystemClock
from ringfence.model.event import DecisionMade, NoticeGiven, SessionEnded, WorkspaceChanged
from ringfence.model.ids import new_id
from ringfence.model.ports import Recorder
from ringfence.model.situations import LedgerBroken, RingfenceError, SandboxLost
from ringfence.policy.control_files import is_reported, rows_with
from ringfence.policy.effective import Policy, TelemetryPolicy
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.sandbox.head_start import Launcher
from ringfence.sandbox.probe import require
from ringfence.sandbox.strongest import start_strongest
from ringfence.sandbox.way_places import COMMANDS_NAME, PROGRAMS
from ringfence.session import environment
from ringfence.session.asked import Asked, interpreter
from ringfence.session.asking import channel_for
from ringfence.session.background import Background
from ringfence.session.beside import Places
from ringfence.session.command_plans import Plans
from ringfence.session.governed import Governed
from ringfence.session.housekeeping import without_asking
from ringfence.session.mediation import Mediation, stand_ins
from ringfence.session.network import gateway_of
from ringfence.session.options import Options
from ringfence.session.profiled import Profiles
from ringfence.session.redacting import Redacting
from ringfence.session.snapshots import Snapshots, SnapshotsBroken
from ringfence.session.stage import Stage
from ringfence.session.tally import Tally
from ringfence.session.ways.opened import Ways, way_variables
from ringfence.session.ways.relay import serve
from ringfence.telemetry.ledger import Cleanup, Ledger
from ringfence.telemetry.redaction import load_key
from ringfence.workspace.changes import changes_since

Say = Callable[[str], None]
_NO_REPOSITORY = (
    "this folder is no Git repository, and none can be made in it during a session; "
    "if you want one, leave and type `git init` first"
)
_NO_STAND_INS = (
    "commands that a shell inside starts have the session's plan, whatever profile the policy has for them: "
    "to ask for each takes tier A"
)
OnDenial = Callable[[DecisionMade], None]


@asynccontextmanager
async def open_session(
    options: Options,
    *,
    argv: tuple[str, ...],
    environ: Mapping[str, str],
    cwd: str,
    whole_agent: bool,
    on_denial: OnDenial,
    announce: Say,
    launcher: Launcher | None = None,
) -> AsyncIterator[Governed]:
    """A session for the length of a block. `whole_agent` gives `argv` its agent's profile; without, it is a program.

    `launcher` is one that was given a head start; it stays the caller's as long as it was not needed.
    """
    asked = Asked(options, argv, environ, cwd)
    agent: Agent = (
        detect(argv, environ, asked.places.home, asked.workspace) if whole_agent else Generic(asked.places.home)
    )
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        cleanup = Cleanup(module="ringfence.sandbox.stubs", function="sweep", argument=asked.places.state)
        ledger = await Ledger.start(asked.places.ledger, session=asked.session, cleanup=cleanup)
        # A single command does not wait for the checkpoint; the writer signs it and cleans up in its own time.
        stack.push_async_callback(ledger.close, sealed=whole_agent)
        governed = await _start(stack, asked, agent, ledger, launcher, on_denial, announce)
        if whole_agent and asked.without_repository:
            governed.notices = (*governed.notices, _NO_REPOSITORY)
        try:
            await _connect(stack, asked, governed, agent, ledger)
            yield governed
        except Exception as error:  # noqa: BLE001 - raised again once everything is closed, without the groups around it
            failure = error
            governed.outcome = "failed" if governed.broken is None else governed.outcome
    # The loss of a part explains what failed because of it.
    if governed.lost.done() and not governed.lost.cancelled():
        failure = governed.lost.result()
    if failure is not None:
        raise failure


async def _start(
    stack: AsyncExitStack,
    asked: Asked,
    agent: Agent,
    ledger: Ledger,
    launcher: Launcher | None,
    on_denial: OnDenial,
    announce: Say,
) -> Governed:
    """Policy, sandbox and gate. Nothing of the user's runs yet, and the session's start is on record."""
    # What a profile opens is a part of the policy, which says whether the agent's own sandbox can stand in ours.
    setup = asked.setup(agent, nested=True)
    policy = asked.policy(setup)
    if not policy.ways.nested_namespaces:
        setup = asked.setup(agent)
    for folder in setup.folders:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    asked.check_agent(policy, setup)
    asked.check_credentials(policy)
    evaluator = Evaluator(policy, Context(home=asked.places.home, workspace=asked.workspace))
    unmet = asked.without_effect(evaluator)
    tiers = require(asked.options.min_tier or policy.min_tier)
    plan = asked.plan(policy, setup, stand_ins(policy, interpreter()))
    # Before the sandbox puts its place holders into the workspace.
    unkept = await _snapshot(asked, "start")
    lost: asyncio.Future[RingfenceError] = asyncio.get_running_loop().create_future()
    sandbox = await start_strongest(
        plan,
        tiers,
        launcher=launcher,
        on_lost=lambda: _lose(lost, SandboxLost("the sandbox ended unexpectedly")),
    )
    stack.push_async_callback(sandbox.close)
    began_ns = time.time_ns()
    tally = Tally(_recorder(ledger, policy, asked), on_denial=on_denial)
    await tally.record(asked.started(setup, policy, sandbox.enforcement))
    seconds, shortened = asked.answer_seconds(policy, setup)
    notices = (*unmet, *policy.notices, *setup.notices, *plan.notices, *sandbox.notices, *shortened, *unkept)
    stage = Stage()
    new_gate = partial(_gate, asked=asked, setup=setup, tally=tally, stage=stage, seconds=seconds, announce=announce)
    governed = Governed(
        session=asked.session,
        workspace=asked.workspace,
        cwd=asked.cwd,
        setup=setup,
        policy=policy,
        evaluator=evaluator,
        sandbox=sandbox,
        plan=plan,
        gate=new_gate(stack, policy, evaluator),
        new_gate=new_gate,
        tally=tally,
        stage=stage,
        notices=tuple(dict.fromkeys(notices)),
        environment=environment.inside(
            asked.environ,
            keep=(*policy.environment.keep, *setup.keep),
            fixed=(*policy.environment.set, *setup.set, *way_variables(policy.ways).items()),
            session=asked.session,
            user=asked.user.name,
            remove=policy.environment.remove,
        )
        | dict(sandbox.variables),
        lost=lost,
    )
    path = governed.environment["PATH"]
    if policy.commands.profiles and COMMANDS_NAME not in sandbox.listeners:
        governed.notices = (*governed.notices, _NO_STAND_INS)
    if COMMANDS_NAME in sandbox.listeners:
        governed.environment = {**governed.environment, "PATH": f"{PROGRAMS}:{path}"}
    for text in governed.notices:
        tally.record_soon(NoticeGiven(topic="session", text=text))
    stack.push_async_callback(_ended, governed, began_ns, asked)
    return governed


async def _snapshot(asked: Asked, moment: str) -> tuple[str, ...]:
    """Keep the workspace as it is, and say what could not be kept. It is a help and no protection: nothing stops."""
    snapshots = Snapshots(asked.places, asked.workspace)
    try:
        _, notices = await asyncio.to_thread(
            snapshots.take, id=new_id(), session=asked.session, moment=moment, now_ns=time.time_ns()
        )
    except (SnapshotsBroken, OSError) as failure:
        why = failure.message if isinstance(failure, SnapshotsBroken) else str(failure)
        return (f"this session cannot be undone: no snapshot of the workspace could be taken: {why}",)
    return notices


def _gate(
    stack: AsyncExitStack,
    policy: Policy,
    evaluator: Evaluator,
    *,
    asked: Asked,
    setup: AgentSetup,
    tally: Tally,
    stage: Stage,
    seconds: int,
    announce: Say,
) -> Gate:
    store = SqliteStore(asked.places.approvals)
    stack.callback(store.close)
    return Gate(
        evaluate=without_asking(evaluator.evaluate, setup.unasked, setup.name),
        desk=Desk(store, time.time_ns, new_id),
        channel=channel_for(asked.options.ask, stage, asked.user.name, announce),
        recorder=tally,
        clock=SystemClock(),
        site=Site(
            session=asked.session,
            workspace=asked.workspace,
            policy=policy.digest,
            permission=asked.permission(policy),
            timeout_seconds=seconds,
        ),
    )


async def _connect(stack: AsyncExitStack, asked: Asked, governed: Governed, agent: Agent, ledger: Ledger) -> None:
    """The ways out of the sandbox: network and hooks, each to the gate."""
    tally, listeners = governed.tally, governed.sandbox.listeners
    await stack.enter_async_context(governed.gate)
    background = await stack.enter_async_context(Background())
    gateway = gateway_of(governed.gate, governed.evaluator, tally)
    network = ExitStack()
    network.callback(gateway.close)
    stack.callback(network.close)
    gateway.serve(listeners)
    governed.sandbox.take_arrivals(gateway.arrive)
    ways = Ways(governed.policy.ways, governed.sandbox, tally, asked.environ, asked.places.home)
    await ways.open(stack, background.start)
    governed.notices = (*governed.notices, *ways.notices)
    places = Places(asked, tally, governed.new_gate)
    network.callback(places.end)
    governed.profiles = Profiles(
        Plans(
            governed.evaluator,
            path=governed.environment["PATH"].removeprefix(f"{PROGRAMS}:"),
            writable=[bind.source for bind in governed.plan.binds if bind.writable],
        ),
        start=background.start,
        open_beside=places.open,
        tally=tally,
    )
    if COMMANDS_NAME in listeners:
        background.start(serve(listeners[COMMANDS_NAME], Mediation(governed).answer))
    background.start(_end_with(ledger, governed.lost))
    if governed.policy.limits.wall_seconds is not None:
        background.start(_end_after(governed.policy, governed.lost))
    background.start(_end_everything(governed, network))
    background.start(serve_hooks(listeners["hook"], agent, governed.judge_hook, tally))


def _recorder(ledger: Ledger, policy: Policy, asked: Asked) -> Recorder:
    """The ledger, behind what the policy keeps out of it."""
    if policy.telemetry == TelemetryPolicy():
        return ledger
    path = os.path.join(asked.places.state, "redaction-key")
    return Redacting(ledger, policy.telemetry, cache(lambda: load_key(path)))


def _lose(lost: asyncio.Future[RingfenceError], reason: RingfenceError) -> None:
    if not lost.done():
        lost.set_result(reason)


async def _end_with(ledger: Ledger, lost: asyncio.Future[RingfenceError]) -> None:
    """No record, no session: whatever cannot be put on record must not happen."""
    _lose(lost, await ledger.lost())


async def _end_after(policy: Policy, lost: asyncio.Future[RingfenceError]) -> None:
    """A session has only so much time."""
    seconds = policy.limits.wall_seconds
    assert seconds is not None
    await asyncio.sleep(seconds)
    origin = policy.origin_of("limits.wall_seconds")
    text = f"the session ended after {seconds} s (limits.wall_seconds, {origin.layer}, {origin.source})"
    _lose(lost, SandboxLost(text, remedy="start another one, or ask whoever set this limit"))


async def _end_everything(governed: Governed, network: ExitStack) -> None:
    """Whatever part was lost, the rest ends: first the network, then everything inside."""
    governed.broken = await governed.lost
    governed.outcome = "broken"
    network.close()
    governed.sandbox.end()


async def _ended(governed: Governed, began_ns: int, asked: Asked) -> None:
    """The last events of a session. A ledger that is broken has said so already."""
    await governed.sandbox.close()
    governed.unkept = await _snapshot(asked, "end")
    named = governed.policy.control_files
    rows = rows_with(named.rows, named.exempt)
    changes = changes_since(governed.workspace, began_ns, lambda path: is_reported(path, rows))
    governed.changes = changes
    if isinstance(governed.broken, LedgerBroken):
        return
    if changes.files or changes.control_files:
        await governed.tally.record(WorkspaceChanged(files=changes.files, control_files=changes.control_files))
    duration = (time.time_ns() - began_ns) // 1_000_000
    await governed.tally.record(
        SessionEnded(exit_code=governed.exit_code, outcome=governed.outcome, duration_ms=max(duration, 0))
    )
