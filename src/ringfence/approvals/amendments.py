"""Answers that are remembered for more than one command: for those that begin with the same words and do nothing else.

Pure. An answer for words reaches no further than what was shown when it was given: the same rules ask, the effects are
among those of that command, folder and changed variables are the same. Where a word is known only when the command
runs, or the program runs whatever its arguments say, there is nothing to offer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec

from ringfence.approvals.objects import Request
from ringfence.model.action import Action, CommandAction
from ringfence.model.decision import Decision, Placement
from ringfence.model.display import visible
from ringfence.policy.shell.analysis import Invocation, analyse_argv, analyse_shell
from ringfence.policy.starters import STARTERS

_BEGINS = "begins:"
FEWEST = 2
"""Words that an answer names at least: a program alone is no answer about what it does."""
MOST = 8
"""Words that are looked at."""
_RUNNERS = "npx uvx pipx bunx dlx docker podman kubectl nerdctl make gmake just ninja ansible vagrant"
_RUNS_ANYTHING = STARTERS | frozenset(_RUNNERS.split())


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer could be remembered for."""

    words: tuple[str, ...] = ()
    """The words of the command; an answer is for the first few of them. Empty where there is nothing to offer."""
    why_not: str = ""


def offer(decision: Decision) -> Offer:
    """What the answer to a question could be remembered for, besides exactly this."""
    if decision.override or decision.placement is Placement.OUTSIDE:
        return Offer(why_not="an answer that overrides a rule, or lets something out of the sandbox, holds once")
    if decision.opaque:
        return Offer(why_not="not everything that it does could be analysed")
    words = _words(decision.action)
    if isinstance(words, str):
        return Offer(why_not=words)
    if len(words) < FEWEST:
        return Offer(why_not="a program alone says nothing about what it does")
    return Offer(words=words)


def key(words: Sequence[str]) -> str:
    """The matcher of an answer for commands that begin with these words."""
    return f"{_BEGINS}{json.dumps(list(words), ensure_ascii=True)}"


def in_words(matcher: str) -> str:
    """What such an answer is for, for people; empty for every other matcher."""
    if not matcher.startswith(_BEGINS):
        return ""
    return f"{visible(' '.join(json.loads(matcher.removeprefix(_BEGINS))))} ..."


def keys(decision: Decision) -> Iterator[str]:
    """The matchers of every answer that could be about this command, the longest first."""
    words = offer(decision).words
    for length in range(min(len(words), MOST), FEWEST - 1, -1):
        yield key(words[:length])


def covers(answered: Request, decision: Decision) -> bool:
    """Whether the answer to one question is an answer to this one too, once its words are known to be the beginning."""
    then, now = answered.action, decision.action
    if not isinstance(then, CommandAction) or not isinstance(now, CommandAction):
        return False
    same_place = (then.cwd, then.environment) == (now.cwd, now.environment)
    # SECURITY: whatever an option adds is an effect of its own, and was not among those that somebody has seen.
    return same_place and bool(offer(decision).words) and set(decision.effects) <= set(answered.effects)


def refusal(request: Request, words: int) -> str:
    """Why an answer cannot be for so many words; empty where it can."""
    if not request.begins:
        return f"it can be remembered for exactly this command only: {request.why_exact}"
    most = min(len(request.begins), MOST)
    if not FEWEST <= words <= most:
        return f"an answer is for {FEWEST} to {most} words of `{' '.join(request.begins)}`"
    return ""


def _words(action: Action) -> tuple[str, ...] | str:
    """The words of the one command that an action runs, or why they are not known."""
    if not isinstance(action, CommandAction):
        return "it is no command"
    home = "/"
    shell = action.shell
    analysis = analyse_argv(action.argv, home=home) if shell is None else analyse_shell(shell, home=home)
    if len(analysis.invocations) != 1 or analysis.issues or analysis.assignments or analysis.opened:
        return "it is not one plain command"
    return _plain(analysis.invocations[0])


def _plain(invocation: Invocation) -> tuple[str, ...] | str:
    words = tuple(word.text for word in invocation.words if word.text is not None and not word.glob)
    if len(words) != len(invocation.words) or "/" in words[0]:
        return "its words are known only when it runs"
    if invocation.program in _RUNS_ANYTHING or invocation.program.rstrip("0123456789.") in _RUNS_ANYTHING:
        return f"`{invocation.program}` runs what its arguments say"
    return words
