"""Opens a governed session and closes it: ledger, policy, sandbox, gate, gateway, hooks, in that order and back.

Orchestration only. Whatever cannot be had stops the opening with its reason, and then nothing has run; whatever is lost
later ends the session.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import cache, partial

from ringfence.agents import detect, serve_hooks
from ringfence.agents.agent import Agent, AgentSetup
from ringfence.agents.generic import Generic
from ringfence.agents.tool_server import ToolServer
from ringfence.approvals.delegation import Delegation
from ringfence.approvals.gate import Gate, Site
from ringfence.approvals.glass import Glass
from ringfence.approvals.reviewing.opinion import Reviewed
from ringfence.approvals.stores.opening import open_store
from ringfence.model.action import FileAction, FileOperation
from ringfence.model.canonical import text_from_os
from ringfence.model.clock import SystemClock
from ringfence.model.decision import Decision, Verdict
from ringfence.model.display import shortened, visible
from ringfence.model.event import DecisionMade, NoticeGiven, SessionEnded, WorkspaceChanged
from ringfence.model.ids import new_id
from ringfence.model.ports import Recorder
from ringfence.model.situations import LedgerBroken, RingfenceError, SandboxLost, SandboxUnavailable
from ringfence.policy.control_files import ControlFile, is_reported, rows_with
from ringfence.policy.effective import Policy, TelemetryPolicy, WorkspaceMode
from ringfence.policy.evaluate import Evaluator
from ringfence.sandbox.git_private import PrivateGit
from ringfence.sandbox.head_start import Launcher
from ringfence.sandbox.launch import Sandbox
from ringfence.sandbox.probe import require
from ringfence.sandbox.strongest import start_strongest
from ringfence.sandbox.way_places import COMMANDS_NAME, PROGRAMS
from ringfence.session import environment
from ringfence.session.answering import breaker_limits, desk_of
from ringfence.session.asked import Asked, interpreter
from ringfence.session.asking import channel_for, left_to_agents, telling
from ringfence.session.background import Background
from ringfence.session.beside import Places
from ringfence.session.command_plans import Plans
from ringfence.session.credentials.holding import Holding, held
from ringfence.session.git_back import bring_back, is_brought_back
from ringfence.session.governed import Governed
from ringfence.session.housekeeping import without_asking
from ringfence.session.keeping import Keeping
from ringfence.session.limiting import Limiting
from ringfence.session.mcp.servers import Servers
from ringfence.session.mcp.stand_in import StandIn
from ringfence.session.mcp.taken import TakenLists
from ringfence.session.mediation import Mediation, stand_ins
from ringfence.session.network import Looking, gateway_of
from ringfence.session.options import Ask, Options
from ringfence.session.profiled import Profiles
from ringfence.session.redacting import Redacting
from ringfence.session.revoking import close_revoked
from ringfence.session.screening import Leaving, leaving
from ringfence.session.snapshots import Snapshots, SnapshotsBroken
from ringfence.session.sparing import Sparing
from ringfence.session.stage import Stage
from ringfence.session.staging import collected
from ringfence.session.tally import Tally, unreported_text
from ringfence.session.transcribing import told
from ringfence.session.trusting import Trusting, trusting
from ringfence.session.turns import Turns
from ringfence.session.unseen_servers import unseen_servers
from ringfence.session.ways.opened import Ways, way_variables
from ringfence.session.ways.relay import serve
from ringfence.session.witnessing import witness
from ringfence.telemetry.ledger import Cleanup, Ledger
from ringfence.telemetry.redaction import load_key
from ringfence.workspace.changes import changes_since

Say = Callable[[str], None]
Review = Callable[[Decision], Awaitable[Reviewed]]
_NO_REPOSITORY = (
    "this folder is no Git repository, and none can be made in it during a session; "
    "if you want one, leave and type `git init` first"
)
_SAID = 20
"""So often is the same thing that was replaced put on record: moving folders, anybody inside can bring it about."""

_NO_STAND_INS = (
    "commands that a shell inside starts have the session's plan, whatever profile the policy has for them: "
    "to ask for each takes tier A"
)
_CREDENTIALS_IN_REACH = (
    "credentials of the policy are placeholders here too, but without a sandbox what runs can read the real ones where "
    "they are kept: in your files, and in the variables of your other processes"
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
    agent = _agent(asked, whole_agent=whole_agent)
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        cleanup = Cleanup(module="ringfence.sandbox.left_over", function="clear", argument=asked.places.state)
        ledger = await Ledger.start(asked.places.ledger, session=asked.session, cleanup=cleanup)
        # A single command does not wait for the checkpoint; the writer signs it and cleans up in its own time.
        stack.push_async_callback(ledger.close, sealed=whole_agent)
        governed = await _start(stack, asked, agent, ledger, launcher, on_denial, announce)
        if whole_agent and asked.without_repository:
            governed.notices = (*governed.notices, _NO_REPOSITORY)
        say = _unless_full_screen(announce, governed) if whole_agent else announce
        try:
            await _connect(stack, governed, agent, ledger, asked, say)
            yield governed
        except Exception as error:  # noqa: BLE001 - raised again once everything is closed, without the groups around it
            failure = error
            governed.outcome = "failed" if governed.broken is None else governed.outcome
    # The loss of a part explains what failed because of it.
    if governed.lost.done() and not governed.lost.cancelled():
        failure = governed.lost.result()
    if failure is not None:
        raise failure


def _agent(asked: Asked, *, whole_agent: bool) -> Agent:
    if asked.options.server is not None:
        return ToolServer(asked.places.home, asked.options.server)
    if not whole_agent:
        return Generic(asked.places.home)
    return detect(asked.argv, asked.environ, asked.places.home, asked.workspace)


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
    setup, policy = _ruled(asked, agent)
    evaluator = Evaluator(policy, asked.places.context(asked.workspace))
    credentials = await held(policy, evaluator, asked.places, asked.environ)
    unmet = asked.without_effect(evaluator)
    tiers = require(asked.options.min_tier or policy.min_tier, policy.boundary)
    trust = trusting(asked.session, datetime.datetime.now(datetime.UTC), asked.environ) if evaluator.inspects else None
    outgoing = leaving(
        policy, credentials, home=asked.places.home, workspace=asked.workspace, can_read=_can_read(evaluator)
    )
    plan = asked.plan(policy, setup, trust, stand_ins(policy, interpreter()), outgoing.files)
    # Before the sandbox puts its place holders into the workspace.
    unkept = await _kept(stack, asked, staged=plan.staging is not None)
    lost: asyncio.Future[RingfenceError] = asyncio.get_running_loop().create_future()
    sandbox = await start_strongest(
        plan,
        tiers,
        launcher=launcher,
        on_lost=lambda: _lose(lost, SandboxLost("the sandbox ended unexpectedly")),
    )
    stack.push_async_callback(sandbox.close)
    unseen = unseen_servers(setup, policy.mcp, tier=dict(sandbox.enforcement).get("tier", ""))
    began_ns = time.time_ns()
    tally = Tally(_recorder(ledger, policy, asked), on_denial=on_denial)
    await tally.record(asked.started(setup, policy, sandbox.enforcement))
    seconds, shortened = asked.answer_seconds(policy, setup)
    stage = Stage()
    new_gate = partial(_gate, asked=asked, setup=setup, tally=tally, stage=stage, seconds=seconds, announce=announce)
    governed = Governed(
        session=asked.session,
        workspace=asked.workspace,
        staged=plan.staging is not None,
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
        notices=_notices(
            (*unmet, *credentials.notices, *policy.notices, *setup.notices, *unseen, *plan.notices, *sandbox.notices),
            (*shortened, *left_to_agents(asked.options.ask, setup, policy.approvals.delegate), *unkept),
            policy,
            sandbox,
        ),
        environment=_inside(asked, setup, policy, credentials, sandbox, outgoing),
        lost=lost,
        looking=_looking(evaluator, tally, trust, credentials, outgoing, asked),
    )
    for text in governed.notices:
        tally.record_soon(NoticeGiven(topic="session", text=text))
    sandbox.before_release = lambda private: _bring_back(governed, private, asked)
    stack.push_async_callback(_ended, governed, began_ns, asked)
    return governed


def _ruled(asked: Asked, agent: Agent) -> tuple[AgentSetup, Policy]:
    """What the agent needs, and the policy that holds it, once both are known to fit."""
    # What a profile opens is a part of the policy, which says whether the agent's own sandbox can stand in ours.
    setup = asked.setup(agent, nested=True)
    policy = asked.policy(setup)
    if not policy.ways.nested_namespaces:
        setup = asked.setup(agent)
    for folder in setup.folders:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    asked.check_agent(policy, setup)
    unseen_servers(setup, policy.mcp, tier=None)
    return setup, policy


async def _kept(stack: AsyncExitStack, asked: Asked, *, staged: bool) -> tuple[str, ...]:
    """Keep all that the session may change as it is; what could not be kept is said."""
    unkept = await _snapshot(asked.snapshots, asked, "start", needed=staged)
    if staged:
        for each in asked.stagings[1:]:
            unkept = (*unkept, *await _snapshot(each.snapshots, asked, "start", needed=True))
        for each in asked.stagings:
            stack.enter_context(each.held())
    return unkept


def _notices(said: Iterable[str], more: Iterable[str], policy: Policy, sandbox: Sandbox) -> tuple[str, ...]:
    """Everything that a person has to be told at the start, each once."""
    reachable = bool(policy.credentials.rules) and dict(sandbox.enforcement).get("tier") == "C"
    unprofiled = bool(policy.commands.profiles) and COMMANDS_NAME not in sandbox.listeners
    notices = dict.fromkeys((*said, *more, *((_CREDENTIALS_IN_REACH,) if reachable else ())))
    return (*notices, *((_NO_STAND_INS,) if unprofiled else ()))


def _inside(
    asked: Asked, setup: AgentSetup, policy: Policy, credentials: Holding, sandbox: Sandbox, outgoing: Leaving
) -> dict[str, str]:
    """The variables of every program in the session."""
    found = environment.inside(
        asked.environ,
        keep=(*policy.environment.keep, *setup.keep),
        fixed=(*policy.environment.set, *setup.set, *way_variables(policy.ways).items()),
        session=asked.session,
        user=asked.user.name,
        remove=(*policy.environment.remove, *credentials.removed),
    )
    whole = credentials.inside(found | dict(sandbox.variables) | dict(outgoing.variables))
    if COMMANDS_NAME in sandbox.listeners:
        whole = {**whole, "PATH": f"{PROGRAMS}:{whole['PATH']}"}
    return whole


async def _snapshot(snapshots: Snapshots, asked: Asked, moment: str, *, needed: bool = False) -> tuple[str, ...]:
    """Keep the workspace as it is, and say what could not be kept. It is a help and no protection: nothing stops,
    unless the session is staged, whose changes are told by comparing with it."""
    try:
        _, notices = await asyncio.to_thread(
            snapshots.take, id=new_id(), session=asked.session, moment=moment, now_ns=time.time_ns()
        )
    except (SnapshotsBroken, OSError) as failure:
        why = failure.message if isinstance(failure, SnapshotsBroken) else str(failure)
        if needed:
            raise SandboxUnavailable(
                f"the workspace cannot be staged: no snapshot of it could be taken: {why}",
                remedy="run with `--direct`, or free space on the disk of your state folder",
            ) from failure
        if moment == "end":
            return (f"the end of this session could not be kept, and an undo takes the folder as it is then: {why}",)
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
    store = open_store(asked.places.approvals)
    stack.callback(store.close)
    path = asked.environ.get("PATH")

    def may_write(place: str) -> bool:
        written = FileAction(operation=FileOperation.WRITE, path=text_from_os(place))
        return evaluator.evaluate(written).verdict is not Verdict.DENY

    site = Site(
        session=asked.session,
        workspace=asked.workspace,
        policy=policy.digest,
        permission=asked.permission(policy),
        host=asked.user.host,
        timeout_seconds=seconds,
        # Whoever is told to ask again has to be there later: an agent is, a single command is not.
        wait_seconds=policy.approvals.wait_seconds if setup.hooks else 0,
    )
    desk = desk_of(store, asked.places)

    def looked_at(decision: Decision) -> str:
        return witness(decision, path=path, may_write=may_write)

    return Gate(
        evaluate=without_asking(evaluator.evaluate, setup.unasked, setup.name),
        desk=desk,
        channel=telling(
            channel_for(asked.options.ask, stage, asked.user.name, announce),
            policy.approvals.webhooks,
            asked.places,
            asked.environ,
            announce,
        ),
        recorder=tally,
        clock=SystemClock(),
        site=site,
        glass=Glass(store, time.time_ns, new_id),
        limits=breaker_limits(policy.approvals),
        turn=lambda: stage.entered,
        witness=looked_at,
        tell=announce,
        keep=None if policy.workspace_mode is WorkspaceMode.STAGED else _keeping(asked, tally),
        review=_review(asked, policy, tally),
        delegation=Delegation(
            desk=desk,
            recorder=tally,
            clock=SystemClock(),
            site=site,
            new_id=new_id,
            witness=looked_at,
            tell=announce,
        )
        if asked.options.ask is Ask.DELEGATED
        else None,
    )


def _watch_protection(governed: Governed, sandbox: Sandbox) -> None:
    """What is replaced outside while a session runs loses its protection inside for a moment; longer than that, and
    the session ends."""

    times = Counter[str]()

    def said(what: str, path: str) -> None:
        shown = shortened(visible(path), 120)
        if what == "lost":
            text = f"`{shown}` was replaced or removed outside, and cannot be protected inside any more"
            _lose(governed.lost, SandboxLost(text, remedy="look at it before you use it; then start another session"))
            return
        if what == "none":
            text = f"what is protected is not fully watched ({shown}): move no control files while the session runs"
        elif what == "unhidden":
            text = f"what is hidden is not watched ({shown}): another file in its place can be read inside"
        elif what == "hidden":
            text = f"`{shown}` was replaced outside while the session ran: for a moment, what runs inside could read it"
        else:
            text = f"`{shown}` was replaced or removed outside while the session ran; it is protected again: look at it"
        times[text] += 1
        if times[text] > _SAID:
            return
        if times[text] == 1:
            governed.replaced = (*governed.replaced, text)
        governed.tally.record_soon(NoticeGiven(topic="protection", text=text))

    sandbox.take_guard(said)


def _can_read(evaluator: Evaluator) -> Callable[[str], bool]:
    def can_read(path: str) -> bool:
        action = FileAction(operation=FileOperation.READ, path=text_from_os(path))
        return evaluator.evaluate(action).verdict is not Verdict.DENY

    return can_read


def _keeping(asked: Asked, tally: Tally) -> Keeping:
    return Keeping(asked.snapshots, asked.session, tally, home=asked.places.home)


def _review(asked: Asked, policy: Policy, tally: Tally) -> Review | None:
    if policy.approvals.reviewer is None:
        return None
    from ringfence.session.reviewing import reviewing  # what speaks to models is loaded where one is asked

    tally.transcript = told(asked.argv)
    return reviewing(policy.approvals, tally.transcript, tally, asked.outside, asked.workspace)


def _looking(
    evaluator: Evaluator,
    tally: Tally,
    trust: Trusting | None,
    credentials: Holding,
    outgoing: Leaving,
    asked: Asked,
) -> Looking:
    """What the gateways look into requests with, where they look into any."""
    servers = Servers(TakenLists(asked.places.tool_lists), tally.record_soon, time.monotonic)
    if not evaluator.inspects:
        return Looking(trust=trust, credentials=credentials, leaving=outgoing, servers=servers)
    from ringfence.session.modelling import routing, watching  # loaded where it is needed

    models = (watching(evaluator.policy, tally),)
    route = routing(evaluator.policy, credentials.placeholders)
    return Looking(trust=trust, credentials=credentials, leaving=outgoing, servers=servers, models=models, route=route)


def _unless_full_screen(announce: Say, governed: Governed) -> Say:
    """Say nothing while an agent owns the screen: the summary and the record do."""

    def said(text: str) -> None:
        if governed.stage.relay is None:
            announce(text)

    return said


def _turns(governed: Governed, asked: Asked) -> Callable[[], Awaitable[None]]:
    """Keeps each turn's beginning: of the workspace, or of what a staged session wrote."""

    def keep(number: int) -> None:
        if not governed.staged:
            asked.snapshots.turn(id=new_id(), session=asked.session, number=number, now_ns=time.time_ns())
            return
        for each in asked.stagings:
            if each.made:
                each.turn(id=new_id(), number=number, now_ns=time.time_ns())

    turns = Turns(keep)

    async def began() -> None:
        await turns.began()
        if turns.problem is not None:
            text = f"a turn cannot be undone by itself: no snapshot could be taken: {turns.problem}"
            await governed.tally.record(NoticeGiven(topic="session", text=text))

    return began


