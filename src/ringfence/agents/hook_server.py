"""The side of the hooks that stands outside: takes each call, puts it on record, has it judged and answers.

It decides nothing. A call that cannot be read, recorded or judged is answered with a denial and the reason; a client
that goes away cancels its question.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable

from ringfence.agents import hook_wire
from ringfence.agents.agent import Agent, HookAnswer, HookCall, HookMoment, HookUnreadable
from ringfence.model.action import Action
from ringfence.model.decision import Decision
from ringfence.model.event import NoticeGiven, PromptSubmitted, ToolCallCompleted, ToolCallRequested
from ringfence.model.ports import Recorder
from ringfence.model.situations import RingfenceError

logger = logging.getLogger(__name__)

Judge = Callable[[Action, HookCall], Awaitable[Decision]]
"""Gives the final decision about one action of a tool call, after any question was answered and recorded."""

READ_SECONDS = 30.0
"""How long a client may take to send its question."""
LARGEST_TEXT = 16 * 1024
"""How much of a tool call's arguments or result is put on record."""
MOST_AT_ONCE = 64
SMALL = 64 * 1024
"""A question of so many bytes is read whatever else is held."""
ROOM = 4 * hook_wire.LARGEST
"""How many bytes of larger questions are held at once; further ones wait, as long as they may take to be sent."""
_REMEMBERED = 4096
_LATE = "the call did not arrive in time, or too many large ones are being judged; try again later, or a smaller one"


Questions = Callable[[str, bytes], Awaitable[HookAnswer]]
"""Answers the questions about servers of tools, whose events begin with `Mcp`."""


async def _nothing() -> None:
    return None


def _unheard(_: HookCall) -> None:
    """Nobody follows what becomes of tool calls."""


async def _unanswered(event: str, payload: bytes) -> HookAnswer:
    raise HookUnreadable(f"nobody here answers `{event}`")


async def serve_hooks(
    listener: socket.socket,
    agent: Agent,
    judge: Judge,
    recorder: Recorder,
    on_turn: Callable[[], Awaitable[None]] = _nothing,
    servers: Questions = _unanswered,
    on_report: Callable[[HookCall], None] = _unheard,
) -> None:
    """Answer hooks until cancelled, or until the sandbox has ended: then the listening socket, which stays the
    caller's, is closed, and nobody is there to ask. `on_turn` is waited for when a person's
    prompt begins a turn, before the agent goes on; `servers` answers what stands between the agent and its servers;
    `on_report` hears of everything that a hook only reports."""
    server = HookServer(agent, judge, recorder, on_turn, servers, on_report)
    loop = asyncio.get_running_loop()
    # SECURITY: whoever is inside may open connections without end; past the limit they wait, unaccepted.
    places = asyncio.Semaphore(MOST_AT_ONCE)
    async with asyncio.TaskGroup() as tasks:
        while True:
            await places.acquire()
            if listener.fileno() < 0:
                return
            listener.setblocking(False)
            connection, _ = await loop.sock_accept(listener)
            tasks.create_task(server.serve(connection)).add_done_callback(lambda _: places.release())


