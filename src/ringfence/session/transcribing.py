"""What a reviewer is shown of a session, gathered from the events that pass by."""

from __future__ import annotations

from ringfence.approvals.reviewing.transcript import Transcript
from ringfence.model.event import DecisionMade, PromptSubmitted
from ringfence.model.wording import action_text


def told(argv: tuple[str, ...]) -> Transcript:
    """A transcript that begins with what the person typed to start the session."""
    transcript = Transcript()
    transcript.said(" ".join(argv))
    return transcript


def note(transcript: Transcript, body: object) -> None:
    """Take an event into the transcript.

    SECURITY: that the person said something to the agent is told by the agent's hooks, which anything inside can
    imitate. It is shown as a report, and authorises nothing by itself.
    """
    match body:
        case PromptSubmitted(text=str(text)):
            transcript.reported(text)
        case DecisionMade(asked_by=asked_by, decision=decision) if not asked_by.startswith("gateway"):
            transcript.called(action_text(decision.action), decision.verdict.value)
        case _:
            pass