async def _connect(
    stack: AsyncExitStack, governed: Governed, agent: Agent, ledger: Ledger, asked: Asked, announce: Say
) -> None:
    """The ways out of the sandbox: network and hooks, each to the gate."""
    tally, listeners = governed.tally, governed.sandbox.listeners
    await stack.enter_async_context(governed.gate)
    background = await stack.enter_async_context(Background())
    gateway = gateway_of(governed.gate, governed.evaluator, tally, governed.looking)
    network = ExitStack()
    network.callback(gateway.close)
    stack.callback(network.close)
    gateway.serve(listeners)
    governed.sandbox.take_arrivals(gateway.arrive)
    _watch_protection(governed, governed.sandbox)
    gate = governed.gate
    background.start(
        close_revoked(gateway, gate.grants, gate.opened, session=governed.session, workspace=governed.workspace)
    )
    ways = Ways(governed.policy.ways, governed.sandbox, tally, asked.outside, asked.places.home)
    await ways.open(stack, background.start)
    governed.notices = (*governed.notices, *ways.notices)

    def also(sandbox: Sandbox) -> None:
        """What holds for the session's sandbox holds for one beside it."""
        sandbox.before_release = lambda private: _bring_back(governed, private, asked)
        _watch_protection(governed, sandbox)

    places = Places(asked, governed, also)
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
    limiting = Limiting(governed.policy, tally, announce, governed.lost)
    background.start(limiting.watch(governed.sandbox))
    background.start(limiting.end_after())
    background.start(_end_everything(governed, network))
    stand_in = StandIn(governed.gate, governed.looking.servers)
    background.start(
        serve_hooks(
            listeners["hook"], agent, governed.judge_hook, tally, _turns(governed, asked), stand_in, governed.hear
        )
    )


