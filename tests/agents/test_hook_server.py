"""The outer side of the hooks over a real socket: everything is recorded, and whatever goes wrong is a denial."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from ringfence.agents import hook_wire
from ringfence.agents.agent import HookAnswer, HookCall, HookMoment
from ringfence.agents.claude import Claude
from ringfence.agents.codex import Codex
from ringfence.agents.hook_server import ROOM, SMALL, HookServer, Judge, serve_hooks
from ringfence.model.action import Action, CommandAction, FileAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import Body, NoticeGiven, PromptSubmitted, ToolCallCompleted, ToolCallRequested
from ringfence.model.ports import Recorder
from ringfence.model.situations import LedgerBroken


class Record:
    """A recorder that keeps what it was given, or is broken."""

    def __init__(self, *, broken: bool = False) -> None:
        self.bodies: list[Body] = []
        self.broken = broken

    async def record(self, body: Body) -> None:
        if self.broken:
            raise LedgerBroken("the disk is full")
        self.bodies.append(body)

    def record_soon(self, body: Body, done: object = None) -> None:
        raise AssertionError("a hook waits for its record")


def verdict(action: Action, given: Verdict) -> Decision:
    reason = Reason(rule="r", layer="user", source="policy.toml:1", verdict=given, text="the whole rationale")
    return Decision(verdict=given, action=action, reasons=(reason,), policy="sha256:0", message="short words")


def always(given: Verdict) -> Judge:
    async def judge(action: Action, call: HookCall) -> Decision:
        return verdict(action, given)

    return judge


Ask = Callable[[str, object], Awaitable[HookAnswer]]


@asynccontextmanager
async def served(
    place: Path,
    judge: Judge,
    record: Record,
    agent: Codex | Claude | None = None,
    on_turn: Callable[[], Awaitable[None]] | None = None,
) -> AsyncIterator[Ask]:
    listener = socket.socket(socket.AF_UNIX)
    path = str(place / "hook.sock")
    listener.bind(path)
    listener.listen()

    async def ask(event: str, payload: object) -> HookAnswer:
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return await send(path, hook_wire.question(event, raw))

    recorder: Recorder = record  # type: ignore[assignment]
    with listener:
        async with asyncio.TaskGroup() as tasks:
            more = () if on_turn is None else (on_turn,)
            serving = tasks.create_task(serve_hooks(listener, agent or Claude(home="/h"), judge, recorder, *more))
            yield ask
            serving.cancel()


async def send(path: str, frame: bytes) -> HookAnswer:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(frame)
    await writer.drain()
    length = hook_wire.body_length(await reader.readexactly(hook_wire.HEADER), hook_wire.ANSWER)
    content = hook_wire.read_answer(await reader.readexactly(length))
    writer.close()
    await writer.wait_closed()
    return content


def bash(command: str, **more: object) -> dict[str, object]:
    return {"cwd": "/w", "tool_name": "Bash", "tool_input": {"command": command}, "tool_use_id": "c1", **more}


async def test_an_allowed_call_is_recorded_before_its_answer(tmp_path: Path) -> None:
    record = Record()

    async with served(tmp_path, always(Verdict.ALLOW), record) as ask:
        answer = await ask("PreToolUse", bash("ls"))

    assert record.bodies == [ToolCallRequested(tool="Bash", call="c1", arguments='{"command":"ls"}')]
    assert json.loads(answer.stdout)["hookSpecificOutput"]["permissionDecision"] == "allow"
    assert answer.exit_code == 0


@pytest.mark.parametrize("given", [Verdict.DENY, Verdict.ASK])
async def test_anything_but_an_allowance_is_a_denial_without_the_rationale(tmp_path: Path, given: Verdict) -> None:
    async with served(tmp_path, always(given), Record()) as ask:
        answer = await ask("PreToolUse", bash("ls"))

    assert json.loads(answer.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny"
    assert answer.stderr.startswith(b"denied by ringfence (command, rule r): short words; ")
    assert b"the whole rationale" not in answer.stdout + answer.stderr
    assert answer.exit_code == 2


async def test_a_sandbox_that_ends_before_anybody_listens_is_no_fault_of_the_hooks() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.close()
    recorder: Recorder = Record()  # type: ignore[assignment]

    async with asyncio.timeout(5):
        await serve_hooks(listener, Claude(home="/h"), always(Verdict.ALLOW), recorder)


async def test_a_patch_of_several_files_gets_the_strictest_verdict(tmp_path: Path) -> None:
    async def judge(action: Action, call: HookCall) -> Decision:
        assert isinstance(action, FileAction)
        return verdict(action, Verdict.DENY if action.path == "/w/b" else Verdict.ALLOW)

    patch = "*** Begin Patch\n*** Add File: a\n+1\n*** Add File: b\n+1\n*** Add File: c\n+1\n*** End Patch"
    call = {"cwd": "/w", "tool_name": "apply_patch", "tool_input": {"command": patch}, "tool_use_id": "c"}
    async with served(tmp_path, judge, Record(), Codex(home="/h")) as ask:
        answer = await ask("PreToolUse", call)

    assert answer.exit_code == 2


async def test_a_judge_that_breaks_denies_and_is_recorded(tmp_path: Path) -> None:
    async def judge(action: Action, call: HookCall) -> Decision:
        raise ZeroDivisionError

    record = Record()
    async with served(tmp_path, judge, record) as ask:
        answer = await ask("PreToolUse", bash("ls"))

    assert answer.exit_code == 2
    assert record.bodies[-1] == NoticeGiven(
        topic="hook", text="denied a call of `PreToolUse`: hook.failed: ZeroDivisionError"
    )


async def test_a_ledger_that_cannot_record_denies_unjudged(tmp_path: Path) -> None:
    judged = []

    async def judge(action: Action, call: HookCall) -> Decision:
        judged.append(action)
        return verdict(action, Verdict.ALLOW)

    async with served(tmp_path, judge, Record(broken=True)) as ask:
        answer = await ask("PreToolUse", bash("ls"))

    assert (answer.exit_code, judged) == (2, [])
    assert b"the disk is full" in answer.stderr


@pytest.mark.parametrize(
    "payload",
    [b"", b"not json", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"tool_name": 5}', b'{"tool_name": "Bash"}'],
    ids=["empty", "text", "array", "not utf-8", "deep", "wrong type", "no arguments"],
)
async def test_a_call_that_cannot_be_read_is_denied(tmp_path: Path, payload: bytes) -> None:
    async with served(tmp_path, always(Verdict.ALLOW), Record()) as ask:
        answer = await ask("PreToolUse", payload)

    assert answer.exit_code == 2
    assert b"hook.unreadable" in answer.stderr


async def test_a_frame_of_another_kind_is_denied(tmp_path: Path) -> None:
    async with served(tmp_path, always(Verdict.ALLOW), Record()):
        answer = await send(str(tmp_path / "hook.sock"), b"GET / HTTP/1.1\r\n\r\n")

    assert answer.exit_code == 2


async def test_an_event_that_was_not_asked_for_is_denied(tmp_path: Path) -> None:
    async with served(tmp_path, always(Verdict.ALLOW), Record()) as ask:
        answer = await ask("Surprise", {"cwd": "/w"})

    assert answer.exit_code == 2


async def test_the_end_of_a_call_is_recorded_once(tmp_path: Path) -> None:
    record = Record()

    async with served(tmp_path, always(Verdict.ALLOW), record) as ask:
        await ask("PostToolUseFailure", bash("false", error="Exit code 1"))
        answer = await ask("PostToolUse", bash("false", tool_response="Error: Exit code 1"))

    assert record.bodies == [ToolCallCompleted(tool="Bash", call="c1", success=False, result="Exit code 1")]
    assert answer == HookAnswer()


async def test_a_prompt_is_recorded(tmp_path: Path) -> None:
    record = Record()

    async with served(tmp_path, always(Verdict.DENY), record) as ask:
        answer = await ask("UserPromptSubmit", {"cwd": "/w", "prompt": "do it"})

    assert record.bodies == [PromptSubmitted(length=5, text="do it")]
    assert answer == HookAnswer()


async def test_large_arguments_are_cut_in_the_record_and_judged_whole(tmp_path: Path) -> None:
    record, judged = Record(), []

    async def judge(action: Action, call: HookCall) -> Decision:
        judged.append(action)
        return verdict(action, Verdict.ALLOW)

    async with served(tmp_path, judge, record) as ask:
        await ask("PreToolUse", bash("x" * 100_000))

    assert isinstance(judged[0], CommandAction)
    assert judged[0].shell == "x" * 100_000
    assert isinstance(record.bodies[0], ToolCallRequested)
    assert len(record.bodies[0].arguments) < 17_000


async def test_a_client_that_goes_away_takes_its_question_with_it(tmp_path: Path) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def judge(action: Action, call: HookCall) -> Decision:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return verdict(action, Verdict.ALLOW)

    async with served(tmp_path, judge, Record()):
        _, writer = await asyncio.open_unix_connection(str(tmp_path / "hook.sock"))
        writer.write(hook_wire.question("PreToolUse", json.dumps(bash("ls")).encode()))
        async with asyncio.timeout(5):
            await asked.wait()
            writer.close()
            await cancelled.wait()


async def test_one_slow_question_does_not_hold_up_another(tmp_path: Path) -> None:
    first, release = asyncio.Event(), asyncio.Event()

    async def judge(action: Action, call: HookCall) -> Decision:
        if not first.is_set():
            first.set()
            await release.wait()
        return verdict(action, Verdict.ALLOW)

    async with served(tmp_path, judge, Record()) as ask, asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(ask("PreToolUse", bash("slow")))  # type: ignore[arg-type]
        await first.wait()
        quick = await ask("PreToolUse", bash("quick"))
        assert not slow.done()
        release.set()

    assert (quick.exit_code, slow.result().exit_code) == (0, 0)


async def test_visitors_that_say_nothing_or_nonsense_do_not_stop_the_service(tmp_path: Path) -> None:
    path = str(tmp_path / "hook.sock")
    async with served(tmp_path, always(Verdict.ALLOW), Record()) as ask:
        for nonsense in (b"", b"RF", b"RFQ1\xff\xff\xff\xff", b"RFQ1\0\0\0\1x", b"x" * 100_000):
            with socket.socket(socket.AF_UNIX) as visitor:
                visitor.connect(path)
                visitor.sendall(nonsense)
        answer = await ask("PreToolUse", bash("ls"))

    assert answer.exit_code == 0


async def test_only_so_many_bytes_of_large_questions_are_held_at_once(tmp_path: Path) -> None:
    path, heads = str(tmp_path / "hook.sock"), b"RFQ1" + hook_wire.LARGEST.to_bytes(4, "big")
    async with served(tmp_path, always(Verdict.ALLOW), Record()) as ask, asyncio.TaskGroup() as tasks:
        visitors = []
        for _ in range(ROOM // hook_wire.LARGEST):
            visitors.append(socket.socket(socket.AF_UNIX))
            visitors[-1].connect(path)
            visitors[-1].sendall(heads)
        small = await ask("PreToolUse", bash("ls"))
        large = tasks.create_task(ask("PreToolUse", bash("ls", more="x" * SMALL)))  # type: ignore[arg-type]
        again = await ask("PreToolUse", bash("ls"))
        waits = not large.done()
        for visitor in visitors:
            visitor.close()

    assert (small.exit_code, again.exit_code, waits, large.result().exit_code) == (0, 0, True, 0)


async def test_a_prompt_begins_a_turn_before_the_agent_goes_on(tmp_path: Path) -> None:
    record, begun = Record(), list[int]()

    async def on_turn() -> None:
        begun.append(len(record.bodies))

    async with served(tmp_path, always(Verdict.ALLOW), record, on_turn=on_turn) as ask:
        await ask("UserPromptSubmit", {"cwd": "/w", "prompt": "go"})
        await ask("PreToolUse", bash("ls"))

    assert begun == [1]


async def test_what_a_hook_only_reports_is_heard_and_asks_nothing() -> None:
    heard: list[tuple[HookMoment, str, tuple[str, ...]]] = []

    async def judge(action: Action, call: HookCall) -> Decision:
        raise AssertionError("a report is not judged")

    server = HookServer(
        Claude(home="/h"), judge, Record(), on_report=lambda call: heard.append((call.moment, call.call, call.calls))
    )
    payload = {"cwd": "/w", "tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_use_id": "t1", "prompt": "x"}
    batch = {"tool_calls": [{"tool_use_id": "t1"}]}
    answers = [
        await server.answer(event, json.dumps(fields).encode())
        for event, fields in (
            ("PermissionRequest", payload),
            ("PostToolUse", payload),
            ("PostToolBatch", batch),
            ("Stop", {}),
            ("UserPromptSubmit", payload),
        )
    ]

    assert answers == [HookAnswer()] * 5
    assert heard == [
        (HookMoment.PROMPTED, "t1", ()),
        (HookMoment.AFTER_TOOL, "t1", ()),
        (HookMoment.BATCH, "", ("t1",)),
        (HookMoment.TURN_END, "", ()),
        (HookMoment.PROMPT, "", ()),
    ]
