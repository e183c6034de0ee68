"""Events to record, and what a ledger then holds."""

from __future__ import annotations

import json
import sqlite3

from ringfence.model.action import Action, CommandAction
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.event import Body, DecisionMade, NoticeGiven, SessionEnded, SessionStarted


def started(agent: str = "generic") -> SessionStarted:
    return SessionStarted(
        agent=agent,
        argv=("agent", "--flag"),
        cwd="/w",
        workspace="/w",
        workspace_mode="direct",
        user="ada",
        host="machine",
        tier="A",
        enforcement=(("landlock", "7"),),
        policy="sha256:policy",
        layers=(),
        version="1",
    )


def ended(code: int = 0) -> SessionEnded:
    return SessionEnded(exit_code=code, outcome="exited", duration_ms=12)


def notice(text: str = "told") -> NoticeGiven:
    return NoticeGiven(topic="test", text=text)


def decided(verdict: Verdict = Verdict.ALLOW, action: Action | None = None) -> DecisionMade:
    reason = Reason(rule="rule", layer="user", source="policy.toml:1", verdict=verdict, text="because")
    return DecisionMade(
        decision=Decision(
            verdict=verdict,
            action=action or CommandAction(argv=("true",), cwd="/w"),
            reasons=(reason,),
            policy="sha256:policy",
        ),
        asked_by="exec",
    )


def bodies(path: str) -> list[dict[str, object]]:
    """What was recorded, in order."""
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT content FROM entry ORDER BY sequence").fetchall()
    database.close()
    return [json.loads(row[0])["body"] for row in rows]


def texts(path: str) -> list[object]:
    """The texts of the notices that were recorded, in order."""
    return [body["text"] for body in bodies(path) if body["event"] == "notice"]


__all__ = ["Body", "bodies", "decided", "ended", "notice", "started", "texts"]