def _recorder(ledger: Ledger, policy: Policy, asked: Asked) -> Recorder:
    """The ledger, behind what the policy keeps out of it, and what is only counted."""
    if policy.telemetry == TelemetryPolicy():
        return Sparing(ledger, time.monotonic)
    path = os.path.join(asked.places.state, "redaction-key")
    return Sparing(Redacting(ledger, policy.telemetry, cache(lambda: load_key(path))), time.monotonic)


def _lose(lost: asyncio.Future[RingfenceError], reason: RingfenceError) -> None:
    if not lost.done():
        lost.set_result(reason)


async def _end_with(ledger: Ledger, lost: asyncio.Future[RingfenceError]) -> None:
    """No record, no session: whatever cannot be put on record must not happen."""
    _lose(lost, await ledger.lost())


async def _end_everything(governed: Governed, network: ExitStack) -> None:
    """Whatever part was lost, the rest ends: first the network, then everything inside."""
    governed.broken = await governed.lost
    governed.outcome = "broken"
    network.close()
    governed.sandbox.end()


def _told(governed: Governed, rows: tuple[ControlFile, ...]) -> Callable[[str], bool]:
    """Which changed paths are told at the end. What came back from a private copy was looked at already."""
    copied = governed.sandbox.private_git is not None

    def told(path: str) -> bool:
        return is_reported(path, rows) and not (copied and is_brought_back(os.fsencode(path)))

    return told