class HookServer:
    """Answers single connections; keeps only which calls were already reported as ended."""

    def __init__(
        self,
        agent: Agent,
        judge: Judge,
        recorder: Recorder,
        on_turn: Callable[[], Awaitable[None]] = _nothing,
        servers: Questions = _unanswered,
        on_report: Callable[[HookCall], None] = _unheard,
    ) -> None:
        self._on_turn = on_turn
        self._servers = servers
        self._on_report = on_report
        self._agent = agent
        self._judge = judge
        self._recorder = recorder
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._room = ROOM
        self._freed = asyncio.Condition()

    async def serve(self, connection: socket.socket) -> None:
        """One question and its answer."""
        with connection:
            connection.setblocking(False)
            try:
                await self._converse(connection)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                # The client denies by itself when no answer arrives.
                logger.debug("a hook went away: %s", error)

    async def _converse(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(READ_SECONDS):
                    header = await _read_exactly(connection, hook_wire.HEADER)
                    length = hook_wire.body_length(header, hook_wire.QUESTION)
                    if length > SMALL:
                        await held.enter_async_context(self._holding(length))
                    event, payload = hook_wire.read_question(await _read_exactly(connection, length))
            except HookUnreadable as unreadable:
                content = self._agent.refuse("PreToolUse", f"denied by ringfence (hook.unreadable): {unreadable}")
            except TimeoutError:
                content = self._agent.refuse("PreToolUse", f"denied by ringfence (hook.unavailable): {_LATE}")
            else:
                content = await self._answer_while_connected(connection, event, payload)
        async with asyncio.timeout(READ_SECONDS):
            await loop.sock_sendall(connection, hook_wire.answer(content))

    @contextlib.asynccontextmanager
    async def _holding(self, size: int) -> AsyncIterator[None]:
        """Room for a question of this size, until it is answered."""
        # SECURITY: whoever is inside may send the largest questions there are on every connection. They are held out
        # here, where no limit of the sandbox counts them (T24).
        async with self._freed:
            await self._freed.wait_for(lambda: size <= self._room)
            self._room -= size
        try:
            yield
        finally:
            self._room += size
            async with self._freed:
                self._freed.notify_all()

    async def _answer_while_connected(self, connection: socket.socket, event: str, payload: bytes) -> HookAnswer:
        """The answer; cancelled when the client goes away, so that nobody is asked for a call that no longer waits."""
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self.answer(event, payload))
            watching = tasks.create_task(_gone(connection))
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            gone = not answering.done()
            (answering if gone else watching).cancel()
        if gone:
            raise ConnectionAbortedError("the hook client went away before its answer")
        return answering.result()

    async def answer(self, event: str, payload: bytes) -> HookAnswer:
        """Record and judge one call. Never raises but for cancellation: any trouble is a denial."""
        try:
            if event.startswith("Mcp"):
                return await self._servers(event, payload)
            call = self._agent.parse_hook(event, payload)
            await self._record(call)
            if call.moment is not HookMoment.BEFORE_TOOL:
                self._on_report(call)
                if call.moment is HookMoment.PROMPT:
                    await self._on_turn()
                return self._agent.render(call, None)
            return self._agent.render(call, await self._decide(call))
        except HookUnreadable as unreadable:
            return await self._refuse(event, f"hook.unreadable: {unreadable}")
        except RingfenceError as situation:
            return await self._refuse(event, f"hook.failed: {situation.message}")
        except Exception as error:
            logger.exception("a hook could not be answered")
            return await self._refuse(event, f"hook.failed: {type(error).__name__}")

    async def _decide(self, call: HookCall) -> Decision:
        """The strictest decision over everything that the call would do."""
        if not call.actions:
            raise HookUnreadable("the tool call has no action that could be judged")
        decisions = [await self._judge(action, call) for action in call.actions]
        return max(decisions, key=lambda decision: decision.verdict.strictness)

    async def _record(self, call: HookCall) -> None:
        match call.moment:
            case HookMoment.BEFORE_TOOL:
                await self._recorder.record(
                    ToolCallRequested(tool=call.tool, call=call.call, arguments=_cut(call.arguments))
                )
            case HookMoment.AFTER_TOOL:
                if self._first_end(call.call):
                    result = _cut(call.result)
                    await self._recorder.record(
                        ToolCallCompleted(tool=call.tool, call=call.call, success=call.success, result=result)
                    )
            case HookMoment.PROMPT:
                prompt = call.prompt or ""
                await self._recorder.record(PromptSubmitted(length=len(prompt), text=_cut(prompt)))
            case HookMoment.SESSION | HookMoment.PROMPTED | HookMoment.BATCH | HookMoment.TURN_END:
                pass

    def _first_end(self, call: str) -> bool:
        """Whether this is the first report of a call's end; one agent reports a failure under two events."""
        if call in self._ended:
            return False
        if call:
            self._ended[call] = None
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        return True

    async def _refuse(self, event: str, reason: str) -> HookAnswer:
        try:
            await self._recorder.record(NoticeGiven(topic="hook", text=f"denied a call of `{event}`: {reason}"))
        except RingfenceError:
            logger.warning("a refused hook could not be recorded: %s", reason)
        return self._agent.refuse(event, f"denied by ringfence ({reason})")


async def _gone(connection: socket.socket) -> None:
    """Return when the client closes; anything more that it sends is against the protocol and counts as the same."""
    with contextlib.suppress(OSError):
        await asyncio.get_running_loop().sock_recv(connection, 1)


async def _read_exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    data = bytearray()
    while len(data) < size:
        part = await loop.sock_recv(connection, min(size - len(data), 1 << 20))
        if not part:
            raise asyncio.IncompleteReadError(bytes(data[:16]), size)
        data += part
    return bytes(data)


def _cut(text: str) -> str:
    return text if len(text) <= LARGEST_TEXT else f"{text[:LARGEST_TEXT]} [cut, {len(text)} characters in all]"
