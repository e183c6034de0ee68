"""Events in words: what a person reads in a session's timeline. Pure; layout and colours are somebody else's.

Every text that came from outside is escaped here, so that a line of the timeline is one line and shows what is there.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import assert_never

import msgspec

from ringfence.model import event as events
from ringfence.model.decision import Decision, Verdict
from ringfence.model.display import shortened, visible, visible_argv
from ringfence.model.wording import action_text
from ringfence.telemetry.reader import Recorded

WIDTH = 160
"""Characters of an action that are shown; `--json` has all of them."""


class Tone(StrEnum):
    """How a line is meant."""

    PLAIN = "plain"
    QUIET = "quiet"
    GOOD = "good"
    STOPPED = "stopped"
    ATTENTION = "attention"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the timeline."""

    symbol: str
    label: str
    """`allow`, `deny`, `asked` ..."""
    what: str
    why: str = ""
    tone: Tone = Tone.PLAIN


def row(found: Recorded) -> Row:
    """What a recorded event says."""
    if found.body is None:
        state = "erased" if found.raw is None else "not readable by this version"
        return Row(symbol="·", label="?", what=f"{visible(found.event)} ({state})", tone=Tone.QUIET)
    return _row(found.body)


def _row(body: events.Body) -> Row:
    match body:
        case events.DecisionMade():
            return _decision(body.decision)
        case events.SessionStarted():
            what = f"{visible(body.agent)}: {_argv(body.argv)}"
            return Row(symbol="▶", label="start", what=what, why=f"tier {body.tier}, in {visible(body.workspace)}")
        case events.SessionEnded():
            return _ended(body)
        case events.NoticeGiven():
            return Row(symbol="!", label="notice", what=_text(body.text), tone=Tone.ATTENTION)
        case events.WayUsed():
            refused = "" if body.allowed else f": refused, because {visible(body.reason)}"
            tone = Tone.QUIET if body.allowed else Tone.ATTENTION
            return Row(symbol="⇄", label="way", what=f"{body.way} {_text(body.what)}{refused}", tone=tone)
        case events.ToolCallRequested():
            what = f"{visible(body.tool)} {_text(body.arguments)}"
            return Row(symbol="→", label="tool", what=what, tone=Tone.QUIET)
        case events.ToolCallCompleted():
            ended = {True: "succeeded", False: "failed", None: "ended"}[body.success]
            return Row(symbol="←", label="tool", what=f"{visible(body.tool)} {ended}", tone=Tone.QUIET)
        case events.PromptSubmitted():
            what = _text(body.text) if body.text is not None else f"{body.length} characters"
            return Row(symbol="»", label="prompt", what=what)
        case events.ApprovalRequested() | events.ApprovalTransition() | events.GrantChanged():
            return _approval(body)
        case events.ReviewMade():
            return _review(body)
        case events.VoteTaken() | events.BreakGlassChanged() | events.BreakerChanged():
            return _answering(body)
        case events.CommandStarted():
            return Row(symbol="$", label="ran", what=_argv(body.argv), tone=Tone.QUIET)
        case events.CommandEnded():
            what = f"exit {body.exit_code} after {_duration(body.duration_ms)}"
            return Row(symbol="$", label="ended", what=what, tone=Tone.QUIET)
        case events.ConnectionClosed():
            return _connection(body)
        case events.ModelAnswered() | events.ModelToolCall():
            return _model(body)
        case events.CredentialUsed():
            what = f"{visible(body.credential)} for {visible(body.method)} {visible(body.host)}:{body.port}"
            return Row(symbol="⚿", label="used", what=f"{what}{_text(body.path)}", tone=Tone.QUIET)
        case events.ContentFound():
            what = (
                f"{visible(body.kind)} {visible(body.name)} in {_text(body.place)} to {visible(body.host)}:{body.port}"
            )
            tone = Tone.STOPPED if body.outcome == "denied" else Tone.ATTENTION
            return Row(symbol="⚑", label="found", what=what, why=f"{visible(body.outcome)}, {body.severity}", tone=tone)
        case events.ContentUnread():
            what = f"not looked into: {visible(body.method)} {visible(body.host)}:{body.port}{_text(body.path)}"
            why = f"{visible(body.reason)}; {visible(body.outcome)}"
            return Row(symbol="⚑", label="unread", what=what, why=why, tone=Tone.ATTENTION)
        case events.DenialsCounted():
            like = "" if body.like is None else f", as in event {body.like}"
            what = f"{body.count} times {visible(body.kind)} ({visible(body.rule)}){like}"
            return Row(symbol="✗", label="denied", what=what, why=f"{body.total} in all", tone=Tone.STOPPED)
        case events.McpListed():
            return _listed(body)
        case events.WorkspaceChanged():
            control = f"; may run later: {_text(', '.join(body.control_files))}" if body.control_files else ""
            tone = Tone.ATTENTION if control else Tone.PLAIN
            return Row(symbol="≡", label="changed", what=f"{_count(body.files, 'file')}{control}", tone=tone)
        case events.ChangesSettled():
            return _settled(body)
        case events.LimitReached():
            return _limit(body)
        case events.BatteryRun():
            return _battery(body)
        case _:
            assert_never(body)


