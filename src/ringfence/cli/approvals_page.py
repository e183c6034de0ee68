"""What a screen shows of a request, as lines of text: one line in the queue, and everything about it on its own.

The question itself is the lines of the prompt and nothing else: their digest is what a vote carries. All the rest
stands below it, and is not what is approved.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ringfence.approvals.objects import Request
from ringfence.approvals.transitions import State
from ringfence.cli.moments import elapsed, local
from ringfence.model.display import shortened, visible
from ringfence.model.vote import Vote

__all__ = ["can_be_shown", "gist", "history_lines", "left", "question", "row", "vote_line", "window"]


def question(request: Request) -> tuple[str, ...]:
    """The lines that a vote is bound to; escaped where they hold what cannot be shown."""
    return request.prompt if can_be_shown(request) else tuple(map(visible, request.prompt))


def can_be_shown(request: Request) -> bool:
    """Whether the lines appear exactly as they are.

    SECURITY: they are escaped when they are written, but a shared database holds what anybody with its password wrote.
    """
    return all(visible(line.replace("\\", "")) == line.replace("\\", "") for line in request.prompt)


def gist(request: Request) -> str:
    """The line of the prompt that says exactly what is asked."""
    lines = question(request) or ("",)
    return shortened(" ".join(lines[2].split()) if len(lines) > 2 else lines[0], 120)


def left(request: Request, now_ns: int | None = None) -> str:
    """How long a request still waits."""
    if request.state is not State.PENDING:
        return " " * 13
    return f"{elapsed(request.expires_ns - (time.time_ns() if now_ns is None else now_ns)):>8} left"


def row(request: Request, now_ns: int) -> str:
    """One request in the queue."""
    state = left(request, now_ns) if request.state is State.PENDING else f"{request.state:>13}"
    return f"{state}  {request.risk:<8}  {gist(request)}"


def window(rows: Sequence[str], selected: int, height: int) -> list[str]:
    """The rows that fit, the selected one among them, and how many are above and below."""
    if len(rows) <= height:
        return list(rows)
    room = max(1, height - 2)
    start = min(max(0, selected - room // 2), len(rows) - room)
    after = len(rows) - start - room
    shown = list(rows[start : start + room])
    above, below = [f"    {start} more above"], [f"    {after} more below"]
    return [*(above if start else []), *shown, *(below if after else [])]


def vote_line(vote: Vote, problem: str = "") -> str:
    """One vote. `problem`: why it counts for nobody."""
    said = "approves" if vote.approve else "denies"
    moment = local(vote.at_ms * 1_000_000)
    why = f": {visible(vote.reason)}" if vote.reason else ""
    return (
        f"  vote     {visible(vote.approver)} {said}, {moment}, by {vote.authentication} ({visible(vote.channel)}){why}"
        + (f"; DOES NOT COUNT: {visible(problem)}" if problem else "")
    )


def history_lines(earlier: Sequence[tuple[Request, Sequence[Vote]]]) -> list[str]:
    """How the same question was answered before."""
    if not earlier:
        return ["  before   never asked"]
    lines = []
    for request, votes in earlier:
        last = votes[-1] if votes else None
        who = f" by {visible(last.approver)}" if last else ""
        why = f": {visible(last.reason)}" if last and last.reason else ""
        lines.append(f"  before   {local(request.created_ns)}  {request.state}{who}{why}")
    return lines
