"""Requests, votes and passkeys as the pages show them: words for people, every text of the agent made visible."""

from __future__ import annotations

import time
from datetime import datetime

import msgspec

from ringfence.approvals.objects import Request, Scope
from ringfence.approvals.permission import wider
from ringfence.approvals.transitions import State
from ringfence.model.display import shortened, visible
from ringfence.model.vote import Vote
from ringfence.server.local.passkeys import Passkey

_WORDS = {Scope.ONCE: "allow once", Scope.SESSION: "allow for this session", Scope.REPO: "allow in this workspace"}


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A request in a few words."""

    id: str
    gist: str
    state: str
    left: str
    risk: str
    asked: str
    workspace: str


def card(request: Request) -> Card:
    """What the lists say of a request."""
    line = request.prompt[2] if len(request.prompt) > 2 else request.prompt[0]
    left = max(0, request.expires_ns - time.time_ns()) // 1_000_000_000
    return Card(
        id=request.id,
        gist=shortened(" ".join(line.split()), 160),
        state=request.state.value,
        left=_span(left) if request.state is State.PENDING else "",
        risk=request.risk.value,
        asked=moment(request.created_ns),
        workspace=visible(request.workspace),
    )


def scopes(request: Request) -> list[tuple[str, str]]:
    """How far a yes may reach, and what its button says."""
    return [(scope.value, _WORDS[scope]) for scope in Scope if not wider(scope, request.widest)]


def vote_line(vote: Vote, problem: str = "") -> str:
    """Who said what, when and how. `problem`: why it counts for nobody."""
    said = "approves" if vote.approve else "denies"
    why = f": {visible(vote.reason)}" if vote.reason else ""
    way = f"by {vote.authentication} ({visible(vote.channel)})"
    return f"{visible(vote.approver)} {said}, {moment(vote.at_ms * 1_000_000)}, {way}{why}" + (
        f"; DOES NOT COUNT: {visible(problem)}" if problem else ""
    )


def passkey_line(passkey: Passkey) -> str:
    """When a passkey was added."""
    return f"{visible(passkey.credential[:12])}…, added {moment(passkey.added_ns)}"


def moment(time_ns: int) -> str:
    """Date and time in the zone of this machine."""
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _span(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