def _settled(body: events.ChangesSettled) -> Row:
    number = "all that was pending" if body.action == "discard" else _count(body.files, "path")
    flags = f" ({_text(', '.join(body.flags))})" if body.flags else ""
    forced = ", also over what was changed since" if body.forced else ""
    names = ", ".join(map(visible, body.paths))
    return Row(
        symbol="≡",
        label=visible(body.action),
        what=f"{visible(body.actor)}: {number}{flags}{forced}",
        why=_text(names),
        tone=Tone.ATTENTION if body.flags or body.forced else Tone.PLAIN,
    )


def _listed(listed: events.McpListed) -> Row:
    """A server's tools; what changed, and what hides from people."""
    parts = (
        ("new", listed.added),
        ("gone", listed.removed),
        ("described otherwise", listed.altered),
        ("hides something", listed.hidden),
    )
    why = "; ".join(f"{word}: {_text(', '.join(names))}" for word, names in parts if names)
    what = f"{visible(listed.server)} has {_count(len(listed.tools), 'tool')} ({visible(listed.change)})"
    return Row(symbol="⚒", label="tools", what=what, why=why, tone=Tone.ATTENTION if why else Tone.QUIET)


_LIMIT_ENDS = {"killed": "killed", "refused": "given no more", "ended": "the session was ended"}


def _limit(reached: events.LimitReached) -> Row:
    program = f"{_text(reached.program)} " if reached.program else ""
    what = f"{program}{_LIMIT_ENDS.get(reached.outcome, visible(reached.outcome))}"
    why = f"limits.{visible(reached.limit)} {reached.allowed}, {reached.seen} used; {visible(reached.source)}"
    return Row(symbol="▲", label="limit", what=what, why=why, tone=Tone.STOPPED)


_RESOLVED = {
    "policy": "",
    "gateway": "",
    "nobody": "; nobody could be asked",
    "timeout": "; nobody answered in time",
    "person": "; a person answered",
    "queued": "; it waits for an answer",
    "break-glass": "; the glass was broken",
    "breaker": "; too many questions were denied",
}
_MARKS = {
    Verdict.ALLOW: ("✓", Tone.GOOD),
    Verdict.ASK: ("?", Tone.ATTENTION),
    Verdict.DENY: ("✗", Tone.STOPPED),
}


def _decision(decision: Decision) -> Row:
    symbol, tone = _MARKS[decision.verdict]
    what = shortened(action_text(decision.action), WIDTH)
    return Row(symbol=symbol, label=decision.verdict.value, what=what, why=_why(decision), tone=tone)


def _why(decision: Decision) -> str:
    """The rule that people have to know; nothing where nothing stood in the way."""
    would = (
        f"would be {decision.observed[0].verdict.value} by {visible(decision.observed[0].rule)}"
        if decision.observed
        else ""
    )
    because = decision.because
    if because is None or (decision.verdict is Verdict.ALLOW and because.layer == "built-in"):
        return would
    by = _RESOLVED.get(decision.resolved_by, f"; by {visible(decision.resolved_by)}")
    return f"{visible(because.rule)}: {_text(because.text)}{by}{would and f'; {would}'}"


def _ended(body: events.SessionEnded) -> Row:
    took = f" after {_duration(body.duration_ms)}" if body.duration_ms is not None else ""
    code = f", exit {body.exit_code}" if body.exit_code is not None else ""
    tone = Tone.ATTENTION if body.outcome.endswith("_lost") else Tone.PLAIN
    return Row(symbol="■", label="end", what=f"{visible(body.outcome)}{code}{took}", tone=tone)


