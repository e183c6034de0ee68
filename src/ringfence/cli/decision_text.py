"""A decision as people read it: what, the verdict, every rule with its place, why, and what to do next."""

from __future__ import annotations

from ringfence.cli.screen import Palette
from ringfence.model.decision import Decision, Reason, Verdict
from ringfence.model.display import shortened, visible
from ringfence.model.wording import action_text

_WIDTH = 160
_WORD = {Verdict.ALLOW: "allowed", Verdict.ASK: "needs an answer", Verdict.DENY: "denied"}


def block(decision: Decision, palette: Palette) -> str:
    """The block that a person sees for a decision."""
    colour = {Verdict.ALLOW: palette.green, Verdict.ASK: palette.yellow, Verdict.DENY: palette.red}[decision.verdict]
    subject = shortened(action_text(decision.action), _WIDTH)
    lines = [f"ringfence: {colour(_WORD[decision.verdict])}: {palette.bold(subject)}"]
    if decision.message and not any(reason.text and reason.text in decision.message for reason in decision.reasons):
        lines.append(f"  {visible(decision.message)}")
    lines += [_reason(reason, palette) for reason in decision.reasons]
    if decision.override:
        lines.append("  soft    every rule that denies it may be overridden, with a reason")
    lines += [f"  would   {_reason(reason, palette).removeprefix('  rule    ')}" for reason in decision.observed]
    lines += [f"  {'next' if index == 0 else '    '}    {step}" for index, step in enumerate(decision.next_steps)]
    return "\n".join(lines)


def _reason(reason: Reason, palette: Palette) -> str:
    place = palette.dim(f"({visible(reason.layer)}, {visible(reason.source)})")
    text = f": {visible(reason.text)}" if reason.text else ""
    return f"  rule    {visible(reason.rule)} {place} {reason.verdict.value}{text}"