def _bring_back(governed: Governed, private: PrivateGit, asked: Asked) -> None:
    governed.kept_out = bring_back(private, asked.snapshots, asked.session)


async def _ended(governed: Governed, began_ns: int, asked: Asked) -> None:
    """The last events of a session. A ledger that is broken has said so already."""
    await governed.sandbox.close()
    named = governed.policy.control_files
    rows = rows_with(named.rows, named.exempt)
    if governed.staged:
        changes, governed.unkept = await asyncio.to_thread(collected, asked.stagings, rows, new_id)
    else:
        governed.unkept = await _snapshot(asked.snapshots, asked, "end")
        changes = changes_since(governed.workspace, began_ns, _told(governed, rows))
    governed.changes = changes
    if isinstance(governed.broken, LedgerBroken):
        return
    for text in governed.kept_out:
        await governed.tally.record(NoticeGiven(topic="git", text=text))
    if changes.files or changes.control_files:
        await governed.tally.record(
            WorkspaceChanged(
                files=changes.files,
                control_files=changes.control_files,
                more_control_files=changes.more_control_files,
            )
        )
    unreported = governed.tally.unreported if governed.setup.hooks else ()
    if unreported:
        await governed.tally.record(NoticeGiven(topic="model", text=unreported_text(unreported)))
    duration = (time.time_ns() - began_ns) // 1_000_000
    await governed.tally.record(
        SessionEnded(exit_code=governed.exit_code, outcome=governed.outcome, duration_ms=max(duration, 0))
    )
