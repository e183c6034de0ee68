"""Final decisions made of one that asked: the reasons stay, and what ended the question is added to them."""

from __future__ import annotations

import msgspec

from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.display import visible
from ringfence.model.situations import LedgerBroken

_NEXT = {
    "person": ("do something else, or explain why it is needed and ask again",),
    "timeout": ("ask again when somebody is there to answer",),
    "nobody": ("run it where somebody can be asked: `--ask terminal`, or `--ask queue`",),
    "reviewer": ("do something else, or ask the person to run it or to allow it with a rule of their own",),
    "queued": ("go on with other work, and ask for exactly the same again later: it then gets the answer",),
    "breaker": ("tell the agent what you want instead: a new message from you, or five minutes, lets it ask again",),
    "ledger": ("repair the ledger, then start a new session",),
}


def allowed(decision: Decision, *, by: str, who: str) -> Decision:
    """The decision once a person, or a grant that a person made, has allowed it."""
    return msgspec.structs.replace(
        decision, verdict=Verdict.ALLOW, resolved_by=by, message=f"allowed by {visible(who)}", next_steps=()
    )


def kept(decision: Decision, *, way_back: str) -> Decision:
    """The decision once a snapshot can bring back all that it asked about. `way_back`: the command that does."""
    return msgspec.structs.replace(
        decision,
        verdict=Verdict.ALLOW,
        resolved_by="snapshot",
        message=f"allowed after a snapshot; `{visible(way_back)}` brings back what it loses",
        next_steps=(way_back,),
    )


def denied(decision: Decision, *, by: str, why: str) -> Decision:
    """The decision as a deny, with what ended it first among the reasons."""
    limit = Reason(
        rule=f"approvals.{by}", layer="built-in", source="ringfence", verdict=Verdict.DENY, text=visible(why)
    )
    asking = next((reason.text for reason in decision.reasons if reason.verdict is Verdict.ASK), "")
    return msgspec.structs.replace(
        decision,
        verdict=Verdict.DENY,
        reasons=(limit, *decision.reasons),
        resolved_by=by,
        message=f"denied: {visible(why)}" + (f" (asked because: {asking})" if asking else ""),
        next_steps=_NEXT["person"] if by == "person" else (*_NEXT.get(by, ()), *decision.next_steps),
    )


def unrecorded(decision: Decision, broken: LedgerBroken) -> Decision:
    """The decision as a deny, because it could not be put on record: no record, no allow."""
    final = denied(decision, by="ledger", why=f"it could not be put on record: {broken.message}")
    return msgspec.structs.replace(final, next_steps=(broken.remedy,)) if broken.remedy else final
