"""Questions of one kind that wait at once, as one list: which ones go together, how they look, what a line answers.

Pure. Every line of every question stands in the list, those that all have in common once, so that each answer is about
all that its question says. What is not in the list is not answered by it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ringfence.approvals.objects import Request
from ringfence.approvals.voting import is_at_least
from ringfence.model.decision import Placement, Risk

FEWEST = 3
"""Two questions are asked one after the other."""
MOST = 8
MOST_LINES = 24
"""Of questions in one list: what scrolls off the screen was not shown."""
_DIGEST = len("sha256:") + 12

Kind = tuple[str, tuple[str, ...], Risk, str]


def kind(request: Request) -> Kind | None:
    """What two questions share that go into one list; None for one that is always asked by itself: of high risk, for an
    override, or for something outside the sandbox."""
    alone = request.override or request.placement is not Placement.INSIDE or is_at_least(request.risk, Risk.HIGH)
    action = type(request.action).__name__
    return None if alone else (action, tuple(sorted(request.asking)), request.risk, request.policy)


def together(first: Request, waiting: Sequence[Request]) -> tuple[Request, ...]:
    """The questions of one list, in the order in which they came; only the first where there is no list to make."""
    wanted = kind(first)
    if wanted is None:
        return (first,)
    alike = [first, *(one for one in waiting if one is not first and kind(one) == wanted)][:MOST]
    while len(alike) >= FEWEST and len(drawn(alike)) > MOST_LINES:
        alike.pop()
    return tuple(alike) if len(alike) >= FEWEST else (first,)


def drawn(requests: Sequence[Request], *, more: int = 0) -> list[str]:
    """The lines of the list. `more`: how many others wait that are not in it."""
    prompts = [[line for line in one.prompt if line] for one in requests]
    shared = [line for line in prompts[0] if all(line in other for other in prompts[1:])]
    lines = [f"ringfence: {len(requests)} questions of one kind wait"]
    for number, (request, prompt) in enumerate(zip(requests, prompts, strict=True), 1):
        first, *rest = [line for line in prompt if line not in shared] or ["  the same as all"]
        lines.append(f"  {number:<2} {first.strip()}  ({request.shown[:_DIGEST]})")
        lines += [f"   {line}" for line in rest]
    lines += ["  all of them:", *(f"   {line}" if line.startswith(" ") else f"     {line}" for line in shared)]
    if more:
        lines.append(f"  {more} more {'waits' if more == 1 else 'wait'}, and {'is' if more == 1 else 'are'} asked next")
    return lines


def answered(line: bytes, count: int) -> tuple[bool, ...] | None:
    """What a line says about each question of a list; None where it is no answer. A list of numbers approves those,
    and denies the others."""
    if line == b"o":
        return (True,) * count
    words = line.replace(b",", b" ").split()
    if not words or not all(word.isdigit() for word in words):
        return None
    numbers = {int(word) for word in words}
    if not numbers <= set(range(1, count + 1)):
        return None
    return tuple(number in numbers for number in range(1, count + 1))
