"""What `run` and `exec` have in common: one session, one command in front, its result and its summary."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time

from ringfence.cli import codes
from ringfence.cli.decision_text import block
from ringfence.cli.screen import Palette, wants_colour
from ringfence.cli.summary import summary
from ringfence.model.decision import Decision, Verdict, to_contract
from ringfence.model.event import CommandEnded, CommandStarted, DecisionMade
from ringfence.model.ids import new_id
from ringfence.sandbox.head_start import Launcher
from ringfence.session.foreground import run_in_front
from ringfence.session.governed import Governed
from ringfence.session.opening import open_session
from ringfence.session.options import Options
from ringfence.session.placing import Place
from ringfence.session.profiled import Request
from ringfence.session.sources import working_folder
from ringfence.session.streams import survey


def conduct(
    command: tuple[str, ...],
    options: Options,
    parsed: argparse.Namespace,
    *,
    whole_agent: bool,
    result: int | None,
    launcher: Launcher,
) -> int:
    """Run a command in a session of its own and return the exit code of the contract.

    `result` is where the machine-readable line goes; `launcher` is taken when the session needs it.
    """
    conductor = _Conductor(options, parsed, whole_agent=whole_agent, result=result, launcher=launcher)
    return asyncio.run(conductor.run(command))


class _Conductor:
    def __init__(
        self,
        options: Options,
        parsed: argparse.Namespace,
        *,
        whole_agent: bool,
        result: int | None,
        launcher: Launcher,
    ) -> None:
        self._options = options
        self._quiet = bool(parsed.quiet)
        self._whole_agent = whole_agent
        self._result = result
        self._launcher = launcher
        self._streams = survey()
        self._palette = Palette(colour=wants_colour(sys.stderr))
        self._governed: Governed | None = None
        self._began = time.monotonic()

    async def run(self, command: tuple[str, ...]) -> int:
        async with open_session(
            self._options,
            argv=command,
            environ=os.environ,
            cwd=working_folder(),
            whole_agent=self._whole_agent,
            on_denial=self._on_denial,
            announce=self._say,
            launcher=self._launcher,
        ) as governed:
            self._governed = governed
            gc.freeze()
            gc.enable()
            for notice in governed.notices:
                self._say(f"ringfence: {self._palette.yellow('note')}: {notice}")
            decision, code = await self._govern(governed, command)
            governed.exit_code = code
            governed.outcome = "refused" if decision.verdict is Verdict.DENY else "exited"
        self._finish(governed, decision, code)
        return code

    async def _govern(self, governed: Governed, typed: tuple[str, ...]) -> tuple[Decision, int]:
        action = governed.command(governed.setup.argv)
        # What is judged is what the person typed. What a profile adds is ours: it tells Codex that it is sandboxed
        # already, which from an agent would be a way around its guard rails.
        judged = governed.command(typed) if self._whole_agent else action
        # An agent has the session's plan, whatever it is called.
        request = None if self._whole_agent else governed.request(governed.setup.argv, changed={})
        decision = await governed.decide(
            judged,
            asked_by="run" if self._whole_agent else "exec",
            within=None if request is None else request.judge,
        )
        if decision.verdict is not Verdict.ALLOW:
            return decision, codes.DENIED
        place = await self._place(governed, request)
        number, started = new_id(), time.monotonic()

        def on_started(pid: int) -> None:
            # The decision is on record before the start; that it started, only once it did.
            governed.tally.record_soon(CommandStarted(command=number, argv=action.argv, cwd=action.cwd, pid=pid))

        code = await run_in_front(
            place.starter,
            place.argv,
            cwd=governed.cwd,
            environment=place.environment,
            streams=self._streams,
            stage=governed.stage,
            on_started=on_started,
        )
        duration = int((time.monotonic() - started) * 1000)
        await governed.tally.record(CommandEnded(command=number, exit_code=code, duration_ms=duration))
        return decision, code

    async def _place(self, governed: Governed, request: Request | None) -> Place:
        argv = governed.setup.argv
        if request is None:
            return Place(starter=governed.sandbox, argv=argv, environment=governed.environment)
        place = await governed.place(request, argv)
        for notice in request.notices:
            self._say(f"ringfence: {self._palette.yellow('note')}: {notice}")
        return place

    def _on_denial(self, made: DecisionMade) -> None:
        """Say it at once, unless a program owns the screen: then the summary does."""
        governed = self._governed
        if governed is not None and governed.stage.relay is not None and self._whole_agent:
            return
        # A hook's denial is told to the agent, in its own words.
        if made.asked_by != "hook":
            self._say(block(made.decision, self._palette), important=True)

    def _say(self, text: str, *, important: bool = False) -> None:
        if self._quiet and not important:
            return
        relay = self._governed.stage.relay if self._governed is not None else None
        ending = "\r\n" if relay is not None else "\n"
        try:
            sys.stderr.write(text.replace("\n", ending) + ending)
            sys.stderr.flush()
        except OSError:
            # The terminal went away. What is left in the buffer must not spoil the exit code at the very end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())

    def _finish(self, governed: Governed, decision: Decision, code: int) -> None:
        if self._whole_agent and not self._quiet:
            self._say(summary(governed, code, time.monotonic() - self._began, self._palette))
        elif not self._whole_agent:
            for kept in governed.tally.kept:
                self._say(f"ringfence: a snapshot was taken first; undo with `{kept.next_steps[0]}`")
            if governed.staged and governed.changes is not None and governed.changes.files:
                many = "1 file waits" if governed.changes.files == 1 else f"{governed.changes.files} files wait"
                self._say(
                    f"ringfence: {many} to be applied: `ringfence workspace diff {governed.session}`, then `apply`"
                )
        if self._result is not None:
            line = json.dumps(_result(governed, decision, code), ensure_ascii=False) + "\n"
            os.write(self._result, line.encode())


def _result(governed: Governed, decision: Decision, code: int) -> dict[str, object]:
    changes = governed.changes
    return {
        "schema": 1,
        "session": governed.session,
        "exit_code": code,
        "decision": to_contract(decision),
        "allowed": governed.tally.verdicts[Verdict.ALLOW],
        "denied": governed.tally.verdicts[Verdict.DENY],
        "asked": governed.tally.asked,
        "hosts": sorted(governed.tally.hosts),
        "denied_hosts": list(governed.tally.denied_hosts),
        "files_changed": changes.files if changes else 0,
        "control_files": list(changes.control_files) if changes else [],
        "more_control_files": changes.more_control_files if changes else 0,
        "limits": [
            {"limit": limit, "allowed": allowed, "outcome": outcome, "times": times}
            for (limit, allowed, outcome), times in sorted(governed.tally.limits.items())
        ],
        "denials": [to_contract(one) for one in governed.tally.denials],
    }