def _approval(body: events.ApprovalRequested | events.ApprovalTransition | events.GrantChanged) -> Row:
    match body:
        case events.ApprovalRequested():
            how = f"request {body.request} by {visible(body.channel)}"
            what, why = (_text(body.what), how) if body.what else (how, "")
            return Row(symbol="?", label="asked", what=what, why=why, tone=Tone.ATTENTION)
        case events.ApprovalTransition():
            what = f"request {body.request} is {visible(body.after)}, by {visible(body.actor)}"
            return Row(symbol="?", label="answer", what=what, why=_text(body.reason), tone=Tone.QUIET)
        case events.GrantChanged():
            what = f"grant {body.grant} {visible(body.change)} ({visible(body.scope)})"
            return Row(symbol="+", label="grant", what=what, tone=Tone.QUIET)
        case _:
            assert_never(body)


def _review(body: events.ReviewMade) -> Row:
    said = {"allow": "allows", "deny": "denies", "pass": "leaves to others", "unavailable": "cannot be reached about"}
    risk = f" ({visible(body.risk)} risk)" if body.risk else ""
    what = f"{visible(body.reviewer)} {said.get(body.conclusion, visible(body.conclusion))} {_text(body.what)}{risk}"
    why = "; ".join(filter(None, (_text(body.reason), "to be looked at by a person" if body.audit else "")))
    return Row(symbol="?", label="review", what=what, why=why, tone=Tone.ATTENTION if body.audit else Tone.QUIET)


def _answering(body: events.VoteTaken | events.BreakGlassChanged | events.BreakerChanged) -> Row:
    match body:
        case events.VoteTaken(vote=vote):
            said = "approves" if vote.approve else "denies"
            what = f"{visible(vote.approver)} {said} request {visible(vote.request)}"
            why = f"does not count: {_text(body.refused)}" if body.refused else _text(vote.reason)
            return Row(symbol="?", label="vote", what=what, why=why, tone=Tone.QUIET)
        case events.BreakGlassChanged():
            what = f"{visible(body.actor)}: {visible(body.change)} {visible(body.outcome)}".rstrip()
            return Row(symbol="!", label="glass", what=what, why=_text(body.reason), tone=Tone.ATTENTION)
        case events.BreakerChanged():
            what = f"questions to people: the breaker is {visible(body.state)}"
            return Row(symbol="!", label="breaker", what=what, why=_text(body.reason), tone=Tone.ATTENTION)
        case _:
            assert_never(body)


def _connection(body: events.ConnectionClosed) -> Row:
    size = f"{_bytes(body.sent_bytes)} out, {_bytes(body.received_bytes)} in, {_duration(body.duration_ms)}"
    why = _text(body.error) if body.error else ""
    if body.inspection == "passed through":
        why = "; ".join(filter(None, (why, "not inspected: `network.pass_through`")))
    if body.reached:
        why = "; ".join(filter(None, (why, f"requests went to {', '.join(map(visible, body.reached))}")))
    return Row(symbol="↔", label="closed", what=f"{visible(body.host)}:{body.port} {size}", why=why, tone=Tone.QUIET)


def _model(body: events.ModelAnswered | events.ModelToolCall) -> Row:
    if isinstance(body, events.ModelToolCall):
        what = f"asks for {_text(body.tool)} {_text(body.arguments)}"
        return Row(symbol="◇", label="model", what=what, tone=Tone.QUIET)
    about = "about " if body.estimated else ""
    tokens = f"{about}{body.input_tokens:,} tokens in, {body.output_tokens:,} out"
    name = _text(body.answered_by or body.model) or "a model"
    what = f"{name} answered {body.status} after {_duration(body.duration_ms)}: {tokens}"
    if not body.status:
        what = f"{name} has not answered"
    why = ("refused" if body.refused else "", _text(body.unread), _text(body.error))
    tone = Tone.ATTENTION if body.refused or body.unread or not 200 <= body.status < 300 else Tone.QUIET
    return Row(symbol="◆", label="model", what=what, why="; ".join(filter(None, why)), tone=tone)


def _battery(body: events.BatteryRun) -> Row:
    numbers = Counter(outcome for _, outcome in body.results)
    what = f"tier {visible(body.tier)}: " + ", ".join(f"{number} {visible(name)}" for name, number in numbers.items())
    why = f"kernel {visible(body.kernel)}" + ("" if body.whole else "; not the whole battery")
    tone = Tone.GOOD if body.holds else Tone.STOPPED
    return Row(symbol="✓" if body.holds else "✗", label="battery", what=_text(what), why=why, tone=tone)


def _argv(argv: tuple[str, ...]) -> str:
    return shortened(visible_argv(argv), WIDTH)


def _text(text: str) -> str:
    return shortened(visible(text), WIDTH)


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number} {noun}s"


def _bytes(number: int) -> str:
    size = float(number)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _duration(milliseconds: int) -> str:
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
