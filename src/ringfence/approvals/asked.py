"""Who has to answer a request, in words: the same wherever a request is shown."""

from __future__ import annotations

from ringfence.approvals import voting
from ringfence.approvals.voting import Terms
from ringfence.model.vote import Authentication


def asked(terms: Terms, step: int) -> str:
    """The sets of people, who is excluded, and the ladder from the step that it has reached."""
    parts = [
        f"{one.approve} of {voting.listed(one.who)}"
        + (f", with a {one.assurance}" if one.assurance is not Authentication.ACCOUNT else "")
        for one in terms.thresholds
    ]
    if not terms.owner_may:
        parts.append("not whoever runs the session")
    if terms.steps:
        parts.append(f"so far {voting.listed([name for one in terms.steps[: step + 1] for name in one.who])}")
        parts += [f"after {one.after_seconds} s {voting.listed(one.who)}" for one in terms.steps[step + 1 :]]
    return "; ".join(parts)
